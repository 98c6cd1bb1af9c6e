"""Two slots on a real local Ray: their processes are killed for good, and every cell is counted by the OS."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.board import Cell, Event, Snapshot
from orchestrator.board_actor import start_board
from orchestrator.slots import Slots
from orchestrator.worker import Work
from tests import noted_work
from tests.local_ray import PATIENCE_S, started
from tests.noted_work import RAISED, note, notes, until


def make_work() -> Work:
    """As `noted_work`; a cell may kill the process that works on it."""
    work = noted_work.make_work()

    def or_die(payload: dict[str, Any], report: Callable[[int, int, str], None], stopped: Callable[[], bool]) -> Any:
        if payload.get("kills_its_slot"):
            note(Path(payload["log"]), payload["key"], "begun")
            os.kill(os.getpid(), signal.SIGKILL)
        return work(payload, report, stopped)

    return or_die


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with started(cpus=2):
        yield


@dataclass
class Yard:
    """Two living slots and a board that a test puts cells on."""

    board: Any
    log: Path
    count: int = 0

    def cell(self, configuration: int = 0, block: int = 0, **payload: Any) -> Cell:
        self.count += 1
        key = f"key{self.count}"
        return Cell(key, configuration, block, None, {"key": key, "log": str(self.log), **payload})

    def put(self, *cells: Cell) -> None:
        ray.get(self.board.put.remote(list(cells), {}))

    def snapshot(self) -> Snapshot:
        snapshot: Snapshot = ray.get(self.board.poll.remote(0))[2]
        return snapshot

    def events(self, *cells: Cell) -> dict[str, Event]:
        """How these cells ended, once all have; each ended once."""
        until(lambda: self.snapshot().settled, PATIENCE_S)
        keys = {cell.key for cell in cells}
        told = [event for event in ray.get(self.board.poll.remote(0))[1] if event.key in keys]
        assert Counter(event.key for event in told) == Counter(keys)
        return {event.key: event for event in told}


@pytest.fixture(scope="module")
def yard(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("yard")
    board = start_board()
    ray.get(board.put.remote([], {}))
    crew = Slots(board, make_work, 2, 0.0, folder, print)
    crew.tend()
    yard = Yard(board, folder / "log")
    until(lambda: len(yard.snapshot().slots) == 2, PATIENCE_S)
    yield yard
    crew.closing = True
    ray.get(board.close.remote())
    crew.join(20.0)
    ray.kill(board)


@pytest.mark.slow
def test_two_slots_share_the_cells_and_run_each_once(yard: Yard) -> None:
    go = yard.log.parent / "both"
    cells = [*(yard.cell(waits_for=str(go)) for _ in range(2)), *(yard.cell() for _ in range(6))]
    yard.put(*cells)
    until(lambda: yard.snapshot().running == 2, PATIENCE_S)
    go.touch()
    ended = yard.events(*cells)
    assert len({event.summary["pid"] for event in ended.values() if event.summary}) == 2
    assert Counter(key for key, _ in notes(yard.log, "begun")) == Counter(cell.key for cell in cells)


@pytest.mark.slow
def test_progress_of_a_running_cell_is_to_be_seen(yard: Yard) -> None:
    cell = yard.cell(configuration=3, seconds=3600.0)
    yard.put(cell)

    def phases() -> set[str]:
        return {
            lease.phase for lease in yard.snapshot().slots.values() if lease and lease.key == cell.key and lease.step
        }

    until(lambda: phases() == {"sleeping"}, PATIENCE_S)
    ray.get(yard.board.withdraw.remote(3))
    until(lambda: yard.snapshot().settled, PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["error", "user", "nan"])
def test_a_cell_that_raises_fails_at_once_with_its_cause_and_the_slot_lives_on(yard: Yard, cause: str) -> None:
    bad, good = yard.cell(raises=cause), yard.cell()
    yard.put(bad, good)
    ended = yard.events(bad, good)
    assert ended[bad.key].cause == cause
    assert str(RAISED[cause]()) in ended[bad.key].message
    assert ("Traceback" in ended[bad.key].message) == (cause != "user")
    assert ended[good.key].summary is not None
    assert [key for key, _ in notes(yard.log, "begun")].count(bad.key) == 1


@pytest.mark.slow
def test_a_withdrawn_configuration_stops_and_the_other_goes_on(yard: Yard) -> None:
    gone = [yard.cell(configuration=1, seconds=30.0) for _ in range(2)] + [yard.cell(configuration=1)]
    stays = yard.cell(configuration=2)
    yard.put(*gone, stays)
    until(lambda: yard.snapshot().running == 2)
    ray.get(yard.board.withdraw.remote(1))
    assert yard.events(stays)[stays.key].summary is not None
    assert {key for key, _ in notes(yard.log, "stopped")} >= {cell.key for cell in gone[:2]}
    assert gone[2].key not in [key for key, _ in notes(yard.log, "begun")]


@pytest.mark.slow
def test_an_idle_slot_that_was_killed_swallows_no_cell(yard: Yard) -> None:
    first = yard.cell()
    yard.put(first)
    summary = yard.events(first)[first.key].summary
    assert summary is not None
    os.kill(summary["pid"], signal.SIGKILL)
    cells = [yard.cell(seconds=0.1) for _ in range(4)]
    yard.put(*cells)
    assert all(event.summary for event in yard.events(*cells).values())


@pytest.mark.slow
def test_cells_of_a_worker_killed_on_the_way_are_counted_exactly_once(yard: Yard) -> None:
    go = yard.log.parent / "killed"
    cells = [yard.cell(waits_for=str(go)) for _ in range(4)]
    yard.put(*cells)
    until(lambda: yard.snapshot().running == 2, PATIENCE_S)
    until(lambda: cells[0].key in [key for key, _ in notes(yard.log, "begun")], PATIENCE_S)
    os.kill(dict(notes(yard.log, "begun"))[cells[0].key], signal.SIGKILL)
    until(lambda: Counter(key for key, _ in notes(yard.log, "begun"))[cells[0].key] == 2, PATIENCE_S)
    go.touch()
    assert all(event.summary for event in yard.events(*cells).values())
    assert Counter(key for key, _ in notes(yard.log, "begun"))[cells[0].key] == 2


@pytest.mark.slow
def test_a_cell_that_kills_its_slot_each_time_is_given_up_and_named_and_all_others_are_done(yard: Yard) -> None:
    killer, *others = yard.cell(kills_its_slot=True), *[yard.cell(seconds=0.1) for _ in range(4)]
    yard.put(killer, *others)
    ended = yard.events(killer, *others)
    failed = ended.pop(killer.key)
    assert (failed.cause, failed.tries) == ("process", 4)
    assert failed.told.startswith("its process died 4 times: slot ")
    assert len([key for key, _ in notes(yard.log, "begun") if key == killer.key]) == 4
    assert all(event.summary for event in ended.values())
