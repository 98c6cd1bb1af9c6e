"""Where the time of a training step goes, and the most memory that it takes; measured from outside, by hooks.

A profile changes nothing of what is trained: the steps are those of the training loop itself.
"""

import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from trainers.loop import Row, train
from trainers.spec import Training

PARTS = ("views and losses", "encoder, forward", "backward", "optimiser", "moving averages")
ENCODERS = ("online", "target")
"""Modules of a method whose forward passes are told apart; a target's hears without gradient."""

FREE_SHARE = 0.9
"""Of a GPU's memory that cells may be planned to fill."""

CONTEXT_BYTES = 6 * 10**8
"""Of a GPU that every process takes beside what torch's allocator tells: CUDA's context and the kernels that it loaded.
An allowance and no measurement: where several processes share a GPU, torch cannot tell what one of them takes."""


@dataclass(frozen=True)
class Profile:
    """Median seconds of each of PARTS in a step, of a `step` as a whole, and the most `memory_bytes` that were taken:
    of the GPU by this training, or else by the process. `device_bytes`: what the GPU has; 0 without one."""

    steps: int
    parts: dict[str, float]
    step: float
    memory_bytes: int
    device_bytes: int = 0

    @property
    def cells_at_once(self) -> int:
        """How many such trainings one GPU's memory holds; 0 without a GPU."""
        return holds(self.memory_bytes, self.device_bytes) if self.device_bytes else 0


def holds(memory_bytes: float, device_bytes: int) -> int:
    """How many processes a GPU's memory holds, of each of which torch's allocator takes so much."""
    return int(FREE_SHARE * device_bytes / (memory_bytes + CONTEXT_BYTES))


def profile(method: Any, training: Training, seed: int, steps: int, device: torch.device) -> Profile:
    """Train this many steps, and one before that warms up, without validation. `method`: as the loop takes it."""
    watch = Stopwatch(device)
    count_memory_anew(device)
    short = replace(training, steps=max(training.steps, steps + 1), epoch_steps=steps + 1)
    with _listening(method, watch):
        train(_Timed(method, watch), short, seed, validate=None, until=steps + 1)
    parts = {name: median(watch.spans[name][1:]) if watch.spans[name] else 0.0 for name in (*PARTS, "step")}
    return Profile(steps, {name: parts[name] for name in PARTS}, parts["step"], *memory(device))


def count_memory_anew(device: torch.device) -> None:
    """From here on `memory` tells what is taken on a GPU by what follows.

    What torch keeps of tensors that are gone is given back first, or it would count for those that come. What lives on
    (speech that the process has heard) still counts.
    """
    if device.type == "cuda":
        torch.cuda.init()  # torch refuses to forget what no process has begun
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> tuple[int, int]:
    """The most bytes that were taken so far, and what the GPU has (0 without one).

    On a GPU the most that torch's allocator held since `count_memory_anew`, not the tensors alone: other processes
    cannot have what lies between them. Of the process's context it knows nothing (CONTEXT_BYTES).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device), torch.cuda.get_device_properties(device).total_memory
    units = 1 if sys.platform == "darwin" else 1024
    return units * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0


def told(found: Profile) -> Iterator[str]:
    """The profile as lines."""
    yield f"{found.steps} steps, median of {1000 * found.step:.1f} ms"
    for name, seconds in found.parts.items():
        yield f"  {name:<18}{1000 * seconds:>9.1f} ms{100 * seconds / found.step:>6.1f} %"
    where = "GPU memory" if found.device_bytes else "memory of the process"
    yield f"  most {where}: {found.memory_bytes / 1e9:.2f} GB"
    if found.cells_at_once > 1:
        share = int(1000 / found.cells_at_once) / 1000
        yield f"  one GPU's memory holds {found.cells_at_once} such cells (--gpus-per-cell {share:g})"


@dataclass
class Stopwatch:
    """Seconds of each part, step by step. What a GPU was told is waited for at each mark."""

    device: torch.device
    spans: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    encoders: float = 0.0
    mark: float = 0.0
    began: float = 0.0

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def lap(self, part: str) -> None:
        """What has passed since the last mark was this part."""
        now = self.now()
        self.spans[part].append(now - self.mark)
        self.mark = now


class _Timed:
    """A method whose calls by the loop are timed."""

    def __init__(self, method: Any, watch: Stopwatch) -> None:
        self._method, self._watch = method, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def losses(self, step: int) -> dict[str, Tensor]:
        watch = self._watch
        watch.began = watch.mark = watch.now()
        watch.encoders = 0.0
        found: dict[str, Tensor] = self._method.losses(step)
        watch.mark += watch.encoders
        watch.lap("views and losses")
        watch.spans["encoder, forward"].append(watch.encoders)
        return found

    def after_step(self, step: int) -> Row:
        applied: Row = self._method.after_step(step)
        self._watch.lap("moving averages")
        self._watch.spans["step"].append(self._watch.mark - self._watch.began)
        return applied


@contextmanager
def _listening(method: Any, watch: Stopwatch) -> Iterator[None]:
    """Within this, the encoders' forward passes and the optimiser's steps are noted."""
    with ExitStack() as stack:
        for encoder in (getattr(method, name) for name in ENCODERS if hasattr(method, name)):
            for handle in _hooks(encoder, watch):
                stack.callback(handle.remove)
        stack.callback(register_optimizer_step_pre_hook(lambda *_: watch.lap("backward")).remove)
        stack.callback(register_optimizer_step_post_hook(lambda *_: watch.lap("optimiser")).remove)
        yield


def _hooks(encoder: nn.Module, watch: Stopwatch) -> Iterator[Any]:
    entered: list[float] = []
    enter: Callable[..., None] = lambda *_: entered.append(watch.now())  # noqa: E731

    def leave(*_: object) -> None:
        watch.encoders += watch.now() - entered.pop()

    yield encoder.register_forward_pre_hook(enter)
    yield encoder.register_forward_hook(leave)
