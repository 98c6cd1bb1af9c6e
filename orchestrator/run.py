"""Runs what a plan lacks: cells to the engine, results to MLflow, progress to the person who waits."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.answer import Answer
from orchestrator.board import Cell, Event
from orchestrator.display import Display
from orchestrator.engine import Outcome, run
from orchestrator.tracking import Tracker
from orchestrator.work import CellWork, summary
from trainers import stages


def run_missing(answer: Answer, tracker: Tracker, slots: int | None) -> Outcome:
    """Train the cells that the ledger lacks and mirror every result, old and new, to MLflow."""
    before = _known(answer)
    with Display(answer.names, len(before)) as display, ThreadPoolExecutor(1, "mlflow") as beside:
        mirror = Mirror(answer, tracker, display, beside)
        mirror.send_known(before.keys())
        outcome = run(
            _cells(answer),
            [dict(configuration.values) for configuration in answer.plan.configurations],
            CellWork(answer.ground.prepared.paths, _encoders(answer), answer.ledger.store, answer.selector),
            scratch=answer.ledger.store / "ray",
            slots=slots,
            known=lambda: _known(answer),
            on_event=mirror.told,
            on_snapshot=display.show,
            on_notice=display.say,
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

    def told(self, event: Event) -> None:
        """A cell's end: a failure is said at once, a result sent."""
        if event.summary is None:
            name = self.answer.names[event.key]
            self.display.say(f"failed: {name} ({event.cause}): {event.reason}")
        elif event.key not in self.answer.plan.stages:
            self._submit(self._send, event.key)

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
            found.append(Cell(stages[cell.key], None, -1, None, {"stage_of": spec.as_dict()}))
        needs = (cell.stage,) if cell.stage else ()
        block = blocks.index((spec.seed, spec.fold))
        found.append(Cell(cell.key, cell.configuration, block, spec.target, spec.as_dict(), needs))
    floors = [Cell(cell.key, None, cell.spec.fold, None, cell.spec.as_dict()) for cell in answer.plan.floors]
    return found + floors


def _known(answer: Answer) -> dict[str, Mapping[str, Any]]:
    """The finished cells with what the board may know of them."""
    found = {cell.key: answer.ledger.light(cell.key) for cell in answer.plan.cells + answer.plan.floors}
    known: dict[str, Mapping[str, Any]] = {
        key: summary(result, answer.selector) for key, result in found.items() if result is not None
    }
    store = answer.ledger.store
    return known | {key: {"valid_uar": float("nan")} for key in answer.plan.stages if stages.is_done(store, key)}
