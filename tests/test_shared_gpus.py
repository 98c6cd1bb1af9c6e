"""Slots that share GPUs, on a real local Ray that counts two of them: who gets which, and who is alone on one."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.air._internal.device_manager.nvidia_gpu import CUDATorchDeviceManager

from orchestrator.board import Cell
from orchestrator.board_actor import start_board
from orchestrator.slots import Slots
from orchestrator.work import share_of_gpu
from orchestrator.worker import Work
from tests.local_ray import PATIENCE_S, started
from tests.noted_work import note, until


def make_work() -> Work:
    """Notes on which GPU a cell begins and ends; waits for a file, or runs out of memory where it is told to."""

    def work(payload: dict[str, Any], report: Callable[[int, int, str], None], stopped: Callable[[], bool]) -> Any:  # noqa: ARG001
        folder, key = Path(payload["folder"]), payload["key"]
        gpu = ",".join(map(str, ray.get_gpu_ids()))
        note(folder / "log", key, f"begun on {gpu}")
        if payload.get("too_large") and not (folder / "failed").exists():
            until(lambda: (folder / "fail").exists(), PATIENCE_S)
            (folder / "failed").touch()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 99 GiB.")
        if "waits_for" in payload:
            until(lambda: (folder / payload["waits_for"]).exists(), PATIENCE_S)
        time.sleep(0.05)
        note(folder / "log", key, f"ended on {gpu}")
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = [str(one) for one in CUDATorchDeviceManager().get_devices()]
        return {"valid_uar": 0.5, "gpu": gpu, "seen": seen, "devices": devices, "told": share_of_gpu()}

    return work


@pytest.fixture(scope="module")
def two_gpus() -> Iterator[None]:
    with started(cpus=4, gpus=2):
        yield


@contextmanager
def manned(folder: Path, limit: int | None, gpus_per_cell: float, slots: int) -> Iterator[Any]:
    """A board with as many living slots."""
    board = start_board()
    crew = Slots(board, make_work, limit, gpus_per_cell, folder / "ray", print)
    crew.tend()
    ray.get(board.put.remote([], {}))
    until(lambda: len(ray.get(board.poll.remote(0))[2].slots) == slots, PATIENCE_S)
    yield board
    crew.closing = True
    ray.get(board.close.remote())
    crew.join(20.0)
    ray.kill(board)


@pytest.fixture
def board(two_gpus: None, tmp_path: Path) -> Iterator[Any]:  # noqa: ARG001
    with manned(tmp_path, None, 0.5, 4) as board:
        yield board


def history(log: Path) -> list[tuple[str, str, str]]:
    """(cell, "begun" or "ended", GPU), in the order in which it was noted."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [(key, *what.split(" on ")) for key, what, _ in lines]


@pytest.mark.slow
def test_two_slots_share_each_gpu_and_a_cell_out_of_memory_runs_again_alone_on_one(board: Any, tmp_path: Path) -> None:
    def cell(key: str, **payload: Any) -> Cell:
        return Cell(key, 0, 0, None, {"key": key, "folder": str(tmp_path), **payload})

    cells = [cell("large", too_large=True), *[cell(f"first{number}", waits_for="go") for number in range(3)]]
    cells += [cell(f"more{number}") for number in range(12)]
    ray.get(board.put.remote(cells, {}))
    until(lambda: len(history(tmp_path / "log")) == 4, PATIENCE_S)
    assert Counter(gpu for _, _, gpu in history(tmp_path / "log")) == {"0": 2, "1": 2}

    (tmp_path / "fail").touch()
    until(lambda: (tmp_path / "failed").exists(), PATIENCE_S)
    (tmp_path / "go").touch()
    until(lambda: ray.get(board.poll.remote(0))[2].settled, PATIENCE_S)
    summaries = {event.key: event.summary for event in ray.get(board.poll.remote(0))[1]}
    assert sorted(summaries) == sorted(cell.key for cell in cells)
    assert all(summary["devices"] == [f"cuda:{summary['gpu']}"] for summary in summaries.values())
    assert all(summary["told"] == {"gpus": "0.5"} for summary in summaries.values())

    there = [(key, what) for key, what, gpu in history(tmp_path / "log") if gpu == summaries["large"]["gpu"]]
    again = len(there) - 1 - there[::-1].index(("large", "begun"))
    before = Counter(key for key, _ in there[:again] if key != "large")
    assert set(before.values()) <= {2}  # what began there had ended
    assert there[again + 1] == ("large", "ended")


@pytest.mark.slow
def test_slots_without_gpus_see_none_where_there_are_some(two_gpus: None, tmp_path: Path) -> None:  # noqa: ARG001
    with manned(tmp_path, 1, 0.0, 1) as board:
        cell = Cell("cell", 0, 0, None, {"key": "cell", "folder": str(tmp_path)})
        ray.get(board.put.remote([cell], {}))
        until(lambda: ray.get(board.poll.remote(0))[2].settled, PATIENCE_S)
        (event,) = ray.get(board.poll.remote(0))[1]
    assert (event.summary["gpu"], event.summary["seen"], event.summary["told"]) == ("", "", {})
