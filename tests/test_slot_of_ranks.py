"""Slots of two ranks that train cells together, on a real local Ray with gloo: results, deaths, faults and stops."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from orchestrator.board import Cell, Event, Snapshot
from orchestrator.board_actor import start_board
from orchestrator.slots import Slots
from tests.local_ray import PATIENCE_S, started
from tests.noted_work import notes, until
from tests.trained_work import STEPS, losses, make_training, trained

WITHOUT_EFFECT = ("or.0.bias", "or.1.running_mean")
"""A bias before a batch norm changes nothing: its gradient is rounding alone, which Adam makes as large as any."""


@dataclass
class Pair:
    """One living slot of two ranks, and a board that a test puts cells on."""

    board: Any
    root: Path
    count: int = 0

    def cell(self, configuration: int = 0, **payload: Any) -> Cell:
        self.count += 1
        folder = self.root / f"cell{self.count}"
        folder.mkdir()
        if "halts_at" not in payload:
            (folder / "go").touch()
        key = f"key{self.count}"
        return Cell(key, configuration, self.count, None, {"key": key, "folder": str(folder), **payload})

    def put(self, *cells: Cell) -> None:
        ray.get(self.board.put.remote(list(cells), {}))

    def snapshot(self) -> Snapshot:
        snapshot: Snapshot = ray.get(self.board.poll.remote(0))[2]
        return snapshot

    def ends(self, *cells: Cell) -> list[Event]:
        """How these cells ended, once all have; each ended once."""
        until(lambda: self.snapshot().settled, PATIENCE_S)
        told = {event.key: event for event in ray.get(self.board.poll.remote(0))[1]}
        counts = Counter(event.key for event in ray.get(self.board.poll.remote(0))[1])
        assert all(counts[cell.key] == 1 for cell in cells)
        return [told[cell.key] for cell in cells]


def folder(cell: Cell) -> Path:
    return Path(cell.payload["folder"])


def said(cell: Cell, what: str) -> list[int]:
    """The processes that noted this."""
    return [pid for _, pid in notes(folder(cell) / "log", what)]


def halted(cell: Cell) -> dict[int, int]:
    """Rank -> process, once both wait in the middle of the cell."""
    until(lambda: len(list(folder(cell).glob("halted-*"))) == 2, PATIENCE_S)
    names = [path.name.split("-") for path in folder(cell).glob("halted-*")]
    return {int(rank): int(pid) for _, rank, pid in names}


def go(cell: Cell) -> None:
    (folder(cell) / "go").touch()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("pair")
    with started(cpus=2):
        board = start_board()
        ray.get(board.put.remote([], {}))
        crew = Slots(board, make_training, None, 0.0, root, print, ranks_per_cell=2)
        crew.tend()
        pair = Pair(board, root)
        until(lambda: len(pair.snapshot().slots) == 1, PATIENCE_S)
        yield pair
        crew.closing = True
        ray.get(board.close.remote())
        crew.join(20.0)


@pytest.fixture(scope="module")
def by_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and last weights of the same cell, trained by this process alone."""
    run, weights = trained(tmp_path_factory.mktemp("one"), lambda *_: None, lambda: False)
    return losses(run), weights


def require_same(cell: Cell, event: Event, by_one: tuple[list[float], dict[str, torch.Tensor]]) -> None:
    """Losses and weights of one rank to 1e-5, and the weights of both ranks equal to the bit."""
    assert event.summary is not None
    assert event.summary["leads"]
    assert event.summary["losses"] == pytest.approx(by_one[0], rel=1e-5, abs=1e-5)
    first, second = (torch.load(folder(cell) / f"{cell.key}-{rank}.pt") for rank in (0, 1))
    for name, value in by_one[1].items():
        assert torch.equal(first[name], second[name])
        if not name.endswith(WITHOUT_EFFECT):
            assert torch.allclose(first[name].float(), value.float(), rtol=1e-5, atol=1e-5), name


@pytest.mark.slow
def test_two_ranks_train_cells_together_to_the_result_of_one(
    pair: Pair, by_one: tuple[list[float], dict[str, torch.Tensor]]
) -> None:
    cells = [pair.cell(), pair.cell()]
    pair.put(*cells)
    for cell, event in zip(cells, pair.ends(*cells), strict=True):
        require_same(cell, event, by_one)
        assert len(set(said(cell, "begun"))) == len(said(cell, "begun")) == 2
    assert set(said(cells[0], "begun")) == set(said(cells[1], "begun"))  # the processes stay


@pytest.mark.slow
def test_a_cell_whose_rank_is_killed_goes_on_from_its_checkpoint_and_is_counted_once(
    pair: Pair, by_one: tuple[list[float], dict[str, torch.Tensor]]
) -> None:
    cell = pair.cell(halts_at=6)
    pair.put(cell)
    os.kill(halted(cell)[1], signal.SIGKILL)
    go(cell)
    (event,) = pair.ends(cell)
    require_same(cell, event, by_one)
    assert len(said(cell, "begun")) == 4
    assert len(said(cell, "step 4")) == 2  # its first epoch was not done again
    assert len(set(said(cell, "ended"))) == 2


@pytest.mark.slow
def test_a_fault_of_one_rank_is_the_cells_whatever_its_peer_says_and_the_slot_lives_on(pair: Pair) -> None:
    bad, good = pair.cell(halts_at=3, failing_rank=1, fault="error"), pair.cell()
    pair.put(bad, good)
    go(bad)
    failed, succeeded = pair.ends(bad, good)
    assert (failed.cause, failed.tries) == ("error", 1)
    assert failed.reason == "ValueError: no such thing"
    assert len(said(bad, "begun")) == 2
    assert succeeded.summary is not None


@pytest.mark.slow
def test_out_of_memory_on_one_rank_is_tried_once_more(pair: Pair) -> None:
    bad = pair.cell(halts_at=3, failing_rank=1, fault="memory")
    pair.put(bad)
    go(bad)
    (failed,) = pair.ends(bad)
    told = "out of memory 2 times, the last time alone: CUDA out of memory. Tried to allocate 9 GiB."
    assert failed.told == told
    assert len(said(bad, "begun")) == 4


@pytest.mark.slow
def test_a_withdrawn_configuration_stops_on_both_ranks_at_one_step_and_the_same_processes_take_the_next(
    pair: Pair,
) -> None:
    gone, stays = pair.cell(configuration=1, stops_at=6), pair.cell(configuration=2)
    pair.put(gone, stays)
    ranks = halted(gone)
    ray.get(pair.board.withdraw.remote(1))
    (event,) = pair.ends(stays)
    assert event.summary is not None
    assert set(said(stays, "begun")) == set(ranks.values())
    assert [len(said(gone, f"step {step}")) for step in range(1, STEPS + 1)] == [2] * 6 + [0] * 6
    assert torch.load(folder(gone) / gone.key / "last.pt")["run"]["step"] == 6
