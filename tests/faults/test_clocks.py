"""A machine's clock is set by a day while a sweep runs: every Python process of it sees that, on a real Ray."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.processes import below, carrying
from tests.noted_work import notes, until

ROOT = Path(__file__).parents[2]
DAY_S = 86_400
PATIENCE_S = 900.0

SETS_THE_CLOCK = """
import os, time

def shift():
    try:
        with open(os.environ["CLOCK"]) as file:
            return int(file.read() or 0)
    except OSError:
        return 0

time.time = lambda real=time.time: real() + shift()
time.time_ns = lambda real=time.time_ns: real() + shift() * 10**9
"""
"""Read by Python when it starts, before anything else: the clock is off by what a file says."""

DRIVER = """
import sys, time
from pathlib import Path
from orchestrator import engine
from tests.noted_work import make_work, plan

def say(snapshot):
    print("running" if snapshot.running == 2 else "starting", flush=True)

folder = Path(sys.argv[1])
cells = plan(folder / "log", blocks=3, configurations=2, waits_for=str(folder / "go"))
print(engine.run(cells, [{}, {}], make_work, scratch=folder / "scratch", slots=2, on_snapshot=say), flush=True)
print(f"by a clock of {time.time():.0f}", flush=True)
"""


ATTEMPTS = """
import os
from pathlib import Path
from orchestrator.board import BoardState
from orchestrator.worker import _Worker

board = BoardState()
board.put([], {})
told = []
for shift in ("0", "-86400"):
    Path(os.environ["CLOCK"]).write_text(shift)
    told.append(board.take("a/0", _Worker(None, "a/0", dict).attempt))
print(told)
"""


def test_a_slot_that_starts_anew_after_the_clock_was_set_back_is_not_taken_for_its_predecessor(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SETS_THE_CLOCK)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "CLOCK": str(tmp_path / "clock")}
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout == "['wait', 'wait']\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("days", [-1, 1], ids=["back", "on"])
def test_after_the_clock_was_set_a_killed_slot_comes_back_and_every_cell_is_done_once(
    tmp_path: Path, days: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SETS_THE_CLOCK)
    clock = tmp_path / "clock"
    clock.write_text("0")
    passed_on = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path)],
            env={**passed_on, "RAY_TMPDIR": ray, "PYTHONPATH": f"{tmp_path}:{ROOT}", "CLOCK": str(clock)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            until(lambda: len(notes(tmp_path / "log", "begun")) == 2, PATIENCE_S)
            (victim, *_) = [process for process in below(driver.pid) if process.kind == "slot"]
            clock.write_text(str(days * DAY_S))
            victim.kill()
            (tmp_path / "go").touch()
            said, _ = driver.communicate(timeout=PATIENCE_S)
        finally:
            driver.kill()
            for process in carrying(ray):
                process.kill()
    assert "Outcome(done=6, failed=(), interrupted=False" in said, said
    ended = {name for name, _ in notes(tmp_path / "log", "ended")}  # who ended as its peer died may have to end again
    assert len(ended) == 6
    told_s = int(said.splitlines()[-1].rpartition(" ")[2])
    assert (
        abs(told_s - (tmp_path / "log").stat().st_mtime - days * DAY_S) < DAY_S / 2
    )  # the file's date is the kernel's
