"""python -m orchestrator.sweep NAME: load the question, show the plan, run what is missing, show the answer."""

import argparse
import shlex
import sys
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

import search_spaces
from orchestrator import arguments, ground
from orchestrator.answer import Answer, tell, tracker
from orchestrator.display import preparing, screen
from orchestrator.ground import Ground, Places
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, PlannedCell, Request, plan
from orchestrator.run import run_missing
from orchestrator.slots import HopelessError
from orchestrator.table import render
from search_spaces import Sweep
from trainers import stages
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig

STOPPED = 3
"""Exit code of a sweep that ended itself before its end: its budget is spent, or nothing of it can run."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(words: list[str] | None = None) -> int:
    """0: all is done; 1: some cells failed, or no slot lives; 2: bad input, told in one line; 3: ended itself early;
    130: interrupted."""
    try:
        return _main(arguments.parse(words), words)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HopelessError as error:
        print(f"error: {error}; what is finished is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before or after the engine, which has a handler of its own
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _main(asked: argparse.Namespace, words: list[str] | None) -> int:
    out = screen()
    if asked.list:
        for name, question in search_spaces.questions():
            out.print(f"[bold]{name}[/bold]  {question}")
        return 0
    sweep = search_spaces.load(asked.name).sampled(asked.samples)
    store = asked.store.expanduser().resolve()
    data = ground.data_root(asked.data, asked.protocol)
    places = Places(
        store,
        data,
        asked.encoder,
        ground.protocol_of(sweep, asked.protocol, data, arguments.roles(asked)),
        tuple(asked.languages),
        asked.max_bad,
        ground.encoders_of(sweep, asked.encoder),
    )
    with preparing(out) as report:
        stood = ground.find(places, report)
    request = Request(
        tuple(asked.languages),
        tuple(asked.folds),
        tuple(asked.seeds),
        asked.folds_by or sweep.folds_by,
        arguments.settings(asked),
    )
    planned = plan(asked.name, sweep, stood, request)
    ledger = Ledger(store)
    command = shlex.join(["python", "-m", "orchestrator.sweep", *(sys.argv[1:] if words is None else words)])
    chosen_by = arguments.choice(asked)
    answer = Answer(sweep, stood, planned, ledger, asked.tracking_uri, command, chosen_by)
    selector = answer.selector
    announce(out, sweep, stood, planned, ledger)
    out.print(
        f"chooses by {answer.choice.objective_name} validation UAR over languages ({selector}); "
        f"{chosen_by.told(sweep, planned)}"
    )
    return 0 if asked.dry_run else _run(asked, out, answer)


def _run(asked: argparse.Namespace, out: Console, answer: Answer) -> int:
    """Run what is missing, then show what came of it."""
    mirror = tracker(answer)
    with answer.ledger.lock(asked.name):
        if asked.fresh:
            keys = [cell.key for cell in answer.plan.cells + answer.plan.floors]
            moved = answer.ledger.set_aside(keys)
            stages.set_aside(answer.ledger.store, answer.plan.stages)
            mirror.forget(keys)
            out.print(f"--fresh: {moved} earlier results lie in {answer.ledger.store / 'set_aside'} now", markup=False)
        outcome = run_missing(answer, mirror, asked.slots, canary=not asked.no_canary)
        if outcome.interrupted:
            mirror.close()
            why = outcome.stopped or "interrupted"
            out.print(f"{why}; what is finished is kept, and the same command goes on from there", markup=False)
            return STOPPED if outcome.stopped else INTERRUPTED
        failed = {event.key: f"{event.cause}: {event.reason}" for event in outcome.failed}
        for cell in planned_of(answer, outcome.dropped):
            failed.setdefault(cell.key, outcome.dropped[cell.configuration or 0])
        comparison = answer.compare(failed)
        out.print(render(comparison))
        tell(answer, comparison, mirror)
    out.print(f"browse: mlflow ui --backend-store-uri {asked.tracking_uri or _short_uri(asked.store)}", markup=False)
    return 1 if failed else 0


def planned_of(answer: Answer, configurations: Collection[int]) -> list[PlannedCell]:
    """The cells of these configurations."""
    return [cell for one in configurations for cell in answer.plan.of(one)]


def _short_uri(store: Path) -> str:
    return f"sqlite:///{store}/mlflow.db"


def announce(out: Console, sweep: Sweep, stood: Ground, planned: Plan, ledger: Ledger) -> None:
    """The question, the ground it is asked on, and how much of it is done already."""
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


if __name__ == "__main__":
    sys.exit(main())
