"""The command that trains one cell alone, without Ray: `python -m trainers.cell`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainers import encoders, stores
from trainers.building import build, build_stage
from trainers.cell import Workspace, forget_checkpoint, require_place, run
from trainers.corpora import CORPORA
from trainers.corpora.prepared import prepare
from trainers.encoder_files import DEFAULT_ENCODER
from trainers.errors import UserError, require
from trainers.methods.configs import FLOORS, AdaptationConfig, has_stage
from trainers.profiling import profile, told
from trainers.protocols import Protocol, protocol_named
from trainers.spec import CellSpec
from trainers.stages import stage_training

PROFILED_STEPS = 10


def main(words: Sequence[str] | None = None) -> int:
    """`python -m trainers.cell SPEC.json --data ROOT [--encoder DIR] [--profile [STEPS]]`: train one cell, without Ray,
    and print its result; or print where the time of its steps goes.

    A spec without fingerprints takes those of the speech and the encoder that it is given.
    """
    parser = argparse.ArgumentParser(prog="python -m trainers.cell", description="Train one cell alone.")
    parser.add_argument("spec", type=Path, help="the cell as JSON: CellSpec's fields")
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help=f"folder or name (default: {DEFAULT_ENCODER})")
    parser.add_argument(
        "--store", type=stores.given, default=Path("runs"), help="folder, or URL of a bucket, of audio and checkpoints"
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        type=int,
        const=PROFILED_STEPS,
        metavar="STEPS",
        help=f"train only so many steps ({PROFILED_STEPS}) and tell where their time goes, and the most memory",
    )
    asked = parser.parse_args(words)
    try:
        spec, workspace = _placed(asked.spec, asked.data, asked.encoder, asked.store)
        if asked.profile is not None:
            for line in _profiled(spec, workspace, asked.profile):
                print(line)
            return 0
        result = run(spec, workspace, progress=lambda step, steps, phase: _tell(f"{phase} {step}/{steps}"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    forget_checkpoint(spec, workspace)
    print(json.dumps(result.as_dict()))
    return 0


def _profiled(spec: CellSpec, workspace: Workspace, steps: int) -> Iterator[str]:
    """The profile of the stage that a cell begins with, and of its own training."""
    require(steps >= 1, "profile", steps, "at least 1 step")
    trains = spec.method not in FLOORS and not isinstance(spec.config, AdaptationConfig)
    require(trains, "method to profile", spec.method, "one that trains by steps")
    split, speech = workspace.split(spec), workspace.speech(spec.front_end)
    yield f"on {workspace.device.type}, {torch.get_num_threads()} threads, batch {spec.training.batch_size}"
    if has_stage(spec.config):
        stage = build_stage(spec, split, speech, workspace.backbone)
        found = profile(stage, stage_training(spec), spec.seed, steps, workspace.device)
        yield from ("the stage it begins with:", *told(found))
    method = build(spec, split, speech, workspace.backbone)
    yield from (f"{spec.method}:", *told(profile(method, spec.training, spec.seed, steps, workspace.device)))


def _placed(file: Path, data: Path, encoder: str, store: Path) -> tuple[CellSpec, Workspace]:
    values = _read(file)
    folder = encoders.locate(encoder)
    blank = {"encoder_fingerprint": encoders.fingerprint(folder), "data_fingerprint": ""}
    spec = CellSpec.from_dict({**blank, **values})
    require_place(spec)
    corpora = _corpora(protocol_named(spec.protocol), data)
    workspace = Workspace(prepare(data, corpora, store, report=_tell), folder, store)
    split = workspace.splits(spec).of(spec.target, spec.fold, spec.config)
    if not spec.data_fingerprint:
        spec = replace(spec, data_fingerprint=split.fingerprint(workspace.prepared))
    return spec, workspace


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds {values!r}; it must hold an object of CellSpec's fields")
    return values


def _corpora(protocol: Protocol, data: Path) -> list[str]:
    """The protocol's corpora without the target languages that are not there; UserError from `prepare` for others."""
    absent = {name for name in protocol.low if name in CORPORA and not (data / CORPORA[name].folder).is_dir()}
    return [name for name in protocol.corpora if name not in absent]


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
