"""What a slot does all its life: take a cell from the board, work, say what came of it. One rank of a Ray trainer.

A rank never talks to its peers, so one may be in its third epoch while another starts: nothing here may call
`ray.train.report`, which waits for all ranks.
"""

import gc
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import ray

from orchestrator.board import Cause, Cell, Summary
from trainers.errors import UserError

Report = Callable[[int, int, str], None]
Work = Callable[[dict[str, Any], Report, Callable[[], bool]], Summary]
"""`work(payload, report, stopped) -> summary`: `report(step, steps, phase)`; it raises soon after `stopped()`."""

BEAT_S = 1.0
"""Seconds between two heartbeats of a running cell."""


def work_off(config: dict[str, Any]) -> None:
    """The train function: take and work off cells until the board is closed."""
    import ray.train

    board = config["board"]
    slot = config["names"][ray.train.get_context().get_world_rank()]
    attempt = time.time_ns()
    _use_threads(config["threads"])
    worker = _Worker(board, slot, attempt, config["make_work"])
    while (cell := ray.get(board.take.remote(slot, attempt))) != "closed":
        if cell == "stale":
            raise RuntimeError(f"slot {slot} was declared dead while it lived")
        worker.run(cell)


def _use_threads(count: int) -> None:
    import torch

    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


class _Worker:
    """One process: makes its work when the first cell comes, and keeps it warm."""

    def __init__(self, board: Any, slot: str, attempt: int, make_work: Callable[[], Work]) -> None:
        self.board, self.slot, self.attempt = board, slot, attempt
        self._make_work = make_work
        self._work: Work | None = None

    def run(self, cell: Cell) -> None:
        """Work off one cell and tell the board; raises only when this process can do no more (a broken GPU)."""
        who = (self.slot, self.attempt, cell.key)
        with _Pulse(self.board, *who) as pulse:
            try:
                self._work = self._work or self._make_work()
                summary = self._work(cell.payload, pulse.report, pulse.stopped)
                failure = None
            except Exception as error:
                failure = ("stopped" if pulse.stopped() else cause_of(error), _text(error))
                broken = _is_beyond_repair(error)
        if failure is None:
            ray.get(self.board.done.remote(*who, summary))
            return
        ray.get(self.board.failed.remote(*who, *failure))
        _give_memory_back()
        if broken:
            raise RuntimeError(f"slot {self.slot} starts anew: {failure[1].splitlines()[-1]}")


class _Pulse:
    """A running cell's heartbeat: sends how far it is, and brings back whether it is to stop."""

    def __init__(self, board: Any, slot: str, attempt: int, key: str) -> None:
        self._at: tuple[int, int, str] = (0, 0, "")
        self._send: Callable[[], Any] = lambda: board.beat.remote(slot, attempt, key, *self._at)
        self._stop = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def report(self, step: int, steps: int, phase: str) -> None:
        self._at = (step, steps, phase)

    def stopped(self) -> bool:
        return self._stop

    def __enter__(self) -> "_Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            answer = self._send()
            ready, _ = ray.wait([answer], timeout=BEAT_S)
            self._stop = self._stop or bool(ready and ray.get(answer))


def cause_of(error: BaseException) -> Cause:
    """Why a cell failed, which decides whether it is worth another try."""
    import torch

    if isinstance(error, UserError):
        return "user"
    if isinstance(error, FloatingPointError):
        return "nan"
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "memory"
    return "error"


def _text(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()


def _is_beyond_repair(error: BaseException) -> bool:
    """After an error of the GPU itself its context is broken for the whole process."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _give_memory_back() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
