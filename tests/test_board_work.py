"""What the board does for each cell must not grow with the number of cells: counted in Python's own instructions."""

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from orchestrator.board import BoardState, Cell

SLOTS = [f"n/{number}" for number in range(4)]


def plain(count: int) -> list[Cell]:
    """Configurations of 10 blocks of two languages."""
    return [Cell(f"c{number}", number // 20, number // 2 % 10, None, {}) for number in range(count)]


def long(count: int) -> list[Cell]:
    """Two configurations of very many blocks."""
    return [Cell(f"c{number}", number % 2, number // 2, None, {}) for number in range(count)]


def behind_a_canary(count: int) -> list[Cell]:
    """All wait for one short cell."""
    behind = [Cell(cell.key, cell.configuration, cell.block, None, {}, ("canary",)) for cell in plain(count)]
    return [Cell("canary", None, -1, None, {}, role="canary"), *behind]


def with_stages(count: int) -> list[Cell]:
    """A stage for each ten cells."""
    cells = []
    for cell in plain(count):
        stage = f"stage{int(cell.key[1:]) // 10}"
        if int(cell.key[1:]) % 10 == 0:
            cells.append(Cell(stage, None, -1, None, {}, role="stage"))
        cells.append(Cell(cell.key, cell.configuration, cell.block, None, {}, (stage,)))
    return cells


def work_off(state: BoardState, failing: str = "") -> None:
    """Four slots on one GPU take all cells, as the actor, the driver and a trial ask all the while.

    Every tenth cell fails for the cause `failing`, each time.
    """
    told, turn = 0, 0
    while not state.snapshot().settled:
        for slot in SLOTS:
            answer = state.take(slot, 1, "GPU 0")
            state.should_stop(slot, 1)
        for slot in SLOTS:
            lease = state.leases.get(slot)
            if lease is not None:
                state.progress(slot, 1, lease.key, 1, 2, "training")
                if failing and lease.key.endswith("7"):
                    state.failed(slot, 1, lease.key, failing, "")
                else:
                    state.done(slot, 1, lease.key, {})
            state.has_news(0, 10**9, 10**9)
        told += len(state.events[told:])
        turn += 1
        assert answer


def instructions(task: Callable[[], object]) -> int:
    """How many of Python's instructions run in it: loops in comprehensions count, copies within C do not."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        task()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["", "memory", "error"])
@pytest.mark.parametrize("cells", [plain, long, behind_a_canary, with_stages])
def test_the_work_for_a_cell_is_the_same_on_a_small_and_on_a_large_board(
    cells: Callable[[int], Sequence[Cell]], failing: str
) -> None:
    each = []
    for count in (200, 2000):
        state = BoardState()
        put = instructions(lambda state=state, count=count: state.put(cells(count), {}))
        each.append((put + instructions(lambda state=state: work_off(state, failing))) / count)
    assert each[1] < 1.15 * each[0]


@pytest.mark.slow
def test_withdrawing_costs_what_the_configuration_has_whatever_else_waits() -> None:
    costs = []
    for count in (400, 4000):
        state = BoardState()
        state.put(plain(count), {})
        costs.append(instructions(lambda state=state: state.withdraw(3)))
    assert costs[1] < 1.15 * costs[0]
