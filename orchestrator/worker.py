"""What a slot does all its life: take a cell from the board, work, say what came of it. One rank of a Ray trainer.

Ranks that are slots of their own never talk to each other, so one may be in its third epoch while another starts:
nothing here may call `ray.train.report`, which waits for all ranks. In a slot of several ranks, the first one takes the
cells and tells the board; all work inside one group of torch.distributed, and are stopped together.
"""

import gc
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ray

from orchestrator.board import Cause, Cell, Summary
from trainers.errors import UserError, says_out_of_memory

Report = Callable[[int, int, str], None]
Work = Callable[[dict[str, Any], Report, Callable[[], bool]], Summary]
"""`work(payload, report, stopped) -> summary`: `report(step, steps, phase)`; it raises soon after `stopped()`.

In a slot of several ranks each of them calls it with the same payload, inside `trainers.ranks.together()`.
"""

BEAT_S = 1.0
"""Seconds between two heartbeats of a running cell."""


class LeftTogetherError(RuntimeError):
    """A rank left a cell that it trained together with others; all of them start anew."""


def work_off(config: dict[str, Any]) -> None:
    """The train function: take and work off cells until the board is closed."""
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    _use_threads(config["threads"])
    if config["together"]:
        member = _Member(config["board"], config["slots"][0], rank, config["make_work"])
        while cell := member.take():
            member.run(cell)
        return
    worker = _Worker(config["board"], config["slots"][rank], config["make_work"])
    while cell := worker.take():
        worker.run(cell)


def _use_threads(count: int) -> None:
    import torch

    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


def _place() -> str:
    """Whose memory this rank shares: its GPU's, or its node's where it has none."""
    node = ray.get_runtime_context().get_node_id()[:8]
    return f"{node} GPU {','.join(map(str, ray.get_gpu_ids()))}".removesuffix(" GPU ")


def _taken(answer: Any, slot: str) -> Any:
    if answer == "stale":
        raise RuntimeError(f"slot {slot} was declared dead while it lived")
    return None if answer == "closed" else answer


class _Worker:
    """A slot of one process: makes its work when the first cell comes, and keeps it warm."""

    def __init__(self, board: Any, slot: str, make_work: Callable[[], Work]) -> None:
        self.board, self.slot, self.attempt = board, slot, time.monotonic_ns()
        self._make_work = make_work
        self._work: Work | None = None

    def take(self) -> Cell | None:
        """The next cell, however long it takes to come; None once the board is closed."""
        answer: Cell | None = _taken(ray.get(self.board.take.remote(self.slot, self.attempt, _place())), self.slot)
        return answer

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
            _clear_cache()
            return
        ray.get(self.board.failed.remote(*who, *failure))
        gc.collect()
        _clear_cache()
        if broken:
            raise RuntimeError(f"slot {self.slot} starts anew: {failure[1].splitlines()[-1]}")


class _Member:
    """One of a slot's several ranks. What one of them takes, does or is told, all do."""

    def __init__(self, board: Any, slot: str, rank: int, make_work: Callable[[], Work]) -> None:
        self.board, self.slot, self.rank = board, slot, rank
        self.attempt = time.monotonic_ns()
        self._make_work = make_work
        self._work: Work | None = None

    def take(self) -> Cell | None:
        """The next cell. Rank 0 asks the board and tells the others by Ray: torch.distributed would lose patience."""
        from ray.train.collective import broadcast_from_rank_zero

        told: tuple[int, str] | None = None
        if self.rank == 0:
            answer = _taken(ray.get(self.board.take.remote(self.slot, self.attempt, _place())), self.slot)
            told = (self.attempt, answer.key if answer else "")
        self.attempt, key = broadcast_from_rank_zero(told)
        cell: Cell | None = ray.get(self.board.cell.remote(key)) if key else None
        return cell

    def run(self, cell: Cell) -> None:
        """Do this rank's part of a cell; raises after any error, or the others would wait for this rank for ever."""
        from trainers.ranks import from_first, together

        who = (self.slot, self.attempt, cell.key)
        summary: Summary | None = None
        stopping = False
        with _Pulse(self.board, *who) if self.rank == 0 else nullcontext() as pulse, together():

            def stopped() -> bool:
                nonlocal stopping
                stopping = from_first(pulse.stopped if pulse else bool)
                return stopping

            try:
                self._work = self._work or self._make_work()
                summary = self._work(cell.payload, pulse.report if pulse else _say_nothing, stopped)
            except Exception as error:
                if not stopping:
                    ray.get(self.board.testify.remote(*who, cause_of(error), _text(error)))
                    raise LeftTogetherError(f"rank {self.rank} of slot {self.slot} left its cell") from error
        if self.rank == 0 and summary is None:
            ray.get(self.board.failed.remote(*who, "stopped", "told to stop"))
        elif self.rank == 0:
            ray.get(self.board.done.remote(*who, summary))
        _clear_cache()


def _say_nothing(_step: int, _steps: int, _phase: str) -> None:
    """Progress of a rank that is not the first."""


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

    from trainers.health import CollapsedError
    from trainers.ranks import is_lost_peer

    if isinstance(error, UserError):
        return "user"
    if isinstance(error, CollapsedError):
        return "collapsed"
    if isinstance(error, FloatingPointError):
        return "nan"
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or says_out_of_memory(error):
        return "memory"
    return "process" if is_lost_peer(error) else "error"


def _text(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()


def _is_beyond_repair(error: BaseException) -> bool:
    """After an error of the GPU itself its context is broken for the whole process."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _clear_cache() -> None:
    """What torch keeps of the GPU for tensors to come, the GPU's other slots can have until then."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
