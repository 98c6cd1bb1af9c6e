"""The ledger: what every cell came to, on shared storage. It is the truth; MLflow mirrors it.

`<store>/cells/<key[:2]>/<key>.json` and `<key>.details.json.gz`, as `records.py` writes them; `test_openings.jsonl`
counts how often test scores were looked at; `sweep.lock` names the one sweep that may write.
"""

import fcntl
import os
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from orchestrator import afar, lease, openings, records
from trainers import withdrawn
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
        self._afar = afar.cells_of(store)
        self._glances: dict[str, tuple[records.Stamp, records.Glance]] = {}

    def write(self, result: Result) -> None:
        """Keep a result. A cell's first result stays; a second one with other numbers is set beside it, with a warning.

        UserError where the store cannot be written (read-only, full); what it held is then as it was.
        """
        key = result.spec.key()
        path = self.path(key)
        with records.writing(path), _locked(path.parent / ".lock"):
            packed = records.pack(result)
            if self._afar:  # whatever the server does now
                self._afar.keep(key, packed)
            earlier = self.read(key)
            if earlier is None:
                earlier = self._first(key, packed)
            if earlier is not None and _numbers(earlier) != _numbers(result):
                beside = records.unused(path.with_name(f"{key}.differs.json"))
                records.write(beside, packed, self._rename)
                if self._afar:
                    self._afar.set_beside(key, packed)
                warnings.warn(f"{path} has other numbers for the same cell; the new ones lie in {beside}", stacklevel=2)
            if self._afar:
                self._afar.drop(key)

    def _first(self, key: str, packed: records.Packed) -> Result | None:
        """Write a result that this folder lacks; with a bucket behind it another writer's may come first: that one."""
        if self._afar is None:
            records.write(self.path(key), packed, self._rename)
            return None
        while not self._afar.commit(key, packed):
            if theirs := self.read(key):  # where theirs is damaged it is set aside, and ours may come
                return theirs
        self._afar.settle(key)
        return None

    def send_kept(self) -> None:
        """Drop what was set aside on other nodes, and write the results to the bucket that could not be sent when they
        came."""
        withdrawn.heed(self.store)
        for path in self._afar.unsent() if self._afar else ():
            try:
                self.write(records.result(path, whole=True))
            except FileNotFoundError:  # another process is quicker
                continue
            except records.DamagedError as error:
                records.set_aside(path, str(error))

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
        folders = {key[:2] for key in asked}
        self.bring(asked)
        found = self._files_in(folders)
        stamps = ((key, found[key]) for key in asked if key in found)
        seen = ((key, self._seen(key, records.stamp_of(*files))) for key, files in stamps)
        return {key: glance for key, glance in seen if glance}

    def bring(self, keys: Collection[str]) -> None:
        """Bring what the bucket behind this store has of these results, several at a time; else each comes when it is
        asked for."""
        if self._afar:
            self._afar.pull(self._files_in({key[:2] for key in keys}), keys)

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
        self._pull()
        for path in sorted(self.store.glob("cells/??/*.json")):
            if KEY.fullmatch(path.stem):
                try:
                    yield records.result(path, whole=False)
                except (records.DamagedError, FileNotFoundError):
                    continue

    def stored(self) -> dict[str, Stored]:
        """What lies here, by key; no file is read."""
        self._pull()
        return {
            key: Stored(record.st_size + (details.st_size if details else 0), record.st_mtime_ns)
            for key, (record, details) in self._files().items()
        }

    def _pull(self) -> None:
        """Bring all that the bucket has."""
        if self._afar:
            self._afar.pull(self._files())

    def _files(self) -> dict[str, tuple[os.stat_result, os.stat_result | None]]:
        return self._files_in(folder.name for folder in self.store.glob("cells/??"))

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
        folder = self.store / "set_aside" / now().replace(":", "")
        moved = 0
        keys = list(keys)
        for key in keys:
            shutil.rmtree(self.store / "checkpoints" / key, ignore_errors=True)
        if self._afar:
            self.bring(keys)
            self._afar.withdraw(keys)
        for path in self._files_of(keys):
            with records.writing(folder / path.name):
                path.replace(folder / path.name)
            moved += path.suffix == ".json"
        return moved

    def opened(self, sweep: str, keys: Iterable[str]) -> int:
        """Note that a sweep's test scores were looked at; returns how often that has happened, this time included."""
        if self._counts:
            with records.writing(openings.log_path(self.store)):
                openings.note(self.store, sweep, set(keys), now())
        return openings.count(self.store, sweep)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the store for the sweep `name`; UserError that says who holds it where somebody does."""
        with lease.locked(self.store, name, now()):
            self.send_kept()
            yield

    def path(self, key: str) -> Path:
        """Where the record of a cell lies, or would lie."""
        return self.store / "cells" / key[:2] / f"{key}.json"

    def _files_of(self, keys: Iterable[str]) -> list[Path]:
        """The files of these results that are there."""
        records_of = [self.path(key) for key in keys]
        return [file for path in records_of for file in (path, records.details_path(path)) if file.exists()]

    def _load(self, key: str, read: Callable[[Path], Loaded | None]) -> Loaded | None:
        found = self._load_here(key, read, lambda _: None)
        if found is None and self._afar and self._afar.fetch(key):
            return self._load_here(key, read, lambda cells: cells.set_aside(key, "damaged"))
        return found

    def _load_here(
        self, key: str, read: Callable[[Path], Loaded | None], damaged: Callable[[afar.Cells], None]
    ) -> Loaded | None:
        """`damaged`: what is to be done in the bucket, where its own result is not sound."""
        path = self.path(key)
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except records.DamagedError as error:
            records.set_aside(path, str(error))
            if self._afar:
                damaged(self._afar)
            return None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error


def _numbers(result: Result) -> str:
    """All of a result but where and how fast it ran."""
    values = result.as_dict()
    return records.canonical({name: value for name, value in values.items() if name not in ("seconds", "versions")})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two writers of one cell go one after the other."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
