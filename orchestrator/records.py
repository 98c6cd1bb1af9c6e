"""A result as two files that are either whole or absent: the light record and its details.

The record is JSON. Its first line is the checksum of everything after it, and that envelope is the same for every
schema. The details (curves, the prediction of every clip) are written first, so a record promises its details.
"""

import gzip
import hashlib
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from trainers.errors import UserError
from trainers.result import Result

SCHEMA = 1
"""Raised when the layout of a record changes; records of a newer schema are refused and left as they are."""

LARGEST_DETAILS = 2_000_000_000
"""Bytes of a cell's details, unpacked: a million test clips are some 300 MB."""

GZIP = 31
"""What zlib calls the format, with the largest window."""

DETAILS = ("history", "predictions", "embeddings")

Rename = Callable[[str, str], None]


Stamp = tuple[int, ...]
"""Of a record and its details: whoever changes or replaces one of them changes it, too."""


class DamagedError(Exception):
    """A record or its details are torn, altered or no longer load; the text says how."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a driver asks of a result while its sweep runs: validation UAR by selector, where the time went, and what it
    ran on. No test score is in it."""

    valid: dict[str, float]
    seconds: dict[str, float]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Packed:
    """The content of a result's two files."""

    details: bytes
    record: bytes


def pack(result: Result) -> Packed:
    """A result as its files have it."""
    light = result.as_dict()
    details = gzip.compress(canonical({name: light.pop(name) for name in DETAILS}).encode(), 6, mtime=0)
    about = {"sha256": _sha256(details), "bytes": len(details)}
    body = canonical({"schema": SCHEMA, "key": result.spec.key(), "details": about, "result": light})[1:] + "\n"
    return Packed(details, f"{_envelope(body.encode())}\n{body}".encode())


def write(path: Path, packed: Packed, rename: Rename) -> None:
    """Write a result's details, then its record at `path`. OSError where the disk refuses."""
    publish(details_path(path), packed.details, rename)
    publish(path, packed.record, rename)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of `path`; what the disk refuses becomes a UserError with the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write {error.filename or path}: {error.strerror}; nothing stored was lost") from error


def publish(path: Path, content: bytes, rename: Rename = os.replace) -> None:
    """All of `content` at `path` or nothing, also when the process or the machine goes down half-way."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        rename(str(partial), str(path))
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def read(path: Path) -> dict[str, Any]:
    """The record at `path`, checked against its checksum and its name; its details must have the size written.

    DamagedError where it is not sound, UserError where a newer version wrote it, FileNotFoundError where it is absent.
    """
    raw = path.read_bytes()
    record = _parsed(raw)
    schema = record.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(f"{path} was written by a newer version (schema {schema}; this one reads up to {SCHEMA})")
    head, _, body = raw.partition(b"\n")
    if head != _envelope(body).encode():
        raise DamagedError("its checksum does not fit")
    key, details = record.get("key"), record.get("details")
    if key != path.stem:
        raise DamagedError(f"it is the record of {key!r}")
    if not isinstance(details, dict) or not {"sha256", "bytes"} <= details.keys() or "result" not in record:
        raise DamagedError("it lacks fields")
    if _size(details_path(path)) != details["bytes"]:
        raise DamagedError(f"{details_path(path).name} is missing or torn")
    return record


def result(path: Path, *, whole: bool) -> Result:
    """The result at `path`, with its details where `whole`; errors as `read`."""
    record = read(path)
    details = _details(path, record["details"]["sha256"]) if whole else {}
    try:
        return Result.from_dict(record["result"] | details)
    except (UserError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise DamagedError(f"this version cannot load it: {error}") from error


def glance(path: Path) -> Glance:
    """What a driver asks of the result at `path`, in half the time of the light record; errors as `read`."""
    values = read(path)["result"]
    try:
        valid = {sys.intern(part): float(score["uar"]) for part, score in values["valid"].items()}
        seconds = {sys.intern(part): float(taken) for part, taken in values["seconds"].items()}
        return Glance(valid, seconds, {sys.intern(of): sys.intern(what) for of, what in values["versions"].items()})
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise DamagedError(f"this version cannot load it: {error}") from error


def status(file: Path | os.DirEntry[str]) -> os.stat_result | None:
    """Of a file; None where it is not there, or not any more."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def stamp(path: Path) -> Stamp | None:
    """Of the record at `path` and its details as they are now; None where there is no record."""
    record = status(path)
    return stamp_of(record, status(details_path(path))) if record else None


def stamp_of(record: os.stat_result, details: os.stat_result | None) -> Stamp:
    """Of a record and its details (None: they are missing). Nobody can set back the last of each file's times."""
    both = (record, details) if details else (record,)
    return tuple(n for file in both for n in (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns))


def set_aside(path: Path, why: str) -> None:
    """Rename a record and its details to `*.damaged`, with a warning, so that the cell counts as missing."""
    warnings.warn(f"{path} is damaged ({why}); set aside, its cell counts as missing", stacklevel=2)
    for file in (path, details_path(path)):
        with suppress(OSError):
            file.rename(unused(file.with_name(f"{file.name}.damaged")))


def unused(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2`, … that does not exist."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(1))
    return next(name for name in chain((path,), numbered) if not name.exists())


def details_path(path: Path) -> Path:
    """Where the details of the record at `path` lie."""
    return path.with_name(f"{path.name.removesuffix('.json')}.details.json.gz")


def canonical(value: object) -> str:
    """JSON that is equal for equal values (NaN equals NaN); numpy's scalars count as plain numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=lambda scalar: scalar.item())


def _details(path: Path, checksum: str) -> dict[str, Any]:
    raw = details_path(path).read_bytes()
    if _sha256(raw) != checksum:
        raise DamagedError(f"the checksum of {details_path(path).name} does not fit")
    try:
        loaded = json.loads(_unpacked(raw))
    except (ValueError, zlib.error, RecursionError) as error:
        raise DamagedError(f"{details_path(path).name} cannot be unpacked: {error}") from error
    if not isinstance(loaded, dict):
        raise DamagedError(f"{details_path(path).name} holds no details")
    return loaded


def _unpacked(raw: bytes) -> bytes:
    """ValueError for what is cut short, and for what would fill the memory: a bundle may come from anybody."""
    gunzip = zlib.decompressobj(wbits=GZIP)
    content = gunzip.decompress(raw, LARGEST_DETAILS)
    if gunzip.unconsumed_tail:
        raise ValueError(f"it holds more than {LARGEST_DETAILS / 1e9:g} GB")
    if not gunzip.eof:
        raise ValueError("it is cut short")
    return content


def _size(path: Path) -> int | None:
    found = status(path)
    return found.st_size if found else None


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"it is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DamagedError("it is no record")
    return record


def _envelope(body: bytes) -> str:
    return f'{{"sha256": "{_sha256(body)}",'


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
