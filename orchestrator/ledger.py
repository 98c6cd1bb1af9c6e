"""The ledger: what every cell came to, on shared storage. It is the truth; MLflow mirrors it.

`<store>/cells/<key[:2]>/<key>.json` and `<key>.details.json.gz`, as `records.py` writes them; `test_openings.jsonl`
counts how often test scores were looked at; `sweep.lock` names the one sweep that may write.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from orchestrator import openings, records
from trainers.errors import UserError
from trainers.result import Result

KEY = re.compile(r"[0-9a-f]{64}")

ENDINGS = (".json", ".details.json.gz")

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Stored:
    """A result's files: how many bytes they are, and when they were last written."""

    bytes: int
    written_ns: int


class Ledger:
    """Results below `store`, by the key of their cell. `rename` is a test's way to stop a write half-way.

    `counts`: whether a look at test scores is noted; False only where scores that were opened before are told again.
    """

    def __init__(self, store: Path, *, rename: records.Rename = os.replace, counts: bool = True) -> None:
        self.store = store
        self._rename, self._counts = rename, counts
        self._glances: dict[str, tuple[records.Stamp, records.Glance]] = {}

    def write(self, result: Result) -> None:
        """Keep a result. A cell's first result stays; a second one with other numbers is set beside it, with a warning.

        UserError where the store cannot be written (read-only, full); what it held is then as it was.
        """
        key = result.spec.key()
        path = self.path(key)
        with _writing(path), _locked(path.parent / ".lock"):
            earlier = self.read(key)
            if earlier is None:
                records.write(path, result, self._rename)
            elif _numbers(earlier) != _numbers(result):
                beside = records.unused(path.with_name(f"{key}.differs.json"))
                records.write(beside, result, self._rename)
                warnings.warn(f"{path} has other numbers for the same cell; the new ones lie in {beside}", stacklevel=2)

    def read(self, key: str) -> Result | None:
        """The whole result, or None where the cell is not done or its files are damaged (these are set aside)."""
        return self._load(key, lambda path: records.result(path, whole=True))

    def light(self, key: str) -> Result | None:
        """The result without `history` and `predictions`, several times quicker than `read`."""
        return self._load(key, lambda path: records.result(path, whole=False))

    def glance(self, key: str) -> records.Glance | None:
        """What a driver asks of a result, None as for `read`. It is read once for as long as its files stay the same,
        and remembered: 1 to 2 kB a result."""
        stamp = self._load(key, records.stamp)
        return self._seen(key, stamp) if stamp else None

    def has(self, key: str) -> bool:
        """Whether the cell is done and its record sound."""
        return self.glance(key) is not None

    def glances(self, keys: Iterable[str]) -> dict[str, records.Glance]:
        """Glances at those of `keys` that are done; whether files are there and the same is read from their folders."""
        asked = list(keys)
        found = self._files_in({key[:2] for key in asked})
        stamps = ((key, found[key]) for key in asked if key in found)
        seen = ((key, self._seen(key, records.stamp_of(*files))) for key, files in stamps)
        return {key: glance for key, glance in seen if glance}

    def done(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that need no training."""
        return set(self.glances(keys))

    def _seen(self, key: str, stamp: records.Stamp) -> records.Glance | None:
        """The glance at files with this stamp: that which is remembered, or a new one."""
        if key not in self._glances or self._glances[key][0] != stamp:
            found = self._load(key, records.glance)
            if found is None:
                return None
            self._glances[key] = stamp, found
        return self._glances[key][1]

    def __iter__(self) -> Iterator[Result]:
        """Every light record, in the order of the keys; what no longer loads is passed by."""
        for path in sorted(self.store.glob("cells/??/*.json")):
            if KEY.fullmatch(path.stem):
                try:
                    yield records.result(path, whole=False)
                except (records.DamagedError, FileNotFoundError):
                    continue

    def stored(self) -> dict[str, Stored]:
        """What lies here, by key; no file is read."""
        found = self._files_in(folder.name for folder in self.store.glob("cells/??"))
        return {
            key: Stored(record.st_size + (details.st_size if details else 0), record.st_mtime_ns)
            for key, (record, details) in found.items()
        }

    def _files_in(self, folders: Iterable[str]) -> dict[str, tuple[os.stat_result, os.stat_result | None]]:
        """The records in folders of `cells`, by key, each with its details."""
        found: dict[str, os.stat_result] = {}
        for folder in folders:
            path = self.store / "cells" / folder
            try:
                with os.scandir(path) as files:
                    statuses = ((file.name, records.status(file)) for file in files if file.name.endswith(ENDINGS))
                    found |= {name: status for name, status in statuses if status}
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UserError(f"cannot read {path}: {error.strerror}") from error
        keys = (name.removesuffix(".json") for name in found)
        return {key: (found[f"{key}.json"], found.get(f"{key}.details.json.gz")) for key in keys if KEY.fullmatch(key)}

    def set_aside(self, keys: Iterable[str]) -> int:
        """Move these results out of the way, to `<store>/set_aside/<time>`, and drop what was trained half-way.

        Returns how many results there were.
        """
        folder = self.store / "set_aside" / _now().replace(":", "")
        moved = 0
        keys = list(keys)
        for key in keys:
            shutil.rmtree(self.store / "checkpoints" / key, ignore_errors=True)
        for path in self._files(keys):
            with _writing(folder / path.name):
                path.replace(folder / path.name)
            moved += path.suffix == ".json"
        return moved

    def opened(self, sweep: str, keys: Iterable[str]) -> int:
        """Note that a sweep's test scores were looked at; returns how often that has happened, this time included."""
        if self._counts:
            with _writing(openings.log_path(self.store)):
                openings.note(self.store, sweep, set(keys), _now())
        return openings.count(self.store, sweep)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the store for the sweep `name`; UserError that says who holds it where somebody does."""
        path = self.store / "sweep.lock"
        with _writing(path):
            held = path.open("a+")
        with held:
            _claim(held.fileno(), path)
            me = {"sweep": name, "pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
            with _writing(path):
                held.truncate(0)
                print(json.dumps(me), file=held, flush=True)
            try:
                yield
            finally:
                held.truncate(0)

    def path(self, key: str) -> Path:
        """Where the record of a cell lies, or would lie."""
        return self.store / "cells" / key[:2] / f"{key}.json"

    def _files(self, keys: Iterable[str]) -> list[Path]:
        """The files of these results that are there."""
        records_of = [self.path(key) for key in keys]
        return [file for path in records_of for file in (path, records.details_path(path)) if file.exists()]

    def _load(self, key: str, read: Callable[[Path], Loaded]) -> Loaded | None:
        path = self.path(key)
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except records.DamagedError as error:
            records.set_aside(path, str(error))
            return None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error


def _numbers(result: Result) -> str:
    """All of a result but where and how fast it ran."""
    values = result.as_dict()
    return records.canonical({name: value for name, value in values.items() if name not in ("seconds", "versions")})


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make the folder of `path`; what the disk refuses becomes a UserError with the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write {error.filename or path}: {error.strerror}; nothing stored was lost") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two writers of one cell go one after the other."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _claim(number: int, path: Path) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(_held(path)) from error


def _held(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        holder = f"sweep {who['sweep']!r} (process {who['pid']} on {who['host']}, since {who['since']})"
    except (ValueError, KeyError, TypeError, OSError):
        holder = "another sweep that is just starting"
    return f"store {str(path.parent)!r} is held by {holder}; wait for it, stop it, or choose another --store"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
