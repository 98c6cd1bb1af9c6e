"""Canaries: a short cell of each kind before all others, and what its death does to them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.board import BoardState, Cell, Event, Lease, Snapshot
from orchestrator.cells import CANARY, with_canaries
from orchestrator.ledger import Ledger
from orchestrator.run import Canaries
from orchestrator.sweep import STOPPED, main


def cell(key: str, method: str, *, needs: tuple[str, ...] = (), configuration: int | None = 0) -> Cell:
    payload: dict[str, Any] = {"method": method, "encoder_fingerprint": "0123456789"}
    return Cell(key, configuration, 0, None, payload, needs)


def stage(key: str, method: str) -> Cell:
    return Cell(key, None, -1, None, {"stage_of": cell(key, method).payload}, role="stage")


CELLS = [
    stage("s", "cl"),
    cell("a", "cl", needs=("s",)),
    cell("b", "byol", configuration=1),
    cell("c", "byol", configuration=1),
    cell("floor", "frozen_probe", configuration=None),
]


def test_each_kind_has_one_canary_that_all_of_it_need_and_floors_have_none() -> None:
    every = with_canaries(CELLS, {})
    canaries = [one for one in every if one.role == CANARY]
    assert every[:2] == canaries
    cl, byol = (one.key for one in canaries)
    assert "of cl" in cl
    assert "of byol" in byol
    assert {one.key: one.needs for one in every[2:]} == {
        "s": (cl,),
        "a": ("s", cl),
        "b": (byol,),
        "c": (byol,),
        "floor": (),
    }


def test_a_kind_of_which_something_is_done_needs_no_canary() -> None:
    every = with_canaries(CELLS, {"b": {}})
    assert [one.key for one in every if one.role == CANARY] == [with_canaries(CELLS, {})[0].key]
    assert next(one for one in every if one.key == "c").needs == ()


def test_a_canary_that_dies_takes_its_own_kind_with_it_and_says_why() -> None:
    every = with_canaries(CELLS, {})
    board = BoardState()
    board.put(every, {})
    held = board.take("a/0", 1)
    assert isinstance(held, Cell)
    assert held.role == CANARY
    board.failed("a/0", 1, held.key, "error", "no room on the disk")
    assert set(board.failures) == {held.key, "s", "a"}
    assert board.failures["s"].reason == "its canary failed: no room on the disk"
    assert board.failures["a"].reason.endswith("no room on the disk")
    assert all(event.because for key, event in board.failures.items() if key != held.key)
    assert isinstance(after := board.take("a/0", 1), Cell)
    assert "of byol" in after.key


def test_what_is_shown_of_a_run_leaves_its_canaries_out() -> None:
    canaries = Canaries({key: cell(key, "byol") for key in ("one", "other")}, lambda _: ())
    at_first = Snapshot(0, 1, 61, 0, 0, {"slot": Lease(1, "one"), "idle": None})
    assert canaries.left_out(at_first) == replace(at_first, running=0, waiting=60)
    assert canaries.running
    canaries.ends["one"] = Event("one", {"valid_uar": 0.5})
    beside = Snapshot(
        3, 2, 57, 0, 0, {"slot": Lease(1, "other"), "more": Lease(1, "floor")}
    )  # two floors, and one runs
    assert canaries.left_out(beside) == replace(beside, done=2, running=1)
    canaries.ends["other"] = Event("other", cause="error", message="no")
    assert not canaries.running
    after = Snapshot(4, 2, 55, 2, 0, {"slot": Lease(1, "a"), "more": Lease(1, "b")})
    assert canaries.left_out(after) == replace(after, done=3, failed=1)


@pytest.mark.slow
def test_a_fault_of_all_cells_ends_a_sweep_with_its_cause_before_any_cell_is_tried(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An encoder whose weights are not those that its config tells: planning does not load it, slots do."""
    asked = ["byol_tau", "--steps", "60", "--batch-size", "4", "--store", str(tmp_path)]
    assert main([*asked, "--dry-run"]) == 0
    config = tmp_path / "demo" / "encoder" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "d_model": 2 * told["d_model"]}))
    assert main(asked) == STOPPED
    said = capfd.readouterr()
    assert "every cell would fail: " in said.out
    assert "demo/encoder" in said.out
    assert said.err.count("failed: canary of byol") == 1
    assert "failed: tau" not in said.err
    methods = {result.spec.method for result in Ledger(tmp_path)}
    assert "byol" not in methods
