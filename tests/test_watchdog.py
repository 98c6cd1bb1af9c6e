"""The watchdog: it speaks within its patience where nothing moves, and only then; on a real Ray, too."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator import engine
from orchestrator.board import Lease, Snapshot
from orchestrator.watchdog import Watchdog, told
from tests.faults.processes import below
from tests.local_ray import PATIENCE_S, started
from tests.noted_work import make_work, notes, plan, until

SUPPLY = "a slot needs 1 CPU; the cluster has 2 CPU, 0 GPU, of which 0 CPU, 0 GPU are free"


def shot(waiting: int = 3, trouble: str = "", **slots: Lease | None) -> Snapshot:
    running = sum(lease is not None for lease in slots.values())
    return Snapshot(0, running, waiting, 0, 0, slots, trouble)


def at(step: int) -> Lease:
    return Lease(1, "k" * 64, step, 12, "training")


def spoken(watchdog: Watchdog, shots: dict[int, Snapshot]) -> dict[int, float]:
    """At which seconds it speaks, and of how many seconds; each snapshot holds from its second on, up to the last."""
    said = {}
    for second in range(max(shots) + 1):
        current = shots[max(begin for begin in shots if begin <= second)]
        if seconds := watchdog.heed(current, float(second)):
            said[second] = seconds
    return said


def test_a_sweep_whose_slots_take_steps_is_left_in_peace() -> None:
    assert spoken(Watchdog(60.0, 0.0), {50 * step: shot(a=at(step), b=at(0)) for step in range(12)}) == {}


def test_silence_is_told_within_patience_and_again_after_twice_as_long_until_something_moves() -> None:
    shots = {0: shot(a=at(1)), 300: shot(a=at(2)), 361: shot(a=at(2))}
    assert spoken(Watchdog(60.0, 0.0), shots) == {61: 60.0, 121: 120.0, 241: 240.0, 361: 60.0}


def test_slots_that_do_not_come_are_told_however_the_queue_changes() -> None:
    assert spoken(Watchdog(60.0, 0.0), {0: shot(3), 30: shot(4), 130: shot(5)}) == {61: 60.0, 121: 120.0}


def test_a_line_says_demand_and_supply() -> None:
    assert told(shot(), 60.0, SUPPLY) == f"3 cells wait and no slot has come for 60 s: {SUPPLY}"
    assert told(shot(trouble="OOM"), 60.0, SUPPLY).endswith("are free; a slot died of OOM")
    idle = told(shot(1, a=None, b=None), 60.0, SUPPLY)
    assert idle == f"1 cell waits and none of 2 idle slots takes one for 60 s: {SUPPLY}"
    busy = told(shot(a=at(3), b=Lease(1, "other"), c=None), 120.0, SUPPLY)
    assert busy == (
        "no slot has taken a step for 120 s (a at cell kkkkkkkkkkkk: step 3 of 12, training, b at cell other: has not "
        f"begun), and 3 cells wait: {SUPPLY}"
    )
    many = told(shot(**{name: at(1) for name in "abcde"}), 60.0, SUPPLY)
    assert many.count("at cell") == 3
    assert "2 more), and 3 cells wait" in many


@contextmanager
def halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with started(cpus=2):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_slots_at_which_nothing_moves_are_told_and_the_run_goes_on(tmp_path: Path) -> None:
    """Both wait for a file, as they would for a file system that does not answer."""
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        if "has taken a step" in text and "and 2 cells wait" in text:
            (tmp_path / "go").touch()

    cells = plan(tmp_path / "log", blocks=2, configurations=2, waits_for=str(tmp_path / "go"))
    outcome = engine.run(cells, [{}, {}], make_work, scratch=tmp_path / "ray", slots=2, on_notice=hear, patience_s=3.0)
    assert outcome.done == 4
    lines = [line for line in said if line.startswith("no slot has taken a step for 3 s (")]
    assert "and 2 cells wait: a slot needs 1 CPU; the cluster has 2 CPU, 0 GPU, of which 0 CPU" in lines[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_board_that_does_not_answer_is_told_and_the_run_goes_on_when_it_does(tmp_path: Path) -> None:
    said: list[str] = []
    answered = threading.Event()

    def hear(text: str) -> None:
        said.append(text)
        if text.startswith("the board has not answered"):
            answered.set()

    def halt() -> None:
        until(lambda: len(notes(tmp_path / "log", "begun")) == 2, PATIENCE_S)
        (board,) = [process for process in below(os.getpid()) if process.kind == "board"]
        with halted(board.pid):
            assert answered.wait(PATIENCE_S)
        (tmp_path / "go").touch()

    beside = threading.Thread(target=halt)
    beside.start()
    cells = plan(tmp_path / "log", blocks=2, configurations=1, waits_for=str(tmp_path / "go"))
    outcome = engine.run(cells, [{}], make_work, scratch=tmp_path / "ray", slots=2, on_notice=hear, patience_s=5.0)
    beside.join()
    assert (outcome.done, outcome.failed) == (2, ())
    assert [line for line in said if line.startswith("the board has not answered for 5 s: its process hangs")]
