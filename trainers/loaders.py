"""Processes that make arrays ahead of time: the waveforms of the next step, while this one trains.

What a job computes depends on its arguments alone, so the numbers are the same whoever does it: where a process is
gone, or cannot do it, the one that waits does it itself, and an error appears there as it would have without processes.
They are plain children with a pipe each way. They end when the pipe does, so none outlives its parent, however it ends.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float32]
Work = Callable[..., Array]
"""A function of a module, which a loader finds by their names; it takes what JSON can tell."""

MOST = 4
"""Processes that one training keeps busy at most."""
MOST_LOST = 3
"""How many processes of a thread may be lost before it starts no further one."""


def fitting(device: "torch.device") -> int:
    """How many loaders a training on `device` gets: of the cores that it may use, all but the one that it needs itself.

    Without a GPU the cores have enough to do with the training.
    """
    import torch  # not above: a loader imports what its jobs need, and starts the sooner

    return min(MOST, torch.get_num_threads() - 1) if device.type == "cuda" else 0


class Loaders:
    """`count` processes, started when there is work and kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="loader")
        self._own = threading.local()

    def begin(self, room: Array, work: Work, *given: Any) -> Callable[[], None]:
        """Let `room` be filled with `work(*given)`; the answer waits until it is, and raises what `work` raises."""
        filled = self._threads.submit(self._fill, room, work, given)

        def wait() -> None:
            if not filled.result():
                room[...] = work(*given)

        return wait

    def _fill(self, room: Array, work: Work, given: tuple[Any, ...]) -> bool:
        """Whether this thread's process could."""
        own = self._own.__dict__
        if "process" not in own:
            if own.setdefault("lost", 0) >= MOST_LOST:
                return False
            own["process"] = _Process()
        try:
            return bool(own["process"].fill(room, work, given))
        except (OSError, EOFError):
            own.pop("process").end()
            own["lost"] += 1
            return False


@lru_cache(maxsize=1)
def shared(count: int) -> Loaders:
    """The loaders of this process, which stay warm between its cells."""
    return Loaders(count)


class _Process:
    """One child and its pipes."""

    def __init__(self) -> None:
        unseen = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        self._child = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import answer; answer()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | unseen,
        )

    def fill(self, room: Array, work: Work, given: tuple[Any, ...]) -> bool:
        """Whether it could; OSError or EOFError where the child is gone."""
        jobs, answers = self._child.stdin, self._child.stdout
        assert jobs
        assert answers
        jobs.write(json.dumps([work.__module__, work.__qualname__, given]).encode() + b"\n")
        jobs.flush()
        done = answers.read(1)
        if not done:
            raise EOFError
        return done == b"1" and _read_into(answers, room)

    def end(self) -> None:
        """Wait for a child whose pipe is broken."""
        for pipe in (self._child.stdin, self._child.stdout):
            with suppress(OSError):
                assert pipe
                pipe.close()
        self._child.kill()
        self._child.wait()


def _read_into(answers: IO[bytes], room: Array) -> bool:
    """True once `room` is full, which must be contiguous; EOFError where its bytes end before."""
    left = room.data.cast("B")
    while left:
        count = answers.readinto(left)  # type: ignore[attr-defined]  # a buffered reader has it, IO[bytes] has not
        if not count:
            raise EOFError
        left = left[count:]
    return True


def answer() -> None:
    """A child's life: do what comes by the standard input until that ends. Nothing else may write to the pipe."""
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError, KeyboardInterrupt):
        for job in jobs:
            made = _tried(*json.loads(job))
            answers.write(b"0" if made is None else b"1")
            if made is not None:
                answers.write(made.data.cast("B"))
            answers.flush()


def _tried(module: str, name: str, given: list[Any]) -> Array | None:
    """None where it cannot be done here: who asked does it then, and meets the error."""
    try:
        work: Work = getattr(importlib.import_module(module), name)
        return np.ascontiguousarray(work(*given), dtype=np.float32)
    except Exception:
        return None
