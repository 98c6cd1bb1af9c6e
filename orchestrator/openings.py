"""The log of looks at test scores, `<store>/test_openings.jsonl`: which sweep's, when, and over which cells.

A line says `{"sweep", "at", "cells", "count"}`, `cells` being a digest of the keys of all cells looked at. Older lines
have all `keys` instead; they are read as well. In a bucket, where nothing can be appended to, each look is an object
below `test_openings/`; a working copy takes each of them once.
"""

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from trainers.stores import bucket_of

FOLDER, TAKEN = "test_openings", "test_openings.taken"


def log_path(store: Path) -> Path:
    """Where a store keeps its log."""
    return store / "test_openings.jsonl"


def note(store: Path, sweep: str, keys: Collection[str], at: str) -> None:
    """Write down a look; OSError where the disk refuses."""
    told = {"sweep": sweep, "at": at, "cells": digest(keys), "count": len(set(keys))}
    _append(log_path(store), [json.dumps(told)])


def count(store: Path, sweep: str) -> int:
    """How often test scores of a sweep were looked at."""
    return sum(1 for _ in _of(store, sweep))


def covers(store: Path, sweep: str, keys: Collection[str], since: str) -> bool:
    """Whether the test scores of these very cells were looked at, for this sweep, at or after `since` (ISO 8601)."""
    own = digest(keys)
    return any(
        _time(entry.get("at")) >= _time(since)
        and (set(keys) <= _words(entry["keys"]) if "keys" in entry else entry.get("cells") == own)
        for _, entry in _of(store, sweep)
    )


def lines(store: Path, sweep: str) -> list[str]:
    """The log's part of a sweep, as it stands there."""
    return [line for line, _ in _of(store, sweep)]


def merge(store: Path, sweep: str, others: Iterable[str]) -> int:
    """Add what another store's log says of a sweep; a line that is here as often as there adds nothing. Returns how
    many were added."""
    new = list((Counter(others) - Counter(lines(store, sweep))).elements())
    if new:
        _append(log_path(store), new)
    return len(new)


def is_line(line: str, sweep: str) -> bool:
    """Whether this is a whole line of the log about that sweep."""
    return any(_entry(line, sweep))


def digest(keys: Collection[str]) -> str:
    """16 hex digits of a set of cells."""
    return hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()[:16]


def _of(store: Path, sweep: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The lines about a sweep; one that a crash cut short is passed by."""
    _pull(store)
    path = log_path(store)
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        for entry in _entry(line, sweep):
            yield line, entry


def _entry(line: str, sweep: str) -> Iterator[Mapping[str, Any]]:
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        if isinstance(entry, dict) and entry.get("sweep") == sweep:
            yield entry


def _words(told: object) -> set[str]:
    return {each for each in told if isinstance(each, str)} if isinstance(told, list) else set()


def _time(told: object) -> float:
    """Seconds; what tells no time is before all times."""
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return float("-inf")


def _append(path: Path, new: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in new)
    if bucket := bucket_of(path.parent):
        bucket.put(f"{FOLDER}/{datetime.now():%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.jsonl", text.encode())
        _pull(path.parent)
        return
    _write(path, text)


def _pull(store: Path) -> None:
    """Add the looks that a bucket has and this working copy lacks."""
    bucket = bucket_of(store)
    if bucket is None:
        return
    with (store / TAKEN).open("a+") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        taken.seek(0)
        known = set(taken.read().split())
        for key in sorted(set(bucket.list(FOLDER)) - known):
            _write(log_path(store), (bucket.get(key) or b"").decode(errors="replace"))
            print(key, file=taken, flush=True)


def _write(path: Path, text: str) -> None:
    with path.open("ab", buffering=0) as log:
        log.write(f"{_fresh_line(path)}{text}".encode())
        os.fsync(log.fileno())


def _fresh_line(path: Path) -> str:
    """What must stand before a new line: nothing, or the line end that a crash swallowed."""
    return "" if path.read_bytes()[-1:] in (b"", b"\n") else "\n"
