"""Work for slots that really trains: a few steps of the small world's cell, held and disturbed where a test says so."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from orchestrator.worker import Work
from tests import small_world
from tests.local_ray import PATIENCE_S
from tests.noted_work import RAISED, note, until
from trainers.loop import Run, train
from trainers.ranks import leads, world

STEPS, EPOCH_STEPS = 12, 4


def make_training() -> Work:
    """Trains by `payload`: "halts_at" a step until the file `go` lies in its folder, and one rank may fail there, or
    until it is told to stop."""

    def work(payload: dict[str, Any], report: Callable[[int, int, str], None], stopped: Callable[[], bool]) -> Any:
        folder, rank = Path(payload["folder"]), world()[0]
        note(folder / "log", payload["key"], "begun")

        def progress(step: int, steps: int, phase: str) -> None:
            report(step, steps, phase)
            note(folder / "log", payload["key"], f"step {step}")
            if step == payload.get("stops_at"):
                (folder / "go").touch()
                halt(folder, rank)
                while not stopped():
                    time.sleep(0.05)
            if step == payload.get("halts_at"):
                halt(folder, rank)
                if payload.get("failing_rank") in (rank, "all"):
                    raise FAULTS[payload["fault"]]()

        finished, weights = trained(folder / payload["key"], progress, stopped)
        note(folder / "log", payload["key"], "ended")
        torch.save(weights, folder / f"{payload['key']}-{rank}.pt")
        return {"valid_uar": 0.5, "losses": losses(finished), "pid": os.getpid(), "leads": leads()}

    return work


FAULTS: dict[str, Callable[[], Exception]] = {
    **RAISED,
    "memory": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
}


def halt(folder: Path, rank: int) -> None:
    (folder / f"halted-{rank}-{os.getpid()}").touch()
    until(lambda: (folder / "go").exists(), PATIENCE_S)


def trained(
    checkpoint: Path, progress: Callable[[int, int, str], None], stopped: Callable[[], bool]
) -> tuple[Run, dict[str, torch.Tensor]]:
    """The small world's BYOL cell, from its checkpoint where there is one."""
    torch.set_num_threads(1)
    cell = small_world.spec(steps=STEPS, epoch_steps=EPOCH_STEPS)
    method = small_world.method(cell)
    finished = train(
        method,
        cell.training,
        cell.seed,
        validate=None,
        checkpoint=checkpoint / "last.pt",
        progress=progress,
        stopped=stopped,
    )
    return finished, method.state_dict()


def losses(run: Run) -> list[float]:
    """The total loss of each step that left a row: with so few steps, of each."""
    return [row["loss/total"] for row in run.history]
