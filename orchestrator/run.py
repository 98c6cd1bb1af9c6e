"""Runs what a plan lacks: cells to the engine, results to MLflow, progress to the person who waits."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.answer import Answer
from orchestrator.board import Cell, Event
from orchestrator.display import Display
from orchestrator.engine import Outcome, run
from orchestrator.tracking import Tracker
from orchestrator.work import CellWork, summary
from trainers import stages

CANARY = "canary"


def run_missing(answer: Answer, tracker: Tracker, slots: int | None, *, canary: bool = True) -> Outcome:
    """Train the cells that the ledger lacks and mirror every result, old and new, to MLflow."""
    before = _known(answer)
    with Display(answer.names, len(before)) as display, ThreadPoolExecutor(1, "mlflow") as beside:
        cells = with_canaries(_cells(answer), before) if canary else _cells(answer)
        canaries: dict[str, Event | None] = {cell.key: None for cell in cells if cell.role == CANARY}
        mirror = Mirror(answer, tracker, display, beside, canaries=canaries)
        mirror.send_known(before.keys())
        outcome = run(
            cells,
            [dict(configuration.values) for configuration in answer.plan.configurations],
            CellWork(answer.ground.prepared.paths, _encoders(answer), answer.ledger.store, answer.selector),
            scratch=answer.ledger.store / "ray",
            slots=slots,
            known=lambda: _known(answer),
            objective=answer.choice.objective,
            contest=answer.contest,
            on_event=mirror.told,
            on_snapshot=display.show,
            on_notice=display.say,
            on_drop=lambda one, why: display.say(f"{answer.plan.configurations[one].name}: {why}"),
            enough=mirror.hopeless,
        )
        if outcome.interrupted:  # what is not sent now is sent next time
            mirror.leaving.set()
            beside.shutdown(cancel_futures=True)
    return outcome


@dataclass(frozen=True)
class Mirror:
    """Sends results to MLflow in a thread of its own, beside the run."""

    answer: Answer
    tracker: Tracker
    display: Display
    beside: ThreadPoolExecutor
    leaving: threading.Event = field(default_factory=threading.Event)
    canaries: dict[str, Event | None] = field(default_factory=dict)

    def told(self, event: Event) -> None:
        """A cell's end: a failure is said at once, a result sent."""
        if event.key in self.canaries:
            self.canaries[event.key] = event
        if event.summary is None and not event.because:  # what fails with it is in the table
            name = self.answer.names.get(event.key, event.key)
            self.display.say(f"failed: {name} ({event.cause}): {event.reason}")
        elif event.summary is not None and self.answer.configuration_of(event.key):
            self._submit(self._send, event.key)

    def hopeless(self) -> str:
        """Why nothing of the plan can run: every canary died."""
        fates = [event for event in self.canaries.values() if event is not None]
        dead = [event.reason for event in fates if event.summary is None]
        return f"every cell would fail: {dead[0]}" if dead and len(dead) == len(self.canaries) else ""

    def send_known(self, keys: Iterable[str]) -> None:
        """Send what MLflow lacks of the results that were there before."""
        self._submit(self._send_missing, frozenset(keys))

    def _submit(self, task: Callable[..., None], *arguments: object) -> None:
        self.beside.submit(task, *arguments).add_done_callback(self._say_error)

    def _say_error(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            self.display.say(f"MLflow lacks a result: {type(error).__name__}: {error}")

    def _send_missing(self, keys: frozenset[str]) -> None:
        for configuration in self.answer.plan.configurations:
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


def _encoders(answer: Answer) -> dict[str, Path]:
    """Fingerprint of each encoder that the cells take -> where it lies."""
    ground = answer.ground
    return {found.fingerprint: found.folder for found in map(ground.encoder, ground.encoders or ("",))}


def _cells(answer: Answer) -> list[Cell]:
    """The plan for the board; a block is one seed's fold, over all languages and configurations.

    A stage stands before the first cell that needs it, unless it is done or all of its cells are.
    """
    blocks = [(seed, fold) for seed in answer.plan.seeds for fold in answer.plan.folds]
    stages = {cell.key: key for key, cell in answer.missing_stages.items()}
    found: list[Cell] = []
    for cell in answer.plan.cells:
        spec = cell.spec
        if cell.key in stages:
            found.append(Cell(stages[cell.key], None, -1, None, {"stage_of": spec.as_dict()}, role="stage"))
        needs = (cell.stage,) if cell.stage else ()
        block = blocks.index((spec.seed, spec.fold))
        found.append(Cell(cell.key, cell.configuration, block, spec.target, spec.as_dict(), needs))
    floors = [Cell(cell.key, None, cell.spec.fold, None, cell.spec.as_dict()) for cell in answer.plan.floors]
    return found + floors


def with_canaries(cells: Sequence[Cell], known: Mapping[str, Any]) -> list[Cell]:
    """The cells behind a short rehearsal of each kind (method and encoder) of which nothing is done yet.

    All of a kind need its canary, so that a fault that they share is found in seconds and said once.
    """
    kinds = {cell.key: _kind(cell) for cell in cells if cell.configuration is not None or cell.role}
    alive = {kinds[key] for key in known if key in kinds}
    canaries: dict[str, Cell] = {}
    behind = []
    for cell in cells:
        kind = kinds.get(cell.key, "")
        if kind and kind not in alive:
            payload = {"canary_of": cell.payload.get("stage_of", cell.payload)}
            canary = canaries.setdefault(kind, Cell(kind, None, -1, None, payload, role=CANARY))
            cell = replace(cell, needs=(*cell.needs, canary.key))
        behind.append(cell)
    return [*canaries.values(), *behind]


def _kind(cell: Cell) -> str:
    spec = cell.payload.get("stage_of", cell.payload)
    return f"canary of {spec['method']} on encoder {spec['encoder_fingerprint'][:8]}"


def _known(answer: Answer) -> dict[str, Mapping[str, Any]]:
    """The finished cells with what the board may know of them."""
    found = {cell.key: answer.ledger.light(cell.key) for cell in answer.plan.cells + answer.plan.floors}
    known: dict[str, Mapping[str, Any]] = {
        key: summary(result, answer.selector) for key, result in found.items() if result is not None
    }
    store = answer.ledger.store
    return known | {key: {"valid_uar": float("nan")} for key in answer.plan.stages if stages.is_done(store, key)}
