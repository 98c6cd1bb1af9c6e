"""What a bundle brings into a store: checked to the last byte before anything of it counts.

Nothing is unpacked by the archive's own names: a member must be a plain file that the bundle's list has, with its size
and its SHA-256, and every result and record must load. Only then is it taken: results by the ledger's own rule, the
record, by which all of it is found, last.
"""

import gzip
import hashlib
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator import openings, records
from orchestrator.asked import Asked, read, write
from orchestrator.ledger import Ledger
from trainers.errors import UserError
from trainers.result import Result

SCHEMA = 1
"""Raised when the layout of a bundle changes."""

HEAD, LOG = "bundle.json", "openings.jsonl"

LARGEST_HEAD = 1 << 26
"""Bytes: the list of 100,000 cells takes 30 MB."""

SWEEP = re.compile(r"\w[\w-]*")
KNOWN = re.compile(
    r"cells/[0-9a-f]{64}\.(json|details\.json\.gz)"
    r"|sweeps/[0-9a-f]{12}\.json"
    r"|reports/[0-9a-f]{12}(/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*)+"
    rf"|{re.escape(LOG)}"
)
"""Names that a bundle may have; no part of one begins with a dot."""


@dataclass(frozen=True)
class Taken:
    """What came of an import: results that are new here, that were here, that are here with other numbers (these lie
    beside); looks at test scores that were not known here; the records, newest first."""

    sweep: str
    new: int
    same: int
    other: int
    looks: int
    found: tuple[Asked, ...]

    def told(self) -> str:
        beside = f", {self.other} have other numbers here and were set beside" if self.other else ""
        looks = f"; {self.looks} looks at test scores that were not counted here" if self.looks else ""
        return f"{self.sweep}: {self.new} results taken, {self.same} were here{beside}{looks}"


def take(store: Path, path: Path) -> Taken:
    """Import a bundle; a second time changes nothing. UserError in one line where it is damaged, of a newer version or
    no bundle: the store is then as it was."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=store) as scratch, path.open("rb") as file:
            sweep = _unpacked(path, file, Path(scratch))
            found = _checked(path, sweep, Path(scratch))
            with Ledger(store).lock(f"import of {sweep}"):
                return _taken(store, sweep, found, Path(scratch))
    except OSError as error:
        raise UserError(f"cannot import {path} into {store}: {error.strerror or error}") from error


def _unpacked(path: Path, file: BinaryIO, scratch: Path) -> str:
    """Write every file of the list into `scratch`; returns the sweep's name."""
    try:
        with gzip.GzipFile(fileobj=file) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            head = _head(path, archive)
            left: dict[str, Any] = dict(head["files"])
            while member := archive.next():
                _write_member(path, archive, member, left.pop(member.name, None), scratch)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or no bundle: {error}") from error
    if left:
        raise UserError(f"{path} is damaged: it lacks {min(left)}" + (f" and {len(left) - 1} more" * (len(left) > 1)))
    return str(head["sweep"])


def _head(path: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    first = archive.next()
    if first is None or first.name != HEAD or not first.isreg() or first.size > LARGEST_HEAD:
        raise UserError(f"{path} is no bundle: it does not begin with {HEAD}")
    content = archive.extractfile(first)
    assert content is not None
    try:
        head: dict[str, Any] = json.loads(content.read())
        schema, sweep, files = head["schema"], head["sweep"], head["files"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise UserError(f"{path} was written by a newer version (schema {schema}; this one reads up to {SCHEMA})")
        sound = SWEEP.fullmatch(sweep) and all(map(KNOWN.fullmatch, files))
        sound = sound and all(each["bytes"] >= 0 and len(each["sha256"]) == 64 for each in files.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no bundle: {type(error).__name__} {error}") from error
    if not sound:
        raise UserError(f"{path} is no bundle: its list has names or sizes that no bundle has")
    return head


def _write_member(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, known: Mapping[str, Any] | None, scratch: Path
) -> None:
    if known is None or not member.isreg() or member.size != known["bytes"]:
        raise UserError(f"{path} is refused: {member.name!r} is no file of its list")
    content = archive.extractfile(member)
    assert content is not None
    place, told = scratch / member.name, hashlib.sha256()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        while block := content.read(1 << 20):
            told.update(block)
            file.write(block)
    if told.hexdigest() != known["sha256"]:
        raise UserError(f"{path} is damaged: the checksum of {member.name} does not fit")


def _checked(path: Path, sweep: str, scratch: Path) -> tuple[Asked, ...]:
    """The records, newest first, after all results, records and lines of the log were found sound and of this sweep."""
    try:
        found = [(file, read(file)) for file in sorted(scratch.glob("sweeps/*.json"))]
        if not found or any((one.sweep, one.digest) != (sweep, file.stem) for file, one in found):
            raise UserError(f"its records are not those of {sweep}")
        asked_for = frozenset[str]().union(*(one.keys for _, one in found))
        for file in sorted(scratch.glob("cells/*.json")):
            if _result(file).spec.key() != file.stem or file.stem not in asked_for:
                raise UserError(f"{file.name} is no result of {sweep}")
        if not all(openings.is_line(line, sweep) for line in _looks(scratch)):
            raise UserError(f"{LOG} is not that of {sweep}")
    except (UserError, records.DamagedError, FileNotFoundError, ValueError) as error:
        told = str(error).replace(f"{scratch}/", "")
        raise UserError(f"{path} is refused: {told}") from error
    return tuple(sorted((one for _, one in found), key=lambda one: one.at, reverse=True))


def _result(file: Path) -> Result:
    return records.result(file, whole=True)


def _looks(scratch: Path) -> list[str]:
    log = scratch / LOG
    return log.read_text().splitlines() if log.exists() else []


def _taken(store: Path, sweep: str, found: tuple[Asked, ...], scratch: Path) -> Taken:
    """Results first, then what was looked at, reports, and last the records."""
    ledger, counts = Ledger(store), {"new": 0, "same": 0, "other": 0}
    for file in sorted(scratch.glob("cells/*.json")):
        counts[_kept(ledger, file)] += 1
    looks = openings.merge(store, sweep, _looks(scratch))
    for asked in reversed(found):
        ours = _ours(store, asked)
        if ours is None or ours.at <= asked.at:
            _take_report(scratch / "reports" / asked.digest, store / "reports" / f"{sweep}-{asked.digest}")
            write(store, asked)
    return Taken(sweep, counts["new"], counts["same"], counts["other"], looks, found)


def _kept(ledger: Ledger, file: Path) -> str:
    """Write a result by the ledger's rule: the first one stays."""
    theirs = _result(file)
    ours = ledger.read(file.stem)
    ledger.write(theirs)
    if ours is None:
        return "new"
    blank: dict[str, Any] = {"seconds": {}, "versions": {}}
    alike = records.canonical(replace(ours, **blank).as_dict()) == records.canonical(replace(theirs, **blank).as_dict())
    return "same" if alike else "other"


def _ours(store: Path, asked: Asked) -> Asked | None:
    path = store / "sweeps" / asked.sweep / f"{asked.digest}.json"
    return read(path) if path.exists() else None


def _take_report(theirs: Path, place: Path) -> None:
    """Put a report in the place of an older one."""
    if theirs.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        theirs.rename(place)
