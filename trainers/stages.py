"""Stages: parts of a training that several cells share, computed once and stored under the hash of what they depend on.

`<store>/stages/<key[:2]>/<key>/` holds `weights.safetensors` and `stage.json` (the spec, facts, curves, and the
checksum of the weights). A folder is renamed into place when it is whole. In a bucket the weights lie under their own
checksum, `weights.<16 digits>.safetensors`, and `stage.json`, which is created once, is the commit.
"""

import hashlib
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainers import checkpoints
from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError, require
from trainers.methods.configs import has_stage, stage_settings
from trainers.spec import CellSpec, Training
from trainers.stores import bucket_of
from trainers.withdrawn import withdraw

CODE_VERSION = 3
"""Raised by hand whenever the same stage would come out with other weights; then the versions of the methods that
begin with it (`trainers.spec.CODE_VERSIONS`) are to be raised too, or their finished cells stay."""

CHECKPOINT_STEPS = 100
"""Steps between two checkpoints of a stage, and at most between two rows of its curve; the same for whoever asks."""

NOT_OF_A_STAGE = ("steps", "epoch_steps", "label_fraction", "corpus_mix", "monitor")
"""Settings of the training that follows a stage alone."""


@dataclass(frozen=True)
class StageSpec:
    """All that a stage depends on. `data_fingerprint`: the clips that it hears, with audio, speakers and emotions."""

    kind: str
    settings: Mapping[str, Any]
    steps: int
    front_end: FrontEnd
    encoder_fingerprint: str
    data_fingerprint: str
    seed: int
    code_version: int = CODE_VERSION

    def key(self) -> str:
        """64 hex digits: the SHA-256 of the spec's canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def stage_of(spec: CellSpec, fingerprint: str) -> StageSpec | None:
    """The stage that a cell's training begins with; None where it has none. `fingerprint`: of what it hears.

    UserError where the training may see few labels only and the stage would look at all.
    """
    if not has_stage(spec.config):
        return None
    share, sees_labels = spec.training.label_fraction, spec.config.STAGE == "emotions"
    require(share == 1 or not sees_labels, "label_fraction", share, f"1 for {spec.method}, whose stage looks at all")
    own = {name: value for name, value in asdict(spec.training).items() if name not in NOT_OF_A_STAGE}
    return StageSpec(
        spec.config.STAGE,
        {**stage_settings(spec.config), **own},
        stage_steps(spec),
        spec.front_end,
        spec.encoder_fingerprint,
        fingerprint,
        spec.seed,
    )


def stage_steps(spec: CellSpec) -> int:
    """Optimiser steps of a cell's stage."""
    share = getattr(spec.config, "adapt_share", 0.0)
    return max(1, round(share * spec.training.steps))


def stage_training(spec: CellSpec) -> Training:
    """The settings that a stage is trained with: the cell's, for as many steps as the stage has."""
    return replace(spec.training, steps=stage_steps(spec), epoch_steps=CHECKPOINT_STEPS, label_fraction=1.0)


@dataclass(frozen=True)
class StageResult:
    """What a stage leaves: the weights of its product, single numbers, and its curves."""

    weights: dict[str, Tensor]
    facts: dict[str, float]
    history: list[dict[str, float]]


def folder_of(store: Path, key: str) -> Path:
    """Where a stage lies."""
    return store / "stages" / key[:2] / key


def is_done(store: Path, key: str) -> bool:
    """Whether a stage lies there; its weights are checked when they are read."""
    if (folder_of(store, key) / "stage.json").is_file():
        return True
    bucket = bucket_of(store)
    return bucket is not None and bucket.about(_told_key(key)) is not None


def read(store: Path, key: str) -> StageResult | None:
    """A stored stage; None where it is not there, or damaged: then it is set aside with a warning."""
    found = _read_here(store, key)
    if found is None and _fetched(store, key):
        found = _read_here(store, key)
        if found is None:  # what was fetched is damaged, so the bucket's is
            _set_aside_there(store, key)
    return found


def _read_here(store: Path, key: str) -> StageResult | None:
    folder = folder_of(store, key)
    if not folder.is_dir():
        return None
    try:
        told = json.loads((folder / "stage.json").read_bytes())
        content = (folder / "weights.safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != told["weights_sha256"]:
            raise ValueError("its weights are not those that were written")
        if told.pop("told_sha256", None) not in (None, _checksum(told)):  # older stages have none
            raise ValueError("its facts and curves are not those that were written")
        return StageResult(load(content), dict(told["facts"]), list(told["history"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        warnings.warn(f"stage {folder} is damaged and set aside: {error}", stacklevel=2)
        _set_aside(folder, "damaged")
        return None


def set_aside(store: Path, keys: Iterable[str]) -> None:
    """Rename these stages, as far as they are there, so that they are computed anew; half-trained ones are dropped."""
    keys = list(keys)
    withdraw(store, keys)
    for key in keys:
        checkpoints.forget(store / "checkpoints" / key)
        _set_aside_there(store, key)
        if folder_of(store, key).is_dir():
            _set_aside(folder_of(store, key), "aside")


def write(store: Path, spec: StageSpec, result: StageResult) -> None:
    """Keep a stage; of two writers of one stage the first wins. UserError where the store cannot be written."""
    folder = folder_of(store, spec.key())
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")  # two nodes may have one process number
    content = save({name: value.detach().cpu().contiguous() for name, value in result.weights.items()})
    told = {
        "spec": asdict(spec),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "facts": result.facts,
        "history": result.history,
    }
    told["told_sha256"] = _checksum(told)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        for name, data in (("weights.safetensors", content), ("stage.json", json.dumps(told).encode())):
            with (scratch / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if not folder.exists() and _committed(store, spec.key(), scratch):
            scratch.rename(folder)
        for left in folder.parent.glob(f".{folder.name}.*.partial"):  # of writers that were killed, or too late
            shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        if not folder.exists():
            reason = error.strerror or error
            raise UserError(f"cannot write stage {folder}: {reason}; nothing stored was lost") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _told_key(key: str) -> str:
    return f"stages/{key[:2]}/{key}/stage.json"


def _weights_key(key: str, told: Mapping[str, Any]) -> str:
    return f"stages/{key[:2]}/{key}/weights.{str(told.get('weights_sha256'))[:16]}.safetensors"


def _committed(store: Path, key: str, made: Path) -> bool:
    """Write a whole stage to the bucket behind a store, where there is one; False where another writer was first."""
    bucket = bucket_of(store)
    if bucket is None:
        return True
    content = (made / "stage.json").read_bytes()
    bucket.send(_weights_key(key, json.loads(content)), made / "weights.safetensors")
    return bucket.create(_told_key(key), content)


def _fetched(store: Path, key: str) -> bool:
    """Whether the bucket behind a store has this stage, which then lies here as it lies there."""
    bucket = bucket_of(store)
    content = bucket.get(_told_key(key)) if bucket else None
    if bucket is None or content is None:
        return False
    folder = folder_of(store, key)
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    scratch.mkdir(parents=True)
    (scratch / "stage.json").write_bytes(content)
    with suppress(ValueError, AttributeError):
        bucket.fetch(_weights_key(key, json.loads(content)), scratch / "weights.safetensors")
    with suppress(OSError):  # another process was quicker
        scratch.rename(folder)
    shutil.rmtree(scratch, ignore_errors=True)
    return True


def _set_aside_there(store: Path, key: str) -> None:
    if bucket := bucket_of(store):
        bucket.move(_told_key(key), f"set_aside/stages/{key}-{uuid.uuid4().hex[:8]}.json")


def _checksum(told: dict[str, Any]) -> str:
    """SHA-256 of what a stage tells beside its weights, however its JSON is laid out."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _set_aside(folder: Path, why: str) -> None:
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{why}-{number}")).exists():
        number += 1
    with suppress(OSError):  # another process was quicker
        folder.rename(aside)
