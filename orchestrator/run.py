"""Runs what a plan lacks: cells to the engine, results to MLflow, progress to the person who waits."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from orchestrator.answer import Answer
from orchestrator.board import Cell, Event
from orchestrator.display import Display
from orchestrator.engine import Outcome, run
from orchestrator.tracking import Tracker
from orchestrator.work import CellWork, summary


def run_missing(answer: Answer, tracker: Tracker, slots: int | None) -> Outcome:
    """Train the cells that the ledger lacks and mirror every result, old and new, to MLflow."""
    before = _known(answer)
    with Display(answer.names, len(before)) as display, ThreadPoolExecutor(1, "mlflow") as mirror:
        mirror.submit(_mirror_known, before.keys(), answer, tracker)
        return run(
            _cells(answer),
            [dict(configuration.values) for configuration in answer.plan.configurations],
            CellWork(answer.ground.prepared.paths, answer.ground.encoder_folder, answer.ledger.store, answer.select_on),
            scratch=answer.ledger.store / "ray",
            slots=slots,
            known=lambda: _known(answer),
            on_event=lambda event: _told(event, answer, tracker, display, mirror),
            on_snapshot=display.show,
            on_notice=display.say,
        )


def _cells(answer: Answer) -> list[Cell]:
    """The plan for the board; a block is one seed's fold, over all languages and configurations."""
    blocks = [(seed, fold) for seed in answer.plan.seeds for fold in answer.plan.folds]
    trained = [
        Cell(
            cell.key,
            cell.configuration,
            blocks.index((cell.spec.seed, cell.spec.fold)),
            cell.spec.target,
            cell.spec.as_dict(),
        )
        for cell in answer.plan.cells
    ]
    floors = [Cell(cell.key, None, cell.spec.fold, None, cell.spec.as_dict()) for cell in answer.plan.floors]
    return trained + floors


def _known(answer: Answer) -> dict[str, Mapping[str, Any]]:
    """The finished cells with what the board may know of them."""
    found = {cell.key: answer.ledger.light(cell.key) for cell in answer.plan.cells + answer.plan.floors}
    return {key: summary(result, answer.select_on) for key, result in found.items() if result is not None}


def _told(event: Event, answer: Answer, tracker: Tracker, display: Display, mirror: ThreadPoolExecutor) -> None:
    """A cell's end: failures are said at once, results mirrored beside the run."""
    if event.summary is None:
        display.say(f"failed: {answer.names[event.key]} ({event.cause}): {event.message.strip().splitlines()[-1]}")
    else:
        mirror.submit(_mirror, event.key, answer, tracker)


def _mirror_known(keys: Iterable[str], answer: Answer, tracker: Tracker) -> None:
    """Send what MLflow lacks of the results that were there before."""
    for configuration in answer.plan.configurations:
        own = {cell.key for cell in answer.plan.of(configuration.number)} & set(keys)
        for key in own - tracker.logged(configuration.name, own):
            _mirror(key, answer, tracker)


def _mirror(key: str, answer: Answer, tracker: Tracker) -> None:
    configuration = answer.configuration_of(key)
    result = answer.ledger.read(key)
    if configuration is not None and result is not None:
        tracker.log(result, configuration.name)
