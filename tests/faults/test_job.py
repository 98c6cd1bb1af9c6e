"""Jobs on a head of Ray that is started as on a cluster, with a token: a stopped sweep has time to leave well, and what
runs is the code of the folder that was submitted."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.ledger import Ledger
from tests.faults.processes import carrying
from tests.noted_work import until

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PATIENCE_S = 900.0
LEAVING_S = 300
"""Of `RAY_JOB_STOP_WAIT_TIME_S`, whose default of 3 s is too short for any sweep to write its checkpoints."""
WORDS = (
    *("baseline", "--languages", "demo-arda", "--folds", "0", "1", "--steps", "40", "--slots", "1"),
    *("--set", "epoch_steps=4", "--no-report", "--no-canary"),
)


@dataclass
class Head:
    """A head on 127.0.0.1, and the commands that speak to it. `mark`: what all its processes carry."""

    mark: str
    port: int
    environment: dict[str, str]

    def ray(self, *words: str) -> str:
        done = subprocess.run(
            [*RAY, *words], env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
        )
        return done.stdout + done.stderr

    def job(self, what: str, *words: str) -> str:
        return self.ray("job", what, "--address", f"http://127.0.0.1:{self.port}", *words)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def head() -> Iterator[Head]:
    pytest.importorskip("aiohttp_cors", reason="jobs take ray[default]: pip install -e '.[cluster]'")
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        token = Path(folder) / "token"
        token.write_text("f" * 64)
        token.chmod(0o600)
        passed_on = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "SER_DATA")}
        environment = {
            **passed_on,
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_JOB_STOP_WAIT_TIME_S": str(LEAVING_S),
            "RAY_raylet_start_wait_time_s": "120",
            "OMP_NUM_THREADS": "1",
        }
        port = free_port()
        start = ["start", "--head", "--block", f"--port={free_port()}", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
        dashboard = ["--dashboard-host=127.0.0.1", f"--dashboard-port={port}", "--disable-usage-stats"]
        started = subprocess.Popen(
            [*RAY, *start, *dashboard], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            made = Head(folder, port, environment)
            until(lambda: "No jobs" in made.job("list") or "[]" in made.job("list"), PATIENCE_S)
            yield made
        finally:
            started.kill()
            started.wait()
            for process in carrying(folder):
                process.kill()


@pytest.mark.slow
def test_a_stopped_job_leaves_with_checkpoints_and_the_same_command_goes_on(head: Head, tmp_path: Path) -> None:
    store = tmp_path / "store"
    sweep = [sys.executable, "-m", "orchestrator.sweep", *WORDS, "--store", str(store)]
    head.job("submit", "--no-wait", "--submission-id", "first", "--", *sweep)
    until(lambda: bool(list(store.glob("checkpoints/*/last.pt"))), PATIENCE_S)
    asked_at = time.monotonic()
    head.job("stop", "first")
    said = head.job("logs", "first")
    assert "interrupted; what is finished is kept, and the same command goes on from there" in said, said
    print(f"left {time.monotonic() - asked_at:.1f} s after `ray job stop`")
    assert list(store.glob("checkpoints/*/last.pt"))
    assert list((store / "ray").iterdir()) == []
    assert not [process for process in carrying(head.mark) if process.kind in ("slot", "controller", "trial", "board")]
    head.job("submit", "--submission-id", "second", "--", *sweep)
    assert "SUCCEEDED" in head.job("status", "second").upper()
    assert sum(result.spec.method == "baseline" for result in Ledger(store)) == 2
    assert not list(store.glob("checkpoints/*"))


def code_row(said: str) -> tuple[str, str]:
    """Mark and finding of preflight's row about the code."""
    found = re.search(r"^\W*([✓✗])\W+code\W+(.*)$", said, re.MULTILINE)
    assert found, said
    return found[1], found[2].split()[0]


@pytest.mark.slow
def test_a_job_runs_the_code_of_the_folder_that_was_submitted_on_driver_and_nodes(head: Head, tmp_path: Path) -> None:
    """What is installed there is this checkout; the folder that is submitted holds another `plan.py`."""
    folder = tmp_path / "laptop"
    for name in ("orchestrator", "trainers", "search_spaces"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "orchestrator" / "plan.py").open("a") as plan:
        plan.write("# Changed on the laptop.\n")
    asked = ["--", sys.executable, "-m", "orchestrator.preflight", "--store", str(tmp_path / "store")]
    installed = code_row(head.job("submit", *asked))
    submitted = code_row(head.job("submit", "--working-dir", str(folder), *asked))
    assert (installed[0], submitted[0]) == ("✓", "✓")
    assert installed[1] != submitted[1]
