"""Works a plan off: starts Ray, board, slots and trials, tells what comes back, and leaves cleanly."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray

from orchestrator.board import BoardState, Cell, Event, Snapshot, Summary
from orchestrator.board_actor import start_board
from orchestrator.cluster import Signals, describe, list_nodes, resources
from orchestrator.contest import Judge, racing_scheduler
from orchestrator.fleet import bootstrap, fleet_of
from orchestrator.lifeline import Lifeline, alive
from orchestrator.objective import Objective, mean_language
from orchestrator.outcome import Outcome, Tally, Watch
from orchestrator.preflight_brief import Gate
from orchestrator.scratch import remove_left, scratch_in
from orchestrator.search import Growth
from orchestrator.slots import Slots
from orchestrator.trial import Mirror, tune_configurations
from orchestrator.watchdog import Watchdog, told
from orchestrator.worker import Work
from trainers.errors import UserError

POLL_S, CALM_POLL_S = 0.2, 1.0
"""Between two looks at the board; the second while cells run and none came to its end since the last look: slots tell
how far they are every second, and a look costs time of the cores that they train on."""
STARTING_S = 60.0
"""Seconds that the board's process may take to start before that is worth a word."""
GRACE_S = 4.0
"""Seconds that running cells have, after an interrupt, to end a step and write a checkpoint."""
TUNE_GRACE_S = 10.0
"""Seconds that trials have to mirror the last results after the last cell."""
STATE_OF_TUNE = "ray.tune.execution.experiment_state"
"""Logs a traceback where Tune's state, which nobody reads, cannot be written to the store; slots say that in a line."""


def _ignore(*_: object) -> None:
    """Tell nobody."""


def run(
    cells: Sequence[Cell],
    configurations: Sequence[Mapping[str, Any]],
    make_work: Callable[[], Work],
    *,
    scratch: Path,
    slots: int | None = None,
    gpus_per_cell: float | None = None,
    known: Callable[[], Mapping[str, Summary]] = dict,
    objective: Objective = mean_language,
    on_event: Callable[[Event], None] = _ignore,
    on_snapshot: Callable[[Snapshot], None] = _ignore,
    on_notice: Callable[[str], None] = _ignore,
    on_drop: Callable[[int, str], None] = _ignore,
    enough: Callable[[], str] = str,
    contest: Judge | None = None,
    growth: Growth | None = None,
    scheduler: Any = None,
    gate: Gate | None = None,
    patience_s: float = 60.0,
) -> Outcome:
    """Work off `cells`, the most urgent first, and mirror each configuration to a Tune trial.

    `make_work`: called once in each slot's process. `scratch`: an absolute folder that every node sees; what Ray
    writes there is removed at the end. `slots`: None is one per GPU, or one per CPU where there is no GPU.
    `gpus_per_cell`: None is 1 where there are GPUs, else 0. `known`: results that the ledger has, read at the start
    and whenever the board had to be built anew; `objective` sums a block's summaries up. `contest`: how configurations
    race; None is not at all. `growth`: a search that adds configurations while the run goes on. `scheduler`: one of
    Tune's instead of the race's. `enough`: asked often; a reason ends the run as an interrupt does. `gate`: which
    nodes of a Ray that is not our own may have slots; it may refuse that Ray. In snapshots `done` counts what this
    run did; `patience_s` in which nothing moves are followed by a notice of what is missing.

    The first SIGINT or SIGTERM lets running cells stop after their step, the second leaves at once. UserError
    where the plan is empty or contradicts itself; HopelessError where slots keep ending, or Ray does not come
    up. Where its own Ray dies this process ends (lifeline.py).
    """
    _check(cells, configurations, slots)
    before = known()
    beaten = contest.dropped(_board(cells, before, {}).standings()) if contest else {}
    if (growth is None or growth.is_done) and _board(cells, before, beaten).snapshot().settled:
        remove_left(scratch)  # of a run that was killed as it left
        return Outcome(0, (), False, beaten)
    watch = Watch(on_event, on_snapshot, on_notice, on_drop, enough)
    with Signals() as signals, scratch_in(scratch) as folder, alive(slots) as held:
        signals.listen()
        guard = None if held.own else gate
        if guard:
            guard.agree()
        gpus = _gpus(gpus_per_cell, held.own)
        board = start_board(judged=True)
        crew = Slots(board, make_work, slots, gpus, folder, on_notice, grows=not held.own, gate=guard)
        logging.getLogger(STATE_OF_TUNE).setLevel(logging.CRITICAL)
        judge = scheduler or (racing_scheduler(board, contest) if contest else None)
        desk = growth.desk() if growth else None

        def tune() -> Any:
            if growth:
                return growth.tune(board, desk, objective, folder)
            return tune_configurations(board, configurations, objective, folder, scheduler=judge)

        lifeline = Lifeline(held.own, lambda: signals.came)
        tally = Tally(frozenset(before), dropped=dict(beaten))
        engine = _Engine(
            board, crew, Mirror(tune), list(cells), known, watch, signals, patience_s, tally, growth=growth, desk=desk
        )
        try:
            return engine.work()
        finally:
            engine.leave(wait=held.stays)
            lifeline.end()


def _gpus(asked: float | None, own_ray: bool) -> float:
    """GPUs of each cell, by default one where there are any or may come; UserError where this machine is all there is
    and lacks them."""
    there_are = resources().get("GPU", 0) if own_ray else fleet_of(list_nodes(), bootstrap()).most_gpus
    if own_ray and asked and asked > there_are:
        raise UserError(f"gpus_per_cell is {asked:g}; this machine has {there_are:g} GPUs, and no cluster was started")
    return float(there_are >= 1) if asked is None else asked


def _board(cells: Sequence[Cell], known: Mapping[str, Summary], withdrawn: Mapping[int, str]) -> BoardState:
    """How things stand before anything runs."""
    board = BoardState(withdrawn=dict(withdrawn))
    board.put(cells, known)
    return board


def _check(cells: Sequence[Cell], configurations: Sequence[Mapping[str, Any]], slots: int | None) -> None:
    if not cells:
        raise UserError("there is nothing to run: the plan has no cells")
    if slots is not None and slots < 1:
        raise UserError(f"slots is {slots}; it must be at least 1")
    owners: dict[str, int | None] = {}
    for cell in cells:
        if cell.key in owners:
            twice = f"configurations {owners[cell.key]} and {cell.configuration}"
            raise UserError(
                f"cell {cell.key[:12]} stands in the plan twice, in {twice}; each cell is to have one place"
            )
        owners[cell.key] = cell.configuration
    unmatched = {*range(len(configurations))} ^ {owner for owner in owners.values() if owner is not None}
    if unmatched:
        raise UserError(f"configurations {sorted(unmatched)} have no cells or no settings; each is to have both")


def _total(snapshot: Snapshot) -> int:
    return snapshot.done + snapshot.running + snapshot.waiting + snapshot.failed + snapshot.withdrawn


@dataclass
class _Engine:
    """The driver's loop over one plan."""

    board: Any
    crew: Slots
    mirror: Mirror
    cells: list[Cell]
    known: Callable[[], Mapping[str, Summary]]
    watch: Watch
    signals: Signals
    patience_s: float
    tally: Tally
    growth: Growth | None = None
    desk: Any = None
    incarnation: str = ""
    seen: int = 0
    seen_before: int = 0
    interrupted_at: float | None = None
    stopped: str = ""
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.patience_s, time.monotonic())

    def work(self) -> Outcome:
        """Until every cell has come to its end, or the user's patience has."""
        try:
            self._work_off()
        except TimeoutError:
            self.watch.on_notice("left without the board's answer")
        if self.interrupted_at is None:
            self.mirror.join(TUNE_GRACE_S)
        if self.mirror.error:
            self.watch.on_notice(f"Ray Tune ended with {self.mirror.error}; results are not touched by that")
        tally, early = self.tally, self.interrupted_at is not None
        return Outcome(len(tally.done), tuple(tally.failed.values()), early, tally.dropped, self.stopped)

    def _work_off(self) -> None:
        self.crew.tend()  # first: slots take longest to come, and meanwhile the board starts
        self._put(again=False)
        while not self._over(snapshot := self._poll()):
            self._heed_signals()
            self._heed_watch()
            self.crew.tend()
            self._warn(snapshot)
            early = self.growth and (
                snapshot.settled or self.crew.grows
            )  # more cells are to come, more nodes with them
            if self.interrupted_at is None and (snapshot.moving or early):
                self.mirror.start()  # before that the cores are for what the slots import
            if self.growth and self.interrupted_at is None:
                self.growth.heed(self.desk, self._add)
            self.signals.wait(self._pause_s(snapshot))

    def _pause_s(self, snapshot: Snapshot) -> float:
        """Until the next look. Who is to leave, or adds cells by what others came to, must not be kept waiting."""
        news, self.seen_before = self.seen > self.seen_before, self.seen
        hasty = news or not snapshot.running or self.growth or self.interrupted_at is not None
        return POLL_S if hasty else CALM_POLL_S

    def leave(self, wait: bool) -> None:
        """Close the board and end slots and trials; on a Ray that stays let them end by themselves."""
        self.crew.closing = True
        self.board.close.remote()
        if wait:
            self.crew.join(timeout_s=20.0)
            self.mirror.join(timeout_s=20.0)
        with suppress(ray.exceptions.RayError):
            self.crew.end()
        if wait:
            ray.kill(self.board)

    def _add(self, cells: list[Cell]) -> None:
        there = {cell.key for cell in self.cells}  # a point that is proposed again brings nothing new
        self.cells += [cell for cell in cells if cell.key not in there]
        self._put(again=False)

    def _put(self, again: bool) -> None:
        known = self.known()
        finished = {cell.key: known[cell.key] for cell in self.cells if cell.key in known}
        for one, why in self.tally.dropped.items():
            self._answer(self.board.withdraw.remote(one, why))
        self._answer(self.board.put.remote(self.cells, finished, again))
        for key, summary in finished.items():
            self._tell(Event(key, summary))

    def _poll(self) -> Snapshot:
        """Tell what is new; put the plan again where the board was lost and built anew."""
        snapshot: Snapshot
        incarnation, events, snapshot = self._answer(self.board.poll.remote(self.seen))
        if incarnation != self.incarnation and self.incarnation:
            self.seen = 0
            self._put(again=True)
            incarnation, events, snapshot = self._answer(self.board.poll.remote(0))
        self.incarnation = incarnation
        if _total(snapshot) < len(self.cells):  # a board that died before it was ever asked comes back empty
            self._put(again=True)
            snapshot = replace(snapshot, waiting=len(self.cells))
        self.seen += len(events)
        for event in events:
            self._tell(event)
        for one in snapshot.dropped.keys() - self.tally.dropped.keys():
            self.tally.dropped[one] = snapshot.dropped[one]
            self.watch.on_drop(one, snapshot.dropped[one])
        snapshot = replace(snapshot, done=len(self.tally.done))
        self.watch.on_snapshot(snapshot)
        return snapshot

    def _answer(self, reference: Any) -> Any:
        """The board's answer, however long its restart takes; TimeoutError once the user wants to leave."""
        patience_s = self.patience_s if self.incarnation else max(self.patience_s, STARTING_S)
        tell_at = time.monotonic() + patience_s
        while True:
            try:
                return ray.get(reference, timeout=1.0)
            except ray.exceptions.GetTimeoutError:
                self._heed_signals()
                if time.monotonic() > tell_at:
                    tell_at = math.inf
                    self.watch.on_notice(
                        f"the board has not answered for {patience_s:.0f} s: its process hangs, or the head has "
                        "no room to start it anew; slots go on with the cells that they have"
                    )
                if self.signals.count > 1:
                    raise

    def _tell(self, event: Event) -> None:
        if self.tally.take(event):
            self.watch.on_event(event)

    def _over(self, snapshot: Snapshot) -> bool:
        if self.crew.error is not None:
            raise self.crew.error
        if self.interrupted_at is None:
            return snapshot.settled and (self.growth is None or self.mirror.is_over)
        patience_ended = time.monotonic() - self.interrupted_at > GRACE_S
        return not snapshot.running or patience_ended or self.signals.count > 1

    def _heed_signals(self) -> None:
        if self.signals.count and self.interrupted_at is None:
            self._wind_up()
            self.watch.on_notice("stopping: running cells write a checkpoint after their step (again: leave now)")

    def _heed_watch(self) -> None:
        if self.interrupted_at is None and (why := self.watch.enough()):
            self.stopped = why
            self._wind_up()
            self.watch.on_notice(f"stopping: {why}; running cells write a checkpoint after their step")

    def _wind_up(self) -> None:
        self.interrupted_at = time.monotonic()
        self.crew.closing = True
        self.board.close.remote()

    def _warn(self, snapshot: Snapshot) -> None:
        """Say why nothing moves, once it has not for a while."""
        if seconds := self.watchdog.heed(snapshot, time.monotonic()):
            have, free = describe(resources()), describe(resources(free=True))
            supply = f"a slot needs {self.crew.need}; the cluster has {have}, of which {free} are free"
            self.watch.on_notice(told(snapshot, seconds, supply))
