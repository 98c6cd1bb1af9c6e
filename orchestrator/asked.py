"""What a sweep was asked, kept beside its results, so that they can be compared later from the ledger alone.

`<store>/sweeps/<sweep>/<digest>.json`, the digest being that of the cells: the same sweep with other settings is
another record, and the same command twice is one. The newest record of a sweep is the one that is meant by its name.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from orchestrator.answers.rows import Candidate
from orchestrator.objective import OBJECTIVES
from orchestrator.records import canonical, publish
from trainers import stores
from trainers.credentials import masked
from trainers.errors import UserError

SCHEMA = 1

SWEEP = re.compile(r"\w[\w-]*")
KEY = re.compile(r"[0-9a-f]{64}")

LISTS = ("languages", "held_out", "shared_speakers", "shows")
MAPPINGS: Mapping[str, tuple[type, ...]] = {
    "folds": (int,),
    "longest_s": (float, int),
    **dict.fromkeys(("conditions", "dropped", "failed", "versions"), (str,)),
}
"""Fields that are lists of words, and those that have a value of these types for each word; others are texts."""


@dataclass(frozen=True)
class Asked:
    """A sweep as it was asked.

    `command`: the command line, credentials masked; `at`: when, ISO 8601; `commit`: of the code, "" where that is not
    known; `versions`: of what it ran with ("torch"). `note`: what every reader must be told first (the demo's).
    `folds`: language -> folds of one partition. `conditions`: what may differ from another's experiment, by plain
    names ("encoder"). `longest_s`:
    language -> its longest clip. `dropped`, `failed`: why configurations (by name) were given up, and cells (by key)
    have no result. The other fields are `orchestrator.answers.comparison.compare`'s.
    """

    sweep: str
    question: str
    command: str
    at: str
    commit: str
    note: str
    protocol: str
    folds_by: str
    languages: tuple[str, ...]
    held_out: tuple[str, ...]
    selector: str
    objective: str
    shared_speakers: tuple[str, ...]
    folds: Mapping[str, int]
    reference: str
    shows: tuple[str, ...]
    configurations: tuple[Candidate, ...]
    floors: tuple[Candidate, ...]
    conditions: Mapping[str, str] = field(default_factory=dict)
    longest_s: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", masked(self.command))

    @property
    def keys(self) -> frozenset[str]:
        """Of all cells."""
        return frozenset(key for one in (*self.configurations, *self.floors) for key in one.cells.values())

    @property
    def digest(self) -> str:
        """12 hex digits of what was asked for: configurations with their cells, and floors."""
        told = [self.sweep, *(_plain(one) for one in (*self.configurations, *self.floors))]
        return hashlib.sha256(canonical(told).encode()).hexdigest()[:12]


def write(store: Path, asked: Asked) -> Path:
    """Keep a record, whole or not at all; UserError where the store cannot be written.

    Earlier ones of the same command go where this one has all of their cells: a search or a repetition has grown.
    """
    path = store / "sweeps" / asked.sweep / f"{asked.digest}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, (canonical({"schema": SCHEMA, **_values(asked)}) + "\n").encode())
        stores.send(path)
        for outgrown in _outgrown(store, asked):
            stores.forget(outgrown)
            outgrown.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    return path


def _outgrown(store: Path, asked: Asked) -> list[Path]:
    others: dict[Path, Asked] = {}
    for path in _paths(store, asked.sweep):
        with suppress(UserError):  # a damaged one is told when it is asked for, and hinders no other
            others |= {path: read(path)} if path.stem != asked.digest else {}
    return [path for path, one in others.items() if one.command == asked.command and one.keys <= asked.keys]


def read(path: Path) -> Asked:
    """The record at `path`; UserError where it is damaged or of a newer version.

    Its name is the digest of what was asked for, so that no cell, name or value in it changes unseen.
    """
    try:
        told = json.loads(path.read_bytes())
        json.dumps(told, ensure_ascii=False).encode()  # half a character could not be written into any report
        schema = told.pop("schema")
        if schema > SCHEMA:
            raise UserError(f"{path} was written by a newer version (schema {schema}; this one reads up to {SCHEMA})")
        told = {"versions": {}} | told  # which older records do not have
        found = Asked(**{each.name: _typed(each.name, told[each.name]) for each in fields(Asked)})
        digest = found.digest
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"{path} is no record of a sweep: {type(error).__name__} {said}") from error
    if digest != path.stem:
        raise UserError(f"{path} is damaged: it asks for {digest}")
    return found


def named(store: Path, name: str) -> list[Asked]:
    """The records of a sweep, newest first. `SWEEP` or `SWEEP/DIGEST`, of which the first digits do; UserError lists
    what there is."""
    sweep, _, digest = name.partition("/")
    if SWEEP.fullmatch(sweep):
        stores.pull(store, f"sweeps/{sweep}")
    found = [read(path) for path in _paths(store, sweep) if path.stem.startswith(digest)]
    if not found:
        known = digests(store, sweep) if digest and _paths(store, sweep) else sweeps(store)
        raise UserError(
            f"no results of {name!r} in store {stores.told(store)!r}; there are: {', '.join(known) or 'none'}"
        )
    return sorted(found, key=lambda each: each.at, reverse=True)


def sweeps(store: Path) -> list[str]:
    """The sweeps that have a record in this store."""
    stores.pull(store, "sweeps")
    folder = store / "sweeps"
    there = sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    return [name for name in there if _paths(store, name)]


def digests(store: Path, sweep: str) -> list[str]:
    """The records of a sweep as a user names them."""
    return [f"{sweep}/{path.stem}" for path in _paths(store, sweep)]


def _paths(store: Path, sweep: str) -> list[Path]:
    if not SWEEP.fullmatch(sweep):
        return []
    return sorted(path for path in (store / "sweeps" / sweep).glob("*.json") if len(path.stem) == 12)


def report_folder(store: Path, asked: Asked) -> Path:
    """Where a sweep's report lies unless the user says otherwise."""
    return store / "reports" / f"{asked.sweep}-{asked.digest}"


def _values(asked: Asked) -> dict[str, Any]:
    own = {each.name: getattr(asked, each.name) for each in fields(asked)}
    return own | {name: [_plain(one) for one in own[name]] for name in ("configurations", "floors")}


def _plain(one: Candidate) -> dict[str, Any]:
    cells = [[*place, key] for place, key in one.cells.items()]
    return {"name": one.name, "method": one.method, "values": dict(one.values), "cells": cells}


def _typed(name: str, value: Any) -> Any:
    """A field's value, of the type that it is declared with; TypeError or ValueError for any other."""
    if name in ("configurations", "floors"):
        return tuple(_candidate(one) for one in value)
    if name in MAPPINGS:
        _require(isinstance(value, dict) and all(type(each) in MAPPINGS[name] for each in value.values()), name)
        return value
    if name in LISTS:
        _require(isinstance(value, list) and all(isinstance(each, str) for each in value), name)
        return tuple(value)
    _require(isinstance(value, str), name)
    _require(name != "objective" or value in OBJECTIVES, name)
    _require(name != "sweep" or SWEEP.fullmatch(value) is not None, name)
    return value


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise TypeError(f"in {name}")


def _candidate(told: Mapping[str, Any]) -> Candidate:
    cells = {(target, fold, seed): key for target, fold, seed, key in told["cells"]}
    for (target, fold, seed), key in cells.items():
        _require((target is None or isinstance(target, str)) and type(fold) is type(seed) is int, "cells")
        _require(isinstance(key, str) and KEY.fullmatch(key) is not None, "cells")
    _require(isinstance(told["name"], str) and isinstance(told["method"], str), "a configuration's name")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in told["values"].items()}
    return Candidate(told["name"], cells, values, told["method"])
