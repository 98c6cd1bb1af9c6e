"""What is stopped lets go by itself, on a real local Ray: a slot its cell, and a trial that waits for the board."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestrator import trial
from orchestrator.board import Cell
from orchestrator.board_actor import start_board
from orchestrator.objective import Objective, mean_language
from tests.local_ray import started
from tests.noted_work import note

mirror = trial.mirror


def noted_mirror(config: dict[str, Any], board: Any, objective: Objective) -> None:
    """The trial's function, which notes when it comes to its own end: one that is killed does not."""
    place = config["configuration"]
    note(Path(place["log"]), str(place["index"]), f"began {time.monotonic()}")
    mirror(config, board, objective)
    note(Path(place["log"]), str(place["index"]), f"ended {time.monotonic()}")


class DropsTheOneBefore(FIFOScheduler):
    """Whoever reports beats the configuration before it, as a race would: it is withdrawn while its trial waits."""

    board: Any = None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        place = trial.config["configuration"]
        if place["index"]:
            note(Path(place["log"]), str(place["index"] - 1), f"dropped {time.monotonic()}")
            ray.get(self.board.withdraw.remote(place["index"] - 1))
        return str(TrialScheduler.CONTINUE)


@pytest.mark.slow
def test_a_trial_that_is_dropped_while_it_waits_for_the_board_lets_the_next_one_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials may live at a time, and no cell of configurations 0 and 1 but the first will ever be done."""
    monkeypatch.setattr(trial, "LIVE_TRIALS", 2)
    monkeypatch.setattr(trial, "mirror", noted_mirror)
    log = tmp_path / "log"
    with started(cpus=1):
        scheduler = DropsTheOneBefore()
        scheduler.board = board = start_board()
        first = [Cell(f"first{number}", number, 0, None, {}) for number in range(3)]
        never = [Cell(f"never{number}", number, 1, None, {}) for number in range(2)]
        ray.get(board.put.remote([*first, *never], {cell.key: {"valid_uar": 0.5} for cell in first}))
        trial.tune_configurations(board, [{"log": str(log)}] * 3, mean_language, tmp_path / "tune", scheduler=scheduler)
    said = [(key, what.split()[0]) for key, what in lines(log)]
    assert sorted(said) == sorted(
        [(key, what) for key in "012" for what in ("began", "ended")] + [("0", "dropped"), ("1", "dropped")]
    )
    assert said.index(("0", "dropped")) < said.index(("0", "ended")) < said.index(("2", "began"))
    at = {(key, what.split()[0]): float(what.split()[1]) for key, what in lines(log)}
    print(f"waiting trials ended {[round(at[key, 'ended'] - at[key, 'dropped'], 3) for key in '01']} s after the drop")


def lines(log: Path) -> list[tuple[str, str]]:
    """(configuration, what it noted) in order."""
    return [(key, what) for key, what, _ in map(json.loads, log.read_text().splitlines())]
