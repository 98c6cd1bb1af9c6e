"""Runs what a plan lacks: cells to the engine, results to MLflow, progress to the person who waits."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.answer import Answer, settings_of
from orchestrator.board import BoardState, Cell, Event, Snapshot
from orchestrator.cells import CANARY, cells_of, known_of, with_canaries
from orchestrator.choosing import blocks_of
from orchestrator.cluster import first_line, joined
from orchestrator.contest import Judge, Settled
from orchestrator.display import Display
from orchestrator.engine import run
from orchestrator.lease import LOCK
from orchestrator.objective import mean_of_blocks
from orchestrator.outcome import Outcome
from orchestrator.plan import Plan
from orchestrator.preflight_brief import Gate
from orchestrator.propagation import keep_keys_out
from orchestrator.search import Growth, Search
from orchestrator.timings import Timing, rehearsed
from orchestrator.tracking import Tracker
from orchestrator.work import CellWork
from search_spaces import Sweep
from trainers import checkpoints, stores
from trainers.corpora.prepared import share
from trainers.spec import CellSpec


@dataclass(frozen=True)
class Means:
    """What a run may take: slots at a time, GPUs for each cell (None: what there is), and when it is `enough`.

    `canary`: a short cell of each kind runs before all others; once all have, `rehearsed` is told how long they took,
    and has lines for the person. `busy`: is told often how many slots work; `ended`: how each cell came to its end.
    """

    slots: int | None = None
    gpus_per_cell: float | None = None
    canary: bool = True
    rehearsed: Callable[[list[Timing]], Iterable[str]] = lambda _: ()
    busy: Callable[[int], None] = lambda _: None
    ended: Callable[[Event], None] = lambda _: None
    enough: Callable[[], str] = str


def run_missing(
    answer: Answer,
    tracker: Tracker,
    means: Means,
    search: "Growing | None" = None,
    beaten: Mapping[int, str] | None = None,
) -> tuple[Answer, Outcome]:
    """Train the cells that the ledger lacks and mirror every result, old and new, to MLflow.

    `beaten`: configurations that a race has settled already. The answer comes back with those that a `search` added.
    """
    keep_keys_out()
    contest: Judge | None = None if search else answer.contest if beaten is None else Settled(beaten)
    before = known_of(answer)
    with Display(answer.names, len(before)) as display, ThreadPoolExecutor(1, "mlflow") as beside:
        cells = with_canaries(cells_of(answer), before) if means.canary else cells_of(answer)
        canaries = Canaries({cell.key: cell for cell in cells if cell.role == CANARY}, means.rehearsed)
        mirror = Mirror(answer, tracker, display, beside, canaries)
        if joined():  # whose nodes may be hours in coming, and whose slots have cores of their own
            mirror.send_known(before.keys())

        def show(snapshot: Snapshot) -> None:
            means.busy(snapshot.running)
            if snapshot.moving:
                mirror.send_known(before.keys())
            display.show(canaries.left_out(snapshot), rehearsing=canaries.running)

        def hear(event: Event) -> None:
            means.ended(event)
            mirror.told(event)

        try:
            outcome = run(
                cells,
                [dict(configuration.values) for configuration in answer.plan.configurations],
                work_of(answer),
                scratch=answer.ledger.store / "ray",
                slots=means.slots,
                gpus_per_cell=means.gpus_per_cell,
                known=lambda: known_of(mirror.answer),
                objective=answer.choice.objective,
                contest=contest,
                growth=search.growth(mirror, before) if search else None,
                on_event=hear,
                on_snapshot=show,
                on_notice=display.say,
                on_drop=lambda one, why: display.say(f"{answer.plan.configurations[one].name}: {why}"),
                gate=Gate(answer.ledger.store / LOCK, display.say),
                enough=lambda: canaries.hopeless() or means.enough(),
            )
        except Exception as error:
            if before and not mirror.known_sent:
                display.say(f"{first_line(error)}; first MLflow gets the results that it lacks")
                mirror.send_known(before.keys())
            raise
        if outcome.interrupted:  # what is not sent now is sent next time
            mirror.leaving.set()
            beside.shutdown(cancel_futures=True)
        else:
            mirror.send_known(before.keys())
    forget_losers(answer.ledger.store, mirror.answer.plan, outcome.dropped)
    return mirror.answer, replace(outcome, done=outcome.done - canaries.alive)


def work_of(answer: Answer) -> CellWork:
    """What slots do. Prepared speech and encoders are sent to the bucket first, where one is behind the store."""
    store, folders = answer.ledger.store, encoders_of(answer)
    if stores.bucket_of(store):
        share(answer.ground.prepared)
        folders = {
            name: stores.shared_folder(store, folder, f"encoders/{name[:16]}") for name, folder in folders.items()
        }
    return CellWork(answer.ground.prepared.paths, folders, store, answer.selector)


def forget_losers(store: Path, plan: Plan, dropped: Collection[int]) -> None:
    """Remove the checkpoints of configurations that are out of the race, and of stages that only these need."""
    losing = [cell for cell in plan.cells if cell.configuration in dropped]
    needed = {cell.stage for cell in plan.cells if cell.configuration not in dropped}
    for key in {cell.key for cell in losing} | {cell.stage for cell in losing if cell.stage} - needed:
        checkpoints.forget(store / "checkpoints" / key)


@dataclass
class Canaries:
    """How the short cells ended that run before all others. `rehearsed`: as in `Means`."""

    cells: Mapping[str, Cell]
    rehearsed: Callable[[list[Timing]], Iterable[str]]
    ends: dict[str, Event] = field(default_factory=dict)

    def note(self, event: Event) -> Iterable[str]:
        """Take in the end of one; what is to be said once all have ended."""
        if event.key not in self.cells:
            return ()
        self.ends[event.key] = event
        timings = [timing for key in self.ends if (timing := self._timing(key))]
        return self.rehearsed(timings) if len(self.ends) == len(self.cells) and timings else ()

    def left_out(self, snapshot: Snapshot) -> Snapshot:
        """The other cells alone."""
        running = sum(lease is not None and lease.key in self.cells for lease in snapshot.slots.values())
        return replace(
            snapshot,
            done=snapshot.done - self.alive,
            running=snapshot.running - running,
            waiting=max(0, snapshot.waiting - (len(self.cells) - len(self.ends) - running)),
            failed=snapshot.failed - (len(self.ends) - self.alive),
        )

    @property
    def running(self) -> bool:
        """Or waiting."""
        return len(self.ends) < len(self.cells)

    @property
    def alive(self) -> int:
        return sum(event.summary is not None for event in self.ends.values())

    def hopeless(self) -> str:
        """Why nothing of the plan can run: every canary died."""
        dead = [event.reason for event in self.ends.values() if event.summary is None]
        return f"every cell would fail: {dead[0]}" if dead and len(dead) == len(self.cells) else ""

    def _timing(self, key: str) -> Timing | None:
        told = self.ends[key].summary or {}
        spec = CellSpec.from_dict(self.cells[key].payload["canary_of"])
        return rehearsed(spec, told["step_s"], told["scoring_s"], told["share"]) if "step_s" in told else None


@dataclass
class Mirror:
    """Sends results to MLflow in a thread of its own, beside the run. `answer` grows with a search."""

    answer: Answer
    tracker: Tracker
    display: Display
    beside: ThreadPoolExecutor
    canaries: Canaries
    leaving: threading.Event = field(default_factory=threading.Event)
    known_sent: bool = False

    def grow(self, answer: Answer) -> None:
        """Take in configurations that came while the run goes on."""
        self.answer = answer
        self.display.names.update(answer.names)
        self.tracker.know(settings_of(answer))

    def told(self, event: Event) -> None:
        """A cell's end: a failure is said at once, a result sent."""
        for line in self.canaries.note(event):
            self.display.say(line)
        if event.summary is None and not event.because:  # what fails with it is in the table
            name = self.answer.names.get(event.key, event.key)
            self.display.say(f"failed: {name}: {event.told}")
        elif event.summary is not None and self.answer.configuration_of(event.key):
            self._submit(self._send, event.key)

    def send_known(self, keys: Iterable[str]) -> None:
        """Send, once, what MLflow lacks of the results that were there before. On this machine alone not before slots
        are at work: MLflow takes seconds to import, and more to make a database."""
        if not self.known_sent:
            self.known_sent = True
            self._submit(self._send_missing, frozenset(keys))

    def _submit(self, task: Callable[..., None], *arguments: object) -> None:
        self.beside.submit(task, *arguments).add_done_callback(self._say_error)

    def _say_error(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            self.display.say(f"MLflow lacks a result: {type(error).__name__}: {error}")

    def _send_missing(self, keys: frozenset[str]) -> None:
        for configuration in self.answer.plan.configurations:
            if self.leaving.is_set():
                return
            own = {cell.key for cell in self.answer.plan.of(configuration.number)} & keys
            for key in own - self.tracker.logged(configuration.name, own):
                if self.leaving.is_set():
                    return
                self._send(key)

    def _send(self, key: str) -> None:
        configuration = self.answer.configuration_of(key)
        result = self.answer.ledger.read(key)
        if configuration is not None and result is not None:
            self.tracker.log(result, configuration.name)


@dataclass(frozen=True)
class Growing:
    """How a search's new points become configurations: `replan` plans the sweep with the points so far."""

    search: Search
    replan: Callable[[Sweep], Plan]
    at_once: int

    def growth(self, mirror: Mirror, known: Mapping[str, Any]) -> Growth:
        answer = mirror.answer
        board = BoardState()
        board.put(cells_of(answer), known)
        blocks = {one.number: board.progress_of(one.number).blocks for one in answer.plan.configurations}
        planned = blocks_of(answer.plan)
        scores = {
            number: mean_of_blocks(done, answer.choice.objective)
            for number, done in blocks.items()
            if len(done) == planned
        }
        points = [dict(point) for point in answer.sweep.listed or ()]
        return Growth(self.search, points, scores, lambda point: self._grow(mirror, point), self.at_once)

    def _grow(self, mirror: Mirror, point: dict[str, Any]) -> tuple[int, list[Cell]]:
        answer, listed = mirror.answer, list(mirror.answer.sweep.listed or ())
        if point not in listed:
            self.search.note(point)
            stores.push(answer.ledger.store, "searches")
            sweep = replace(answer.sweep, listed=(*listed, point))
            mirror.grow(replace(answer, sweep=sweep, plan=self.replan(sweep)))
            listed.append(point)
        number = listed.index(point)
        own = {cell.key for cell in mirror.answer.plan.of(number)}
        needed = {need for cell in cells_of(mirror.answer) if cell.key in own for need in cell.needs}
        return number, [cell for cell in cells_of(mirror.answer) if cell.key in own or cell.key in needed]


def encoders_of(answer: Answer) -> dict[str, Path]:
    """Fingerprint of each encoder that the cells take -> where it lies."""
    ground = answer.ground
    return {found.fingerprint: found.folder for found in map(ground.encoder, ground.encoders or ("",))}
