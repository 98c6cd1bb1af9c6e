"""Ray itself: connect to a cluster or start one on this machine, quietly; the user's wish to stop."""

import gc
import importlib
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

import ray

from trainers.errors import UserError

QUIET: Mapping[str, str] = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own waits 17 s for trials that wait
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "8",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Ray's own settings: what Tune writes is disposable (the ledger is the truth), and our terminal is not Ray's."""

ALONE: Mapping[str, str] = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody takes this machine away: a process less to start
    "RAY_raylet_start_wait_time_s": "120",  # a machine that is busy takes longer than Ray's 30 s
    "RAY_gcs_server_port_wait_time_s": "120",
}
"""For a Ray of our own on this machine."""

RAY_THREAD = "inside Ray,"
"""How the names of our threads begin that are inside Ray; those of its own begin with `ray`."""


def joined() -> str:
    """The address of the cluster that `connected` joins ($RAY_ADDRESS, or what `ray start` began here); "" is none, or
    one whose note nobody else may read: Ray itself says so when it starts."""
    if address := os.environ.get("RAY_ADDRESS"):
        return address
    try:
        return str(ray._private.utils.read_ray_address() or "")
    except OSError:
        return ""


def closed(address: str) -> str:
    """Why nobody can be at `host:port`; "" where somebody listens, or the address is of another form. Ray would try
    for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()
    except (OSError, ValueError, OverflowError) as error:  # a host's name with an empty part, a port beyond all numbers
        return f"{address}: {getattr(error, 'strerror', None) or error}"
    return ""


def first_line(error: BaseException) -> str:
    """What an error says, at most a line: Ray's own say a page."""
    return next((line for line in map(str.strip, str(error).splitlines()) if line), type(error).__name__)


NAMED = "$RAY_ADDRESS names it, or the last `ray start` here, which `ray stop` forgets"
"""How a cluster comes to be joined."""


def unjoined(address: str, error: BaseException) -> UserError:
    """Of what Ray raised, which is of many kinds: another version, no token, nobody there, no address."""
    return UserError(f"cannot join the Ray cluster {address}: {first_line(error)}; {NAMED}")


@dataclass(frozen=True)
class Held:
    """The Ray that is there: whether it is our `own`, started for us alone on this machine, and whether it `stays`
    when whoever asked for it is done."""

    own: bool
    stays: bool


@contextmanager
def connected(slots: int | None) -> Iterator[Held]:
    """Within this, Ray is there; what was started or joined here is left at the end.

    A Ray that the process already uses is left as it is; $RAY_ADDRESS or a cluster started with `ray start` is
    connected to; otherwise one is started here with a CPU for every slot. Its dashboard listens on 127.0.0.1 and has
    to run: without it the next run would wait for ever for trainers that ended.
    """
    if _left_over:
        _shut_down(PATIENCE_S)  # or it would be taken for a Ray that somebody keeps, with slots that are never freed
        if _left_over:
            raise RuntimeError("an earlier one of this process does not end")
    if ray.is_initialized():
        yield Held(own=bool(_own), stays=True)
        return
    beside = threading.Thread(target=importlib.import_module, args=("ray.train.torch",), daemon=True)
    beside.start()
    own = _start(slots)
    beside.join()  # two threads that import the same modules may find them half made
    try:
        yield Held(own, stays=not own)
    finally:
        _shut_down()


def _start(slots: int | None) -> bool:
    """Whether it is our own: the cluster that $RAY_ADDRESS or `ray start` names is not."""
    for name, value in {**QUIET, **ALONE}.items():
        os.environ.setdefault(name, value)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    cpus = max(slots or 1, os.cpu_count() or 1)
    try:
        ray.init(num_cpus=cpus, dashboard_host="127.0.0.1", **quiet)
        _own.add("ours")
        return True
    except ValueError:  # there is a cluster already, which has its own number of CPUs
        for name in ALONE:
            os.environ.pop(name)
        ray.init(**quiet)
        return False


_own: set[str] = set()
"""Whether the Ray that this process uses was started by it, for itself alone; empty where it was not."""

_left_over: set[str] = set()
"""Whether a Ray of our own could not be ended yet; empty where there is none."""

LEAVING_S = 5.0
PATIENCE_S = 120.0
"""How long to wait for threads that are inside Ray: at the end of a command, and before the next run of a process."""


def _shut_down(patience_s: float = LEAVING_S) -> None:
    """End our Ray, unless a thread is still inside it: Ray would end this process on the spot, mid-sentence."""
    ends_at = time.monotonic() + patience_s
    for thread in threading.enumerate():
        if thread.name.startswith(RAY_THREAD):
            thread.join(max(0.0, ends_at - time.monotonic()))
    if any(thread.name.startswith(RAY_THREAD) for thread in threading.enumerate()):
        _left_over.add("ours")
        return
    _left_over.clear()
    _own.clear()
    with _uncollected():
        ray.shutdown()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Within this, no thread collects garbage: a reference to a Ray object among it asks a Ray that is half shut down,
    which ends the process on the spot."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def resources(free: bool = False) -> dict[str, float]:
    """What the whole cluster has, or what of it is free, by Ray's names."""
    read: Any = ray.available_resources if free else ray.cluster_resources
    return dict(read())


def list_nodes() -> list[dict[str, Any]]:
    """The cluster's nodes as Ray tells them."""
    read: Any = ray.nodes
    return list(read())


def describe(amounts: Mapping[str, float]) -> str:
    """`16 CPU, 1 GPU`: what a person wants to know of Ray's resources."""
    return ", ".join(f"{amounts.get(name, 0):g} {name}" for name in ("CPU", "GPU"))


class Signals:
    """Counts SIGINT and SIGTERM instead of dying of them, and wakes whoever waits. For the main thread; else idle."""

    def __init__(self) -> None:
        self.count = 0
        self._woken: SimpleQueue[None] = SimpleQueue()  # its `put` is for signal handlers, too; an Event's `set` is not
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._pipe_before = -1
        self._came = False

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe:
            signal.set_wakeup_fd(self._pipe_before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def listen(self) -> None:
        """Take the signals over; to be called again after `ray.init`, which puts a SIGTERM handler of its own."""
        if threading.current_thread() is threading.main_thread():
            if self._pipe is None:
                self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                self._pipe_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before.setdefault(number, signal.getsignal(number))
                signal.signal(number, self._note)

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        with suppress(Empty):
            self._woken.get(timeout=seconds)

    @property
    def came(self) -> bool:
        """Whether one came, also while the main thread is inside Ray and counts none before it is out. One thread may
        ask."""
        pipe = self._pipe
        if pipe and not self._came:
            with suppress(OSError):  # nothing came, or the main thread is just leaving
                told = os.read(pipe[0], select.PIPE_BUF)
                self._came = signal.SIGINT in told or signal.SIGTERM in told
        return self._came or self.count > 0

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._woken.put(None)
