"""Canaries: a short cell of each kind before all others, and what its death does to them."""

from typing import Any

from orchestrator.board import BoardState, Cell
from orchestrator.cells import CANARY, with_canaries


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
