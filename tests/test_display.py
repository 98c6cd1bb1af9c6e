"""What is said of the time that is left: by a clock of our own, against cells of a known length."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from orchestrator import display
from orchestrator.board import Lease, Snapshot
from orchestrator.display import Display


class Clock:
    """In place of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(display, "time", made)
    return made


def said(shown: Display) -> str:
    text = shown.console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def at_work(second: int, cells: int) -> Snapshot:
    """Two slots, cells of 10 s."""
    lease = Lease(1, "key", step=second % 10, steps=10, phase="training")
    done = 2 * (second // 10)
    return Snapshot(done, 2, cells - done - 2, 0, 0, {"a": lease, "b": lease})


def test_the_time_left_is_that_of_cells_alone_without_rays_start_and_rehearsals(clock: Clock) -> None:
    """60 cells of 10 s on two slots."""
    shown = Display({}, 0, Console(file=io.StringIO(), width=200))
    for _ in range(35):  # Ray starts
        clock.now += 1
        shown.show(Snapshot(0, 0, 60, 0, 0, {}))
    for _ in range(20):  # a rehearsal
        clock.now += 1
        shown.show(Snapshot(0, 1, 60, 0, 0, {"a": Lease(1, "key", step=2, steps=3)}), rehearsing=True)
    assert "left" not in said(shown)
    for second in range(21):
        shown.show(at_work(second, 60))
        clock.now += 1
    assert said(shown).splitlines()[-1] == "cells: 4 done, 2 running, 54 waiting, about 4 min 40 s left"


def test_results_of_earlier_runs_are_counted_but_took_no_time(clock: Clock) -> None:
    shown = Display({}, 100, Console(file=io.StringIO(), width=200))
    for second in range(16):
        shown.show(at_work(second, 6))
        clock.now += 1
    assert said(shown).splitlines()[-1] == "cells: 102 done, 2 running, 2 waiting, about 15 s left"


def test_floors_that_end_beside_a_rehearsal_tell_nothing_of_longer_cells(clock: Clock) -> None:
    """15 of them in no time, then 45 cells of 10 s on two slots."""
    shown = Display({}, 0, Console(file=io.StringIO(), width=200))
    for _ in range(30):
        clock.now += 1
        shown.show(Snapshot(15, 1, 44, 0, 0, {"a": Lease(1, "key", step=2, steps=3)}), rehearsing=True)
    for second in range(26):
        now = at_work(second, 45)
        shown.show(replace(now, done=now.done + 15))
        clock.now += 1
    lines = [line for line in said(shown).splitlines() if "left" in line]
    assert lines[-1] == "cells: 19 done, 2 running, 39 waiting, about 3 min 20 s left"
