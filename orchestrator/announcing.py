"""What a person is told before a sweep runs."""

from rich.console import Console

from orchestrator.answer import Answer
from orchestrator.plan import Plan
from trainers import stages
from trainers.methods.configs import ByolConfig


def announce(out: Console, answer: Answer, race: str) -> None:
    """The question, the ground it is asked on, how much of it is done already, and how its answer is chosen.

    `race`: what is to be said of the race or the search.
    """
    sweep, stood, planned, ledger = answer.sweep, answer.ground, answer.plan, answer.ledger
    if stood.protocol.note:
        out.print(f"[bold white on red] {stood.protocol.note} [/]")
    out.print(f"[bold]{planned.sweep}[/bold]: {sweep.question}")
    spec = planned.cells[0].spec
    training, front_end = spec.training, spec.front_end
    transfers = f"trains on {', '.join(stood.protocol.high)}, transfers to {', '.join(planned.languages)}"
    within = f"trains and tests within {', '.join(planned.languages)}"
    out.print(
        f"protocol {stood.protocol.name}: {within if stood.protocol.task == 'within' else transfers} "
        f"(folds by {spec.folds_by}); "
        f"{training.steps} steps of batch {training.batch_size}, {front_end.length_s:g} s clips, {training.precision}"
    )
    done = len(ledger.done({cell.key for cell in planned.cells}))
    floors = len(ledger.done({cell.key for cell in planned.floors}))
    out.print(
        f"{_count(len(planned.cells), 'cell')} ({_factors(planned)}): {done} done, {len(planned.cells) - done} to run; "
        f"{_count(len(planned.floors), 'floor cell')}: {floors} done"
    )
    if copies := stood.prepared.copies:
        one = copies[0]
        out.print(
            f"{_count(len(copies), 'pair')} of clips hold the same recording ({one.one} and {one.other}, say): "
            "where one is tested the other is not heard",
            markup=False,
        )
    if planned.stages:
        begin = [cell for cell in planned.cells if cell.stage]
        there = sum(stages.is_done(ledger.store, key) for key in planned.stages)
        alone = sum(len(planned.languages) if cell.spec.target is None else 1 for cell in begin)
        shared = f"{_count(len(planned.stages), 'stage')} shared by {_count(len(begin), 'cell')}: {there} done"
        out.print(f"{shared}; one for every configuration, language, fold and seed would be {alone}")
    if isinstance(spec.config, ByolConfig) and spec.config.tau_horizon == "paper" and training.steps <= 1000:
        out.print(
            f"note: unmatched τ at {training.steps} steps measures the target's lag; tau_horizon=matched rescales it"
        )
    how = "the mean" if answer.choice.objective_name == "mean" else "the worst"
    out.print(f"chooses by {how} of the languages' validation UAR ({answer.selector}); {race}")


def _factors(planned: Plan) -> str:
    counted = [
        (planned.configurations, "configuration"),
        (planned.languages, "language"),
        (planned.folds, "fold"),
        (planned.seeds, "seed"),
    ]
    configurations, languages, folds, seeds = (_count(len(values), what) for values, what in counted)
    together = {cell.configuration for cell in planned.cells if cell.spec.target is None}
    if len(together) == len(planned.configurations):
        languages = "every language at once"
    elif together:
        configurations += f" ({len(together)} of them for every language at once)"
    return " × ".join([configurations, languages, folds, seeds])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
