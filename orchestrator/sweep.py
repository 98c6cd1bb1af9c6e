"""python -m orchestrator.sweep NAME: load the question, show the plan, run what is missing, show the answer."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path

from rich.console import Console

import search_spaces
from orchestrator import arguments, ground
from orchestrator.announcing import announce
from orchestrator.answer import Answer, tell, tracker
from orchestrator.answers.comparison import Comparison
from orchestrator.answers.table import render
from orchestrator.asked import Asked, report_folder, write
from orchestrator.bill import Bill, Sharing, after, sharing
from orchestrator.budget import Budget
from orchestrator.costs import Crew, Demand, Estimate, demand, estimate
from orchestrator.display import preparing, screen
from orchestrator.fleet import Fleet, crew_of, here, precision_on
from orchestrator.ground import Ground, Places
from orchestrator.ledger import Ledger
from orchestrator.lifeline import alive
from orchestrator.limits import Limits, require_store
from orchestrator.narrowing import narrowed
from orchestrator.plan import Plan, Request, plan
from orchestrator.run import Growing, Means, encoders_of, run_missing
from orchestrator.search import Search
from orchestrator.slots import HopelessError
from orchestrator.timings import Timing
from orchestrator.tracking import Tracker
from orchestrator.tracking.browse import browse
from search_spaces import Sweep
from trainers import stages, stores
from trainers.errors import UserError, require

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
    if asked.until_ci is not None:
        require(asked.until_ci > 0, "until-ci", asked.until_ci, "above 0: the width of an interval in UAR points")
    sweep = search_spaces.load(asked.name).searched(asked.search, asked.samples)
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
    if not asked.dry_run:
        require_store(store)
    stores.pull(store, "sweeps", "searches")
    limits = Limits(store, asked.max_failures, asked.max_store_gb)
    with preparing(out) as report:
        stood = ground.find(places, report, limits.require_prepared)
    request = Request(
        tuple(asked.languages),
        tuple(asked.folds),
        tuple(asked.seeds),
        asked.folds_by or sweep.folds_by,
        arguments.settings(asked),
        asked.repeats,
    )
    chosen_by = arguments.choice(asked)
    search = None
    if asked.search == "tpe":
        if asked.until_ci is not None:
            raise UserError("--until-ci asks about the points of a sweep; TPE has others each time, so leave one out")
        search = Search.of(sweep, asked.samples, store, (places.protocol, request, chosen_by))
        sweep = search.listed()
    fleet = here()
    stood = replace(stood, precision=precision_on(fleet, asked.gpus_per_cell))
    planned = plan(asked.name, sweep, stood, request)
    command = shlex.join(["python", "-m", "orchestrator.sweep", *(sys.argv[1:] if words is None else words)])
    answer = Answer(sweep, stood, planned, Ledger(store), asked.tracking_uri, command, chosen_by)
    announce(out, answer, search.told(planned) if search else chosen_by.told(sweep, planned))
    shared = shared_by(answer, fleet, asked, grows=search is not None or asked.until_ci is not None)
    crew = crew_of(fleet, asked.slots, shared.gpus_per_cell)
    bill, spent = (
        bill_of(answer, crew, asked.price_per_gpu_hour, shared.told),
        Budget(asked.budget_gpu_hours, crew.units_per_cell, crew.unit),
    )
    for line in bill.told():
        out.print(line, markup=False)
    limits.require_room(bill.expected.disk, [*(cell.key for cell in planned.cells), *planned.stages])
    if asked.dry_run:
        return 0
    asking = Asking(asked, sweep, stood, request, shared.gpus_per_cell)
    growing = Growing(search, asking.plan, at_once(asked, planned)) if search else None
    return _run(asking, out, answer, growing, bill, spent, limits)


def shared_by(answer: Answer, fleet: Fleet, asked: argparse.Namespace, grows: bool) -> Sharing:
    """How many cells share a GPU, by what is to run; a plan that `grows` gets more cells like its own, nobody knows how
    many."""
    wanted = demand(answer.plan, answer.ledger, asked.fresh or grows) if fleet.most_gpus else Demand(0)
    at_once = min(asked.slots or inf, inf if grows else max(1, wanted.cells))
    return sharing(asked.gpus_per_cell, fleet, wanted, at_once)


def bill_of(answer: Answer, crew: Crew, price: float | None, shared: str) -> Bill:
    """What the rest of a plan will cost, by like cells of the ledger, or by what canaries will have told."""

    def reckon(rehearsals: Sequence[Timing]) -> Estimate:
        at_most = answer.contest is not None
        return estimate(answer.plan, answer.ledger, crew, encoders_of(answer), rehearsals=rehearsals, at_most=at_most)

    return Bill(reckon(()), reckon, price, shared)


@dataclass(frozen=True)
class Asking:
    """What the user asked, and how that is planned anew when a search adds points or partitions are repeated."""

    asked: argparse.Namespace
    sweep: Sweep
    ground: Ground
    request: Request
    gpus_per_cell: float | None

    def plan(self, sweep: Sweep) -> Plan:
        return plan(self.asked.name, sweep, self.ground, self.request)

    def repeated(self, repeats: int, partition: int) -> Plan:
        """With so many partitions; where the user named folds, with the same ones of each."""
        folds = tuple(fold + partition * repeat for repeat in range(repeats) for fold in self.asked.folds)
        return plan(self.asked.name, self.sweep, self.ground, replace(self.request, folds=folds, repeats=repeats))


def at_once(asked: argparse.Namespace, planned: Plan) -> int:
    """Configurations that a search tries at a time: as few as keep the slots at work, since TPE learns from results."""
    slots = asked.slots or os.cpu_count() or 1
    return max(1, ceil(slots / len(planned.of(0))) + 1)


def _run(
    asking: Asking,
    out: Console,
    answer: Answer,
    search: Growing | None,
    bill: Bill,
    spent: Budget,
    limits: Limits,
) -> int:
    """Run what is missing, then show what came of it."""
    asked, mirror = asking.asked, tracker(answer)
    with answer.ledger.lock(asked.name), _kept_for_repeats(asked):
        if asked.fresh:
            _set_aside(out, answer, mirror)
        write(answer.ledger.store, answer.record())
        means = Means(
            asked.slots,
            asking.gpus_per_cell,
            canary=not asked.no_canary,
            rehearsed=bill.rehearsed,
            busy=lambda count: spent.note(count, time.monotonic()),
            enough=lambda: spent.reason() or limits.reason(),
            ended=limits.ended,
        )
        answer, outcome = run_missing(answer, mirror, means, search)
        if asked.until_ci is not None:
            answer, outcome = narrowed(
                answer,
                outcome,
                asked.until_ci,
                asking.repeated,
                lambda more, beaten: run_missing(more, mirror, means, beaten=beaten),
                lambda line: out.print(line, markup=False),
            )
        if outcome.done:
            out.print(after(bill.expected, spent, outcome.done), markup=False)
        stopped = outcome.stopped or limits.broken()  # the last cell may be what filled the store
        if outcome.interrupted or stopped:
            mirror.close()
            why = stopped or "interrupted"
            out.print(f"{why}; what is finished is kept, and the same command goes on from there", markup=False)
            return STOPPED if stopped else INTERRUPTED
        failed = {event.key: event.told for event in outcome.failed}
        names = {one.number: one.name for one in answer.plan.configurations}
        record = answer.record(failed, {names[one]: why for one, why in outcome.dropped.items()})
        comparison = answer.compare(record)
        out.print(render(comparison))
        tell(answer, comparison, mirror)
        if not asked.no_report:
            _report(out, answer, record, comparison, mirror)
    for line in browse(asked.tracking_uri or _short_uri(asked.store), mirror.experiment):
        out.print(line, markup=False, soft_wrap=True)
    return 1 if outcome.failed else 0


def _report(out: Console, answer: Answer, record: Asked, comparison: Comparison, mirror: Tracker) -> None:
    """The answer as a page with pictures, beside the ledger and in MLflow. What fails here costs no result."""
    from orchestrator.report import write_report  # what draws takes seconds to import

    try:
        page = write_report(answer.ledger, record, comparison, report_folder(answer.ledger.store, record))
    except (UserError, OSError) as error:
        out.print(f"no report: {error}", markup=False)
        return
    stores.push(answer.ledger.store, page.parent.relative_to(answer.ledger.store).as_posix())
    mirror.files(page.parent)
    out.print(f"report: {page}", markup=False, soft_wrap=True)


def _kept_for_repeats(asked: argparse.Namespace) -> AbstractContextManager[object]:
    """Where partitions are repeated there is run after run, and one Ray for them all."""
    return nullcontext() if asked.until_ci is None else alive(asked.slots)


def _set_aside(out: Console, answer: Answer, mirror: Tracker) -> None:
    """`--fresh`: earlier results of this plan make room."""
    keys = [cell.key for cell in answer.plan.cells + answer.plan.floors]
    moved = answer.ledger.set_aside(keys)
    stages.set_aside(answer.ledger.store, answer.plan.stages)
    mirror.forget(keys)
    out.print(f"--fresh: {moved} earlier results lie in {answer.ledger.store / 'set_aside'} now", markup=False)


def _short_uri(store: Path) -> str:
    return f"sqlite:///{store}/mlflow.db"


if __name__ == "__main__":
    sys.exit(main())
