"""A trained model as a folder that stands alone: no store, no corpora and no encoder's files are needed beside it.

weights.safetensors   `encoder.*` and `head.*`, and for the view `layers` of Pairwise-CL the untouched `backbone.*`
model.json            what the weights are of: the spec, the encoder's configuration, the emotions, what was heard,
                      versions, and the checksum of the weights
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainers.errors import UserError
from trainers.methods.configs import MethodConfig, PairwiseConfig

SCHEMA = 1
"""Raised when the layout changes; models of a newer schema are refused."""

TOLD, WEIGHTS = "model.json", "weights.safetensors"


def parts_of(config: MethodConfig) -> tuple[str, ...]:
    """What a model of this method is made of: the first part of its weights' names."""
    untouched = isinstance(config, PairwiseConfig) and "layers" in config.classified
    return ("encoder", "head", "backbone") if untouched else ("encoder", "head")


def is_model(folder: Path) -> bool:
    """Whether a model lies there, sound or not."""
    return (folder / TOLD).is_file()


def write(folder: Path, told: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Keep a model, whole or not at all; of two writers of one folder the first wins.

    UserError where the disk refuses.
    """
    content = save({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    values = {"schema": SCHEMA, **told, "weights_sha256": hashlib.sha256(content).hexdigest()}
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        scratch.mkdir(parents=True)
        _put(scratch / WEIGHTS, content)
        _put(scratch / TOLD, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
        if not folder.exists():
            scratch.rename(folder)
    except OSError as error:
        if not folder.exists():
            raise UserError(f"cannot write model {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What is told of a model, and its weights; UserError where it is absent, damaged or of a newer version."""
    told = described(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise UserError(f"model {folder} lacks its weights: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != told["weights_sha256"]:
        raise UserError(f"model {folder} is damaged: its weights are not those that were written")
    try:
        return told, load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"model {folder} is damaged: its weights cannot be read: {said}") from error


def described(folder: Path) -> dict[str, Any]:
    """What is told of a model; UserError as for `read`. The weights are not looked at."""
    try:
        told = json.loads((folder / TOLD).read_bytes())
        newer = told["schema"] > SCHEMA
    except OSError as error:
        raise UserError(f"{folder} is no model: {TOLD}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"model {folder} is damaged: {TOLD}: {type(error).__name__} {error}") from error
    if newer:
        raise UserError(f"model {folder} was written by a newer version (schema {told['schema']}; this is {SCHEMA})")
    lacking = [name for name in ("spec", "encoder", "emotions", "weights_sha256") if name not in told]
    if lacking:
        raise UserError(f"model {folder} is damaged: {TOLD} lacks {', '.join(lacking)}")
    return dict(told)


def set_aside(folder: Path) -> Path:
    """Rename what is damaged, never delete it; gives its new name."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    with suppress(OSError):  # another process was quicker
        folder.rename(aside)
    return aside


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
