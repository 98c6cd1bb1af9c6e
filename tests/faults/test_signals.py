"""How a driver leaves when it is told to by a person in a hurry, or when its Ray dies under it; on a real Ray."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.cluster import Signals
from orchestrator.scratch import remove_left
from tests.faults.processes import below, carrying
from tests.noted_work import notes, until

ROOT = Path(__file__).parents[2]

DRIVER = """
import sys
from pathlib import Path
from orchestrator import engine
from tests.noted_work import make_work, plan

def say(snapshot):
    print("running" if snapshot.running == 2 else "starting", flush=True)

folder = Path(sys.argv[1])
cells = plan(folder / "log", blocks=4, configurations=2, seconds=600.0)
print(engine.run(cells, [{}, {}], make_work, scratch=folder / "scratch", slots=2, on_snapshot=say), flush=True)
"""

ORPHAN = """
import os, time
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
from orchestrator import cluster
import ray
with cluster.connected(1):
    (raylet,) = [process for name, process in ray._private.worker._global_node.live_processes() if name == "raylet"]
    raylet.kill()
    raylet.wait()
    try:
        ray._private.utils.push_error_to_driver(ray._private.worker.global_worker, "kind", "words")
    except OSError as error:
        print(os.getppid(), error, flush=True)
    os._exit(0)
"""

ENDED = "ended (killed, or out of memory); the same command goes on from there; what is finished is kept"
RAY_WAS_QUICKER = ("Raylet is terminated. Termination is unexpected.", "An unexpected system state has occurred.")
"""Ray itself ends a driver whose raylet is gone, with the end of the raylet's log; or one of its own checks fails."""

PATIENCE_S = 300.0


@contextmanager
def ray_of_its_own() -> Iterator[tuple[str, dict[str, str]]]:
    """A mark that all processes of a Ray carry, and the surroundings in which to start it; at the end none are left."""
    surroundings = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_RAYLET_PID")}
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray:
        try:
            yield ray, {**surroundings, "RAY_TMPDIR": ray, "PYTHONPATH": str(ROOT)}
        finally:
            for process in carrying(ray):
                process.kill()


@contextmanager
def driving(folder: Path) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """A driver with two running cells, leader of its process group, and the mark that all its processes carry."""
    with ray_of_its_own() as (mark, surroundings):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder)],
            env=surroundings,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            assert driver.stdout is not None
            while driver.stdout.readline() != "running\n":
                assert driver.poll() is None
            until(lambda: len(notes(folder / "log", "begun")) == 2, PATIENCE_S)
            yield driver, mark
        finally:
            driver.kill()


@pytest.mark.slow
def test_two_interrupts_at_once_leave_no_process_and_no_scratch_folder(tmp_path: Path) -> None:
    with driving(tmp_path) as (driver, mark):
        os.killpg(driver.pid, signal.SIGINT)
        os.killpg(driver.pid, signal.SIGINT)
        said, _ = driver.communicate(timeout=PATIENCE_S)
        assert [line for line in said.splitlines() if line.startswith("Outcome(done=0, failed=(), interrupted=True")]
        until(lambda: not carrying(mark), PATIENCE_S)
    assert not list((tmp_path / "scratch").glob("*/held"))
    remove_left(tmp_path / "scratch")  # a trial may write once more as it ends; the next run does this
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_signal_is_known_while_the_main_thread_is_inside_something_that_lets_no_handler_run() -> None:
    """As `ray.get` is for up to a second. Whoever then sees that Ray is dead must know that both were told to end."""
    known: list[bool] = []

    def watch() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # so it has come when this returns
        known.append(signals.came)

    with Signals() as signals:
        assert not signals.came
        watcher = threading.Thread(target=watch)
        watcher.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # a second or more, without Python's lock
        watcher.join()
        assert signals.count == 1
    assert known == [True]
    assert signal.set_wakeup_fd(-1) == -1


def terminate_all(driver: int) -> None:
    os.killpg(driver, signal.SIGTERM)


def kill_one(kind: str) -> Callable[[int], None]:
    def kill(driver: int) -> None:
        (victim,) = [process for process in below(driver) if process.kind == kind]
        victim.kill()

    return kill


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blow", "code", "last"),
    [
        (terminate_all, 130, "interrupted; what is finished is kept"),
        (kill_one("gcs"), 1, f"error: Ray's own gcs_server {ENDED}"),
        (kill_one("raylet"), 1, f"error: Ray's own raylet {ENDED}"),
    ],
    ids=["SIGTERM to the whole group", "gcs", "raylet"],
)
def test_a_driver_whose_ray_is_gone_says_so_and_leaves(
    tmp_path: Path, blow: Callable[[int], None], code: int, last: str
) -> None:
    with driving(tmp_path) as (driver, mark):
        blow(driver.pid)
        said, _ = driver.communicate(timeout=PATIENCE_S)
        was_quicker = driver.returncode and any(words in said for words in RAY_WAS_QUICKER)
        assert was_quicker or (driver.returncode == code and last in said.splitlines()), said
        assert "Traceback" not in said
        until(lambda: not carrying(mark), PATIENCE_S)


@pytest.mark.slow
def test_a_driver_whose_terminal_is_closed_still_has_the_last_word_when_its_ray_dies() -> None:
    """Ray would end it without one: it is a child of process 1 then."""
    with ray_of_its_own() as (_, surroundings):
        line = [sys.executable, "-c", ORPHAN]
        run = subprocess.run(line, env=surroundings, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    if run.stdout and not run.stdout.startswith("1 "):
        pytest.skip("whose parent is gone is here a child of another process than 1")
    assert run.stdout == "1 Broken pipe\n", run.stderr
