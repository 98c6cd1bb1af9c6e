"""SHA-256 of source files, read again only where size or times say that a file is another than last time."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from trainers.errors import UserError

THREADS = min(8, os.cpu_count() or 1)

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change of the content, and of the file itself (ns), which nobody can set back."""

Known = dict[str, list[int | str]]


def stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def content_hashes(paths: Sequence[Path], memory: Path) -> dict[Path, tuple[Stamp, str]]:
    """Stamp and SHA-256 of each file; `memory` is a JSON file of what was read before, made and kept up here.

    A memory that is damaged or cannot be written costs time, never truth. UserError: a file that cannot be read.
    """
    known = _remembered(memory)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            found = dict(zip(paths, pool.map(lambda path: _hashed(path, known), paths), strict=True))
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    told: Known = {str(path): [*where, digest] for path, (where, digest) in found.items()}
    if told != known:
        with suppress(OSError):
            _remember(memory, told)
    return found


def _hashed(path: Path, known: Known) -> tuple[Stamp, str]:
    now = stamp(path)
    remembered = known.get(str(path), [])
    if len(remembered) == 4 and tuple(remembered[:3]) == now:
        return now, str(remembered[3])
    return now, hashlib.sha256(path.read_bytes()).hexdigest()


def _remembered(memory: Path) -> Known:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    lists = isinstance(known, dict) and all(isinstance(value, list) for value in known.values())
    return known if lists else {}


def _remember(memory: Path, told: Known) -> None:
    scratch = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(told))
        scratch.replace(memory)
    finally:
        scratch.unlink(missing_ok=True)
