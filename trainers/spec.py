"""What a cell is: one training and its evaluation, fully said. Equal specs have equal keys and are trained once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError, require, unknown
from trainers.methods.configs import CONFIGS, ByolConfig, MethodConfig
from trainers.schedules import matched_tau
from trainers.settings import fitted, require_types

CODE_VERSION = 1
"""Raised by hand whenever the same spec would train to other numbers; old results then stay, under their old keys."""

CODE_VERSIONS = {"nuisance_only": 2, "baseline": 4, "byol": 2, "cl": 3, "adaptation": 3, "supcon": 3, "pairwise": 2}
"""Versions of methods that changed alone, so that the others' results stay valid."""


GAINED = {
    "class_weights": "none",
    "text": "none",
    "text_weight": 0.1,
    "clean_view": False,
    "sources": "halves",
    "corpus_mix": "pooled",
    "monitor": "uar",
}
"""Settings gained since, with the value that means what was before: with it a cell keeps its key."""


def code_version(method: str) -> int:
    """Of the code that trains a method."""
    return CODE_VERSIONS.get(method, CODE_VERSION)


@dataclass(frozen=True)
class Training:
    """What every method's training shares (Gong et al. 2025 §3.3 where not said otherwise).

    `steps`: K optimiser steps, always all of them. `epoch_steps`: steps between validations and checkpoints.
    `batch_size`: clips per source and step. `encoder_lr`, `head_lr` (head, projector, predictor): AdamW learning
    rates, our defaults for small encoders (the paper has 1e-5 for all). `warmup_steps`: linear warm-up, ours (the
    paper names none). `grad_clip`: largest gradient norm, 0 is off. `precision`: of the encoder's arithmetic, fp32 or
    bf16 (autocast; weights and losses stay in fp32). A plan takes bf16 where its cells run on GPUs that have it.
    `label_fraction`: share of each emotion's labelled clips that are trained on, at least one. `corpus_mix`: labelled
    batches draw an emotion's clips from all corpora `pooled` (our default), or as many from each (`even`).
    `monitor`: the validation score that chooses the secondary, early-stopped weights: uar (our default) or accuracy.
    """

    steps: int = 5000
    epoch_steps: int = 100
    batch_size: int = 64
    encoder_lr: float = 3e-5
    head_lr: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    grad_clip: float = 0.0
    precision: str = "fp32"
    label_fraction: float = 1.0
    corpus_mix: str = "pooled"
    monitor: str = "uar"

    def __post_init__(self) -> None:
        require_types(self)
        require(self.steps >= 1, "steps", self.steps, "at least 1")
        require(self.epoch_steps >= 1, "epoch_steps", self.epoch_steps, "at least 1")
        fits = self.batch_size >= 4 and self.batch_size % 4 == 0
        require(fits, "batch_size", self.batch_size, "a multiple of 4, an equal share for each class")
        require(0 < self.encoder_lr < 1, "encoder_lr", self.encoder_lr, "above 0 and below 1")
        require(0 < self.head_lr < 1, "head_lr", self.head_lr, "above 0 and below 1")
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "at least 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        require(self.grad_clip >= 0, "grad_clip", self.grad_clip, "at least 0 (0 is off)")
        require(0 < self.label_fraction <= 1, "label_fraction", self.label_fraction, "above 0 and at most 1")
        require(self.corpus_mix in ("pooled", "even"), "corpus_mix", self.corpus_mix, "pooled or even")
        require(self.monitor in ("uar", "accuracy"), "monitor", self.monitor, "uar or accuracy")
        require(self.precision in ("fp32", "bf16"), "precision", self.precision, "fp32 or bf16")


@dataclass(frozen=True)
class CellSpec:
    """One cell. It names no sweep, no path and no machine, so whoever asks for the same training finds it done.

    `target`: the language whose unlabelled speech the method trains on; None where it sees none (one training then
    serves every language). `data_fingerprint`: hash of the fold membership and of the audio of all parts.
    """

    method: str
    config: MethodConfig
    training: Training
    front_end: FrontEnd
    protocol: str
    folds_by: str
    target: str | None
    fold: int
    seed: int
    encoder_fingerprint: str
    data_fingerprint: str
    code_version: int = CODE_VERSION

    def __post_init__(self) -> None:
        if self.method not in CONFIGS:
            raise unknown("method", self.method, CONFIGS)
        if type(self.config) is not CONFIGS[self.method]:
            raise UserError(
                f"method {self.method} has a {type(self.config).__name__}; it takes a {CONFIGS[self.method].__name__}"
            )
        if isinstance(self.config, ByolConfig) and self.config.tau_horizon == "matched":
            for tau in (self.config.tau, *self.config.passive_taus):
                matched_tau(tau, self.training.steps)

    def as_dict(self) -> dict[str, Any]:
        return as_plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CellSpec":
        """The spec that `as_dict` (or its JSON) describes; UserError where a field is missing, unknown or bad."""
        if not isinstance(values, Mapping):
            raise UserError(f"a cell is {values!r}; it must be an object of CellSpec's fields")
        method = values.get("method")
        if not isinstance(method, str) or method not in CONFIGS:
            raise unknown("method", method, CONFIGS)
        parts = {"config": CONFIGS[method], "training": Training, "front_end": FrontEnd}
        built = {name: _build(kind, name, values.get(name, {})) for name, kind in parts.items()}
        own = {name: value for name, value in values.items() if name not in parts}
        plain = {"code_version": code_version(method), **own}
        spec: CellSpec = _build(cls, "cell", plain, built)
        return spec

    def key(self) -> str:
        """64 hex digits: the SHA-256 of the spec's canonical JSON."""
        return digest(self.written())

    def written(self) -> dict[str, str]:
        """Each field as canonical JSON, for `digest`; cells that differ in a few fields share the others' text."""
        values = as_plain(self)
        for part in ("config", "training"):
            own = values[part].items()
            values[part] = {name: value for name, value in own if name not in GAINED or value != GAINED[name]}
        return written(values)

    def settings(self) -> dict[str, Any]:
        """Every setting by its plain name: the method's, the training's and the front end's fields, flat."""
        return {**as_plain(self.config), **as_plain(self.training), **as_plain(self.front_end)}

    def configured(self, values: Mapping[str, Any]) -> "CellSpec":
        """The same cell with settings replaced by name; UserError names the settings there are."""
        changed: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            part = self._place_of(name)
            changed.setdefault(part, {})[name] = fitted(type(getattr(self, part)), name, value)
        return replace(self, **{part: replace(getattr(self, part), **new) for part, new in changed.items()})

    def _place_of(self, name: str) -> str:
        """Which part of the spec holds a setting."""
        for part in ("config", "training", "front_end"):
            kind: Any = type(getattr(self, part))
            if name in _names(kind):
                return part
        raise unknown(f"setting of {self.method}", name, self.settings())


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""JSON that is equal for equal values."""


def written(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value as canonical JSON."""
    return {name: canonical(value) for name, value in values.items()}


def digest(parts: Mapping[str, str]) -> str:
    """64 hex digits: the SHA-256 of the canonical JSON of an object whose values are `written` already."""
    text = ",".join([f'"{name}":{parts[name]}' for name in sorted(parts)])
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


def as_plain(of: Any) -> dict[str, Any]:
    """Fields of a dataclass by name, and so those of its parts. Unlike `dataclasses.asdict` it copies no value."""
    kind: Any = type(of)
    values = ((name, getattr(of, name)) for name in _names(kind))
    return {name: as_plain(value) if is_dataclass(value) else value for name, value in values}


def _build(kind: Any, what: str, values: Any, built: Mapping[str, Any] | None = None) -> Any:
    """A dataclass from plain values, each in its field's type, and from parts that are built already."""
    if not isinstance(values, Mapping):
        raise UserError(f"{what} is {values!r}; it must be an object of {kind.__name__}'s fields")
    known, needed = _fields(kind)
    for name in values:
        if name not in known:
            raise unknown(f"field of {kind.__name__}", name, known)
    missing = sorted(needed - set(values) - set(built or {}))
    if missing:
        raise UserError(f"{what} lacks {', '.join(missing)}")
    return kind(**{name: fitted(kind, name, value) for name, value in values.items()}, **(built or {}))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _fields(kind: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Names of all fields, and of those without a default."""
    needed = (field.name for field in fields(kind) if field.default is field.default_factory is MISSING)
    return frozenset(_names(kind)), frozenset(needed)
