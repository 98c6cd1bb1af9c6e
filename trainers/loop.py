"""The one training loop. Every method goes through it, so that methods differ in nothing else."""

import copy
import hashlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import torch
from torch import Tensor, nn

from trainers import checkpoints
from trainers.audio.draws import stable_seed
from trainers.encoders import trainable
from trainers.errors import UserError
from trainers.health import require_alive
from trainers.moving import Returning
from trainers.ranks import average_gradients, from_first, leads
from trainers.schedules import warm_up
from trainers.spec import Training

CURVE_POINTS = 200
"""How many steps of a run leave a row of losses, λ and τ in the history."""

CHECKSUM_BYTES = hashlib.sha256().digest_size
CHUNK_BYTES = 1 << 20
"""A checkpoint is a file of torch's with the SHA-256 of all that comes before at its end."""

Row = dict[str, float]


Progress = Callable[[int, int, str], None]
"""Called with (step, steps, phase) as a cell moves on."""


def silent(_step: int, _steps: int, _phase: str) -> None:
    """Progress that nobody watches."""


def unwatched(_step: int) -> Row:
    """A look at a training that nobody watches: no figures."""
    return {}


class Stopped(Exception):  # noqa: N818  (an event, not a fault)
    """Training was told to stop; its checkpoint is written."""


class Method(Protocol):
    """What the loop asks of a method, which is an `nn.Module` as well."""

    def losses(self, step: int) -> dict[str, Tensor]:
        """The losses of this step's batch; `total` is the one to descend."""

    def after_step(self, step: int) -> Row:
        """What follows the optimiser's step (moving averages); gives the settings that were applied."""

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """Modules trained at the encoder's learning rate, and at the head's."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...


@dataclass
class Run:
    """Where a training stands: all that a checkpoint holds beside weights and optimiser. `start`: figures of step 0."""

    step: int = 0
    history: list[Row] = field(default_factory=list)
    best_score: float = -1.0
    best_step: int = 0
    best_weights: list[dict[str, Any]] = field(default_factory=list)
    start: Row = field(default_factory=dict)


def train(
    method: Method,
    training: Training,
    seed: int,
    *,
    validate: Callable[[], float] | None,
    checkpoint: Path | None = None,
    progress: Progress = silent,
    stopped: Callable[[], bool] = lambda: False,
    until: int | None = None,
    look: Callable[[int], Row] = unwatched,
) -> Run:
    """Train all K steps, or only those `until` that one (a rehearsal), from the checkpoint where there is one.

    `validate` gives the validation score (`monitor`) by the method's inference path (None: a stage, which has none); it
    is asked after every epoch and chooses only the secondary, early-stopped weights. `look` is given the step, at first
    0 and then after every epoch; its figures become part of the history. Raises Stopped after a step at which
    `stopped()` holds (the checkpoint is then written), FloatingPointError where the loss is no longer finite,
    CollapsedError where the embeddings have collapsed for certain. What a step came to is read one step later, so
    that a GPU need not be waited for, or before a validation or a checkpoint; in a rehearsal, which is timed, at once.
    """
    optimiser = _optimiser(method, training)
    run = _resumed(method, optimiser, checkpoint) or Run(start=look(0))
    last = training.steps if until is None else min(until, training.steps)
    told = None
    while run.step < last:
        before, told = told, _step(method, optimiser, training, seed, run.step)
        if before:
            _note(run, before, training)
        run.step += 1
        ends_epoch = run.step % training.epoch_steps == 0 or run.step == last
        if ends_epoch:
            row, told = told.row(), None
            if validate:
                row[f"valid_{training.monitor}"] = reached = validate()
                _keep_best(run, method, reached)
            run.history.append({"step": float(run.step), **row, **look(run.step)})
            require_alive(run.start, run.history)
        if told and until is not None:
            _note(run, told, training)
            told = None
        progress(run.step, last, "training")
        leaving = run.step < last and stopped()
        if told and leaving:
            _note(run, told, training)
            told = None
        if checkpoint and (leaving or ends_epoch):
            _save(checkpoint, method, optimiser, run)
        if leaving:
            raise Stopped
    return run


def _optimiser(method: Method, training: Training) -> torch.optim.AdamW:
    groups = []
    for modules, rate in zip(method.learning_rates(), (training.encoder_lr, training.head_lr), strict=True):
        parameters = [parameter for module in modules for parameter in trainable(module)]
        groups.append({"params": parameters, "lr": rate, "peak_lr": rate})
    return torch.optim.AdamW(groups, weight_decay=training.weight_decay, fused=True)


@dataclass
class _Told:
    """What a step came to. A GPU may still be at work on it, and reading waits until it is not."""

    step: int
    losses: Returning
    applied: Row

    def row(self) -> Row:
        """Losses and the settings that were applied; FloatingPointError where the loss is not finite."""
        losses = self.losses.read()
        if not math.isfinite(losses["total"]):
            raise FloatingPointError(f"the loss is {losses['total']} at step {self.step}")
        return {**{f"loss/{name}": loss for name, loss in losses.items()}, **self.applied}


def _note(run: Run, told: _Told, training: Training) -> None:
    """Read what a step came to, and keep it in the history where one of its rows falls due."""
    row, step = told.row(), told.step + 1
    if step % max(1, training.steps // CURVE_POINTS) == 0:
        run.history.append({"step": float(step), **row})


def _step(method: Method, optimiser: torch.optim.AdamW, training: Training, seed: int, step: int) -> _Told:
    torch.manual_seed(stable_seed(seed, "dropout", step))
    method.train()
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * warm_up(step, training.warmup_steps)
    losses = method.losses(step)
    optimiser.zero_grad(set_to_none=True)
    losses["total"].backward()
    every = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    average_gradients(every)
    if training.grad_clip:
        torch.nn.utils.clip_grad_norm_(every, training.grad_clip)
    optimiser.step()
    return _Told(step, Returning(losses), method.after_step(step))


def _keep_best(run: Run, method: Any, reached: float) -> None:
    if reached > run.best_score:
        run.best_score, run.best_step = reached, run.step
        run.best_weights = [copy.deepcopy(part.state_dict()) for part in method.inference()]


def _save(checkpoint: Path, method: Method, optimiser: torch.optim.AdamW, run: Run) -> None:
    if not leads():
        return
    half_written = checkpoint.with_suffix(f".{os.getpid()}.tmp")
    state = {"method": method.state_dict(), "optimiser": optimiser.state_dict(), "run": vars(run)}
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with half_written.open("wb") as file:
            hashed = _Hashed(file)
            torch.save(state, cast(BinaryIO, hashed))
            file.write(hashed.told.digest())
        half_written.replace(checkpoint)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk in a RuntimeError
        half_written.unlink(missing_ok=True)
        warnings.warn(f"checkpoint {checkpoint} cannot be written, training goes on without: {error}", stacklevel=2)
        return
    try:
        checkpoints.share(checkpoint)
    except UserError as error:
        warnings.warn(f"checkpoint {checkpoint} is on this node alone, training goes on: {error}", stacklevel=2)


def _resumed(method: Method, optimiser: torch.optim.AdamW, checkpoint: Path | None) -> Run | None:
    """Where the first rank finds a checkpoint, all ranks go on from it."""
    if checkpoint is None:
        return None
    found = _checkpointed(checkpoint) if leads() else None
    if not from_first(lambda: found is not None):
        return None
    if found is None:
        checkpoints.take(checkpoint)
    state = found or _loaded(checkpoint)
    if state["run"]["step"] != from_first(lambda: state["run"]["step"]):  # a node could not send its last one
        raise RuntimeError(f"checkpoint {checkpoint} is not the same on all nodes of this cell")
    method.load_state_dict(state["method"])
    optimiser.load_state_dict(state["optimiser"])
    return Run(**state["run"])


def _checkpointed(checkpoint: Path) -> dict[str, Any] | None:
    checkpoints.take(checkpoint)
    if not checkpoint.is_file():
        return None
    try:
        return _loaded(checkpoint)
    except Exception as error:  # a torn file fails in many ways; the training is then simply done from the start
        warnings.warn(f"checkpoint {checkpoint} is damaged and set aside: {error}", stacklevel=2)
        checkpoint.replace(checkpoint.with_suffix(".damaged"))
        return None


def _loaded(checkpoint: Path) -> dict[str, Any]:
    """What `_save` wrote; ValueError where its checksum does not fit: torch itself loads weights whose bits flipped."""
    with checkpoint.open("rb") as file:
        told, left = hashlib.sha256(), checkpoint.stat().st_size - CHECKSUM_BYTES
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            told.update(chunk)
            left -= len(chunk)
        if file.read() != told.digest():
            raise ValueError("its checksum does not fit")
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return state


class _Hashed:
    """A file to be written from its beginning to its end, and the SHA-256 of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.told = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.told.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()
