"""A configuration trained once more, on all speech that some fold trains on: the model that a sweep is run for.

What follows from the protocols:

- Transfer: labelled are all clips of the high-resource corpora, those that a fold validates or tests too. Of a corpus
  with a published split (MSP-Podcast) they are its training part alone, which is all that any fold trains on; its other
  parts, and the corpora that a protocol holds out, stay unheard, so that the model can be tested on them.
- A method that hears a target language hears all of its clips, without labels: those that the sweep tested on among
  them. No score of that language's corpus is therefore a test of this model. A score of the sweep is an estimate of
  what this training gives on unheard speakers; the model itself has none.
- A stage (CL's adaptation, SupCon's, Pairwise-CL's) hears as a fold's does, but all clips. It lies in the store under
  its own hash like any other.
- Within corpora: all of the language's own labelled clips, and for a stage those of the other languages as the method
  takes them.
- The steps are the configuration's: with more clips each one is heard less often. The last weights are taken. Nothing
  is left to choose others by, so nothing is stopped early and no seed is chosen. `label_fraction` and caps stay as
  they are.

The training is a cell's in all else, through the same loop: `fold` of its spec is EVERY_FOLD, its key names its
checkpoint and its folder `<store>/models/<key>`, and equal specs give equal weights, to the bit on one kind of CPU and
as many threads. A training that has collapsed for certain is given up as a cell's is.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainers import checkpoints, model_files
from trainers.building import Trained, build
from trainers.cell import Workspace, run_stage, versions
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import EMOTIONS
from trainers.encoder_files import WAVEFORM_KINDS, configuration, normalises
from trainers.errors import UserError
from trainers.loop import Progress, Row, Run, silent, train
from trainers.methods.configs import FLOORS, AdaptationConfig
from trainers.spec import CellSpec
from trainers.split import Split
from trainers.splits import EVERY_FOLD
from trainers.watching import watch_cell


def refit_of(cell: CellSpec, workspace: Workspace) -> CellSpec:
    """The spec of the training that leaves no fold out, of the configuration, target and seed of a cell.

    UserError for a floor and for CL's adaptation alone, which classify nothing that a model could.
    """
    if cell.method in FLOORS or isinstance(cell.config, AdaptationConfig):
        raise UserError(f"{cell.method} is no method that a model can be made of")
    split = workspace.splits(cell).of(cell.target, EVERY_FOLD, cell.config)
    return replace(cell, fold=EVERY_FOLD, data_fingerprint=split.fingerprint(workspace.prepared))


def folder_of(store: Path, key: str) -> Path:
    """Where a model lies."""
    return store / "models" / key


def refit(
    spec: CellSpec,
    workspace: Workspace,
    *,
    progress: Progress = silent,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """The folder of a model, trained now unless it lies there; a damaged one is set aside with a warning.

    Errors are those of `trainers.cell.run`; a training that was stopped goes on from its checkpoint next time.
    """
    folder = folder_of(workspace.store, spec.key())
    if not _is_sound(folder):
        method, finished = fit(spec, workspace, progress=progress, stopped=stopped)
        model_files.write(folder, _told(spec, workspace, finished), _weights(method, spec, workspace))
        checkpoints.forget(workspace.store / "checkpoints" / spec.key())
    return folder


def fit(
    spec: CellSpec,
    workspace: Workspace,
    *,
    progress: Progress = silent,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Trained, Run]:
    """A spec's training without any validation: a cell's comes to the same last weights as `cell.run`'s."""
    split, speech = workspace.split(spec), workspace.speech(spec.front_end)
    stage = run_stage(spec, workspace, progress=progress, stopped=stopped)
    method = build(spec, split, speech, workspace.backbone)
    if stage:
        method.online.load_state_dict(stage.weights)
    finished = train(
        method,
        spec.training,
        spec.seed,
        validate=None,
        checkpoint=workspace.store / "checkpoints" / spec.key() / "last.pt",
        progress=progress,
        stopped=stopped,
        look=_look(method, spec, workspace, split),
    )
    return method, finished


def _look(method: Trained, spec: CellSpec, workspace: Workspace, split: Split) -> Callable[[int], Row]:
    """Whether it is alive. Nearest neighbours of validation clips are not told: no clip is left that was not heard."""
    heard = replace(split, valid={"heard": split.labelled})
    watch = watch_cell(method, workspace.speech(spec.front_end), heard, spec.training)
    return lambda step: {name: value for name, value in watch.look(step).items() if name != "knn_uar"}


def _is_sound(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        model_files.read(folder)
    except UserError as error:
        aside = model_files.set_aside(folder)
        warnings.warn(f"{error}; it is now {aside.name}, and is trained again", stacklevel=3)
        return False
    return True


def _weights(method: Trained, spec: CellSpec, workspace: Workspace) -> dict[str, Tensor]:
    """All that inference goes through."""
    encoder, head = method.inference()
    modules: dict[str, nn.Module] = {"encoder": encoder, "head": head, "backbone": workspace.backbone}
    own = {part: modules[part].state_dict() for part in model_files.parts_of(spec.config)}
    return {f"{part}.{name}": value for part, values in own.items() for name, value in values.items()}


def _told(spec: CellSpec, workspace: Workspace, finished: Run) -> dict[str, Any]:
    split, prepared = workspace.split(spec), workspace.prepared
    return {
        "key": spec.key(),
        "spec": spec.as_dict(),
        "encoder": _encoder(workspace.encoder_folder),
        "emotions": list(EMOTIONS),
        "heard": {
            "labelled": _counts(split.labelled, prepared),
            "unlabelled": _counts([clip for clips in split.unlabelled.values() for clip in clips], prepared),
            "stage": _counts(split.heard_by_stage, prepared),
        },
        "versions": versions(workspace.device),
        "history": finished.history,
    }


def _encoder(folder: Path) -> Mapping[str, Any]:
    """What the architecture is built from."""
    values = configuration(folder)
    waveform = values["model_type"] in WAVEFORM_KINDS
    return {"config": values, "do_normalize": normalises(folder) if waveform else None}


def _counts(clips: Sequence[str], prepared: Prepared) -> dict[str, int]:
    """Corpus -> clips of it."""
    return dict(sorted(Counter(prepared.utterances[prepared.index[clip]].corpus for clip in clips).items()))
