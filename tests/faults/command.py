"""The command of a sweep as a process, with a Ray of its own that shares no folder with any other on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.processes import Process, below, carrying, look, shared_memory

WORDS = (
    *("methods", "--languages", "demo-arda", "--folds", "0", "1", "--steps", "12", "--slots", "2"),
    *("--set", "epoch_steps=3", "tau_horizon=paper", "--no-report", "--no-canary"),
)
"""Five methods, one of them with a stage, on two folds: ten cells and four stages."""


class Command:
    """`python -m orchestrator.sweep` on a store; it may be started again and again.

    `ray`: a folder of its own with a short name, where its Ray lies; its name marks every process of the sweep.
    """

    def __init__(self, store: Path, ray: Path, words: tuple[str, ...] = WORDS) -> None:
        self.store, self.ray, self.words = store, ray, words
        self.starts = 0
        self.seen_memory: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        store.mkdir(parents=True, exist_ok=True)
        ray.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> Path:
        """What the command said, start after start."""
        return self.store.with_name(f"{self.store.name}.log")

    def start(self) -> None:
        self.starts += 1
        line = [sys.executable, "-m", "orchestrator.sweep", *self.words, "--store", str(self.store)]
        passed_on = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "RAY_ADDRESS")}
        environment = {**passed_on, "RAY_TMPDIR": str(self.ray), "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def driver(self) -> Process | None:
        return look(self.pid) if self.code is None else None

    def processes(self) -> list[Process]:
        """Those below the driver, whose shared memory is noted by the way."""
        found = below(self.pid) if self.code is None else []
        self.seen_memory |= shared_memory(found)
        return found

    def victims(self) -> dict[str, list[Process]]:
        """Kind -> the living processes of it."""
        found: dict[str, list[Process]] = {}
        for process in self.processes():
            if process.kind:
                found.setdefault(process.kind, []).append(process)
        if driver := self.driver():
            found["driver"] = [driver]
        return found

    def wait(self, seconds: float) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End the driver and whatever carries the mark."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(60.0)
        for process in self.left():
            process.kill()

    def left(self) -> list[Process]:
        """Living processes of this sweep."""
        return carrying(str(self.ray))

    def progress(self) -> int:
        """How many results and stages lie in the store."""
        return sum(1 for pattern in ("cells/??/*.json", "stages/??/*/stage.json") for _ in self.store.glob(pattern))
