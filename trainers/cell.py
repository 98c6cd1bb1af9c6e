"""spec → result: the one function that the orchestrator calls, and a command that trains one cell alone."""

import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from trainers import adaptation, checkpoints, encoders, floors, stages
from trainers.audio.front_end import FrontEnd
from trainers.building import Trained, build, build_stage
from trainers.corpora.prepared import Prepared
from trainers.embeddings import packed
from trainers.errors import UserError
from trainers.evaluation import Evaluation, Predictions, agreement, group
from trainers.loaders import fitting
from trainers.loop import Progress, Run, Stopped, silent, train
from trainers.methods.configs import FLOORS, AdaptationConfig, ByolConfig, hears_target
from trainers.profiling import count_memory_anew, memory
from trainers.protocols import protocol_named
from trainers.ranks import from_first, leads, world
from trainers.result import Result
from trainers.spec import CellSpec, code_version
from trainers.speech import Speech
from trainers.split import Split
from trainers.splits import EVERY_FOLD, Splits
from trainers.stages import StageResult, stage_of, stage_training
from trainers.watching import MOST_CLIPS, watch_cell, watch_stage

__all__ = ["Stopped", "Workspace", "rehearse", "run", "run_stage"]

REHEARSED_STEPS = 3
REHEARSED_CLIPS = 16
"""Of a rehearsal: optimiser steps, of which the first warms up, and clips of each part that is scored."""


@dataclass
class Workspace:
    """What stays warm between the cells of a process: corpora, encoder, device, and where checkpoints lie.

    `loaders`: processes that augment speech ahead; None is as many as fit.
    """

    prepared: Prepared
    encoder_folder: Path
    store: Path
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    loaders: int | None = None
    _speech: dict[FrontEnd, Speech] = field(default_factory=dict)
    _splits: dict[tuple[str, str], Splits] = field(default_factory=dict)
    _embedders: dict[FrontEnd, floors.Embedder] = field(default_factory=dict)

    def with_encoder(self, folder: Path) -> "Workspace":
        """The same corpora, heard once for both, beside another encoder."""
        return replace(self, encoder_folder=folder, _embedders={})

    @cached_property
    def encoder_fingerprint(self) -> str:
        return encoders.fingerprint(self.encoder_folder)

    @cached_property
    def nuisances(self) -> floors.Nuisances:
        return floors.Nuisances(self.prepared)

    @cached_property
    def backbone(self) -> nn.Module:
        return encoders.load_backbone(self.encoder_folder)

    def speech(self, front_end: FrontEnd) -> Speech:
        """The corpora through this front end; one front end at a time is kept."""
        if front_end not in self._speech:
            self._speech.clear()
            count = fitting(self.device) if self.loaders is None else self.loaders
            self._speech[front_end] = Speech(self.prepared, front_end, self.device, count)
        return self._speech[front_end]

    def describe(self, floor: str, front_end: FrontEnd) -> floors.Describe:
        """The features that a floor looks at."""
        if floor == "nuisance_only":
            return self.nuisances.describe
        if front_end not in self._embedders:
            self._embedders = {front_end: floors.Embedder(self.speech(front_end), self.backbone)}
        return self._embedders[front_end].describe

    def splits(self, spec: CellSpec) -> Splits:
        """The splits of a cell's protocol; each kind of folds is dealt once."""
        name = (spec.protocol, spec.folds_by)
        if name not in self._splits:
            self._splits[name] = Splits(protocol_named(spec.protocol), self.prepared, spec.folds_by)
        return self._splits[name]

    def split(self, spec: CellSpec) -> Split:
        """What a cell hears; UserError where that is not what the spec was made for."""
        require_place(spec)
        split = self.splits(spec).of(spec.target, spec.fold, spec.config)
        _require_match(spec, split, self)
        return split


def run(
    spec: CellSpec,
    workspace: Workspace,
    *,
    progress: Progress = silent,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Train and evaluate one cell; equal specs give equal results, to the bit on one kind of CPU and as many threads.

    A stage that it begins with is taken from the store, or computed and stored there. The cell's checkpoint stays until
    `forget_checkpoint`, so that nothing is lost where the result cannot be kept.

    Raises UserError where the workspace holds other audio, another encoder or other code than the spec names,
    Stopped when told to stop (training continues from its checkpoint next time), FloatingPointError on NaN,
    CollapsedError where its embeddings, or its stage's, have collapsed for certain.
    """
    started = time.perf_counter()
    count_memory_anew(workspace.device)
    split = workspace.split(spec)
    if spec.fold == EVERY_FOLD:
        raise UserError("a training that leaves no fold out has nothing to choose by; use orchestrator.register")
    evaluation = Evaluation(workspace.speech(spec.front_end), split)
    if spec.method in FLOORS:
        progress(0, 1, "floor")
        describe = workspace.describe(spec.method, spec.front_end)
        result = floors.run(spec, workspace.splits(spec), evaluation, describe)
    else:
        stage = run_stage(spec, workspace, progress=progress, stopped=stopped)
        if isinstance(spec.config, AdaptationConfig):
            result = adaptation.run(spec, evaluation, workspace.backbone, stage)
        else:
            result = _trained(spec, evaluation, workspace, stage, progress=progress, stopped=stopped)
    result.versions.update(versions(workspace.device))
    result.facts["copies_left_out"] = float(len(split.copies))
    result.seconds["total"] = time.perf_counter() - started
    return result


def rehearse(spec: CellSpec, workspace: Workspace, *, stopped: Callable[[], bool] = lambda: False) -> Result:
    """Three steps of a cell, and of its stage, and scores of a few clips: does such a cell run here from end to end?

    Raises whatever `run` would. It keeps nothing, and the scores of its result mean nothing. `seconds["step"]` is what
    a step took that was not the first, and `facts["scored_share"]` how much of its clips were scored.
    """
    count_memory_anew(workspace.device)
    with TemporaryDirectory(dir=workspace.store, prefix="rehearsal-") as scratch:
        place = replace(workspace, store=Path(scratch))
        whole = place.split(spec)
        split = whole.thinned(REHEARSED_CLIPS)
        evaluation = Evaluation(place.speech(spec.front_end), split)
        stage = run_stage(spec, place, stopped=stopped, until=REHEARSED_STEPS)
        if isinstance(spec.config, AdaptationConfig):  # its scores need all speakers
            found = _result(spec, evaluation, {}, {}, finished=Run(), facts=stage.facts if stage else {}, rows=[])
            found.versions.update(versions(place.device))
            return found
        marks: list[float] = []
        note = lambda _step, _steps, phase: marks.append(time.perf_counter()) if phase == "training" else None  # noqa: E731
        result = _trained(spec, evaluation, place, stage, progress=note, stopped=stopped, until=REHEARSED_STEPS)
        result.seconds["step"] = min((after - before for before, after in pairwise(marks)), default=0.0)
        result.facts["scored_share"] = _scored_clips(split) / _scored_clips(whole)
        result.versions.update(versions(place.device))
        return result


def _scored_clips(split: Split) -> int:
    return sum(len(ids) for parts in (split.valid, split.test, split.whole) for ids in parts.values())


def run_stage(
    spec: CellSpec,
    workspace: Workspace,
    *,
    progress: Progress = silent,
    stopped: Callable[[], bool] = lambda: False,
    until: int | None = None,
) -> StageResult | None:
    """The stage that a cell begins with, from the store or computed now (`until` a step, in a rehearsal); None for a
    cell without one.

    Errors as `run`'s; a stage that was stopped goes on from its checkpoint.
    """
    split = workspace.split(spec)
    stage = stage_of(spec, split.stage_fingerprint(workspace.prepared))
    if stage is None:
        return None
    key = stage.key()
    found = stages.read(workspace.store, key) if leads() else None
    if from_first(lambda: found is not None):
        return found or stages.read(workspace.store, key)
    speech = workspace.speech(spec.front_end)
    method = build_stage(spec, split, speech, workspace.backbone)
    training = stage_training(spec)
    watch = watch_stage(method, speech, split, training, most=_watched(until), until=until)
    folder = workspace.store / "checkpoints" / key
    finished = train(
        method,
        training,
        spec.seed,
        validate=None,
        checkpoint=folder / "last.pt",
        progress=lambda step, steps, _: progress(step, steps, "stage"),
        stopped=stopped,
        until=until,
        look=watch.look,
    )
    facts = method.facts(training.steps) | watch.facts(finished.start, finished.history)
    result = StageResult(method.product().state_dict(), facts, finished.history)
    if leads():
        stages.write(workspace.store, stage, result)
        checkpoints.forget(folder)
    return result


def require_place(spec: CellSpec) -> None:
    if protocol_named(spec.protocol).task == "within":
        return  # every cell is of one language; the splits refuse none
    hears = hears_target(spec.config)
    if hears and spec.target is None:
        raise UserError(f"method {spec.method} hears a target language; name one as target")
    if not hears and spec.target is not None:
        how = " with lambda = 0" if isinstance(spec.config, ByolConfig) else ""
        raise UserError(f"method {spec.method}{how} hears no target language; target must be null, not {spec.target!r}")


def _require_match(spec: CellSpec, split: Split, workspace: Workspace) -> None:
    if spec.code_version != code_version(spec.method):
        raise UserError(f"the cell is of training code {spec.code_version}; this is {code_version(spec.method)}")
    if split.fingerprint(workspace.prepared) != spec.data_fingerprint:
        raise UserError(f"the speech here is not that of cell {spec.key()[:12]}: audio, labels or folds differ")
    if workspace.encoder_fingerprint != spec.encoder_fingerprint:
        raise UserError(f"the encoder here is not that of cell {spec.key()[:12]}: {workspace.encoder_folder}")


def _trained(
    spec: CellSpec,
    evaluation: Evaluation,
    workspace: Workspace,
    stage: StageResult | None,
    *,
    progress: Progress = silent,
    stopped: Callable[[], bool],
    until: int | None = None,
) -> Result:
    started = time.perf_counter()
    method = build(spec, evaluation.split, evaluation.speech, workspace.backbone)
    if stage:
        method.online.load_state_dict(stage.weights)
    chooses, monitor = f"valid/{evaluation.split.selector}", spec.training.monitor
    watch = watch_cell(method, evaluation.speech, evaluation.split, spec.training, most=_watched(until), until=until)
    folder = workspace.store / "checkpoints" / spec.key()
    finished = train(
        method,
        spec.training,
        spec.seed,
        validate=lambda: getattr(evaluation.scores(evaluation.predict(method, only=[chooses]))[chooses], monitor),
        checkpoint=folder / "last.pt",
        progress=progress,
        stopped=stopped,
        until=until,
        look=watch.look,
    )
    trained_s = time.perf_counter() - started
    progress(spec.training.steps, spec.training.steps, "scoring")
    result = _scored(spec, method, finished, evaluation)
    result.facts.update(watch.facts(finished.start, finished.history))
    result.facts.update({f"stage/{name}": value for name, value in (stage.facts if stage else {}).items()})
    result.seconds["training"] = trained_s
    result.seconds["watching"] = watch.seconds
    result.seconds["scoring"] = time.perf_counter() - started - trained_s
    return result


def _watched(until: int | None) -> int:
    """Clips of each corpus that a training is watched on, at most: few of them in a rehearsal."""
    return MOST_CLIPS if until is None else REHEARSED_CLIPS


def forget_checkpoint(spec: CellSpec, workspace: Workspace) -> None:
    """Drop a cell's checkpoint; to be called once its result is kept."""
    checkpoints.forget(workspace.store / "checkpoints" / spec.key())


def _scored(spec: CellSpec, method: Trained, finished: Run, evaluation: Evaluation) -> Result:
    """All scores of the last weights and, as secondary ones, of other evaluators and of the best validation."""
    found, embedded = evaluation.predict_embedded(method)
    others = {name: evaluation.predict(method, other, evaluation.compared) for name, other in method.others().items()}
    facts = {"best_step": float(finished.best_step), **method.facts(spec.training.steps)}
    if "online" in others:
        facts["agreement"] = agreement(found, others["online"], f"valid/{evaluation.split.selector}")
    rows = evaluation.rows(found, {name: others[name] for name in others if name == "online"})
    last_is_best = finished.best_step == spec.training.steps
    others["early_stopped"] = found if last_is_best else _early_stopped(method, finished, evaluation)
    result = _result(spec, evaluation, found, others, finished=finished, facts=facts, rows=rows)
    return replace(result, embeddings=packed(embedded))


def _early_stopped(method: Trained, finished: Run, evaluation: Evaluation) -> Predictions:
    """Predictions of the weights of the best validation; these replace the method's last ones."""
    for part, weights in zip(method.inference(), finished.best_weights, strict=True):
        part.load_state_dict(weights)
    return evaluation.predict(method, only=evaluation.compared)


def _result(
    spec: CellSpec,
    evaluation: Evaluation,
    found: Predictions,
    others: Mapping[str, Predictions],
    *,
    finished: Run,
    facts: dict[str, float],
    rows: list[dict[str, object]],
) -> Result:
    scores = evaluation.scores(found)
    return Result(
        spec=spec,
        valid=group("valid", scores),
        test=group("test", scores),
        whole=group("whole", scores),
        secondary={name: evaluation.scores(predictions, evaluation.compared) for name, predictions in others.items()},
        facts=facts,
        history=finished.history,
        predictions=rows,
    )


def versions(device: torch.device) -> dict[str, str]:
    """What a result was computed on: the processor, how many GPUs or cores, and how much memory of a GPU was taken.

    `gpu_memory_bytes`: what torch's allocator held at most since the cell began, on the first of its GPUs, without
    CUDA's context (`profiling.memory` says why so); `gpu_bytes`: what that GPU has.
    """
    about = {"torch": torch.__version__, "python": platform.python_version(), "device": device.type}
    if device.type != "cuda":
        return {**about, "processor": platform.machine(), "cores": str(torch.get_num_threads())}
    taken, there_is = memory(device)
    gpu = {"gpu_memory_bytes": str(taken), "gpu_bytes": str(there_is)}
    return {**about, "processor": torch.cuda.get_device_name(device), "gpus": str(world()[1]), **gpu}


if __name__ == "__main__":
    from trainers.alone import main

    sys.exit(main())
