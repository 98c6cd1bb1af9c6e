"""Making prepared audio: find it, or decode the corpus into a scratch folder that is renamed once it is whole."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.corpora.parts import FORMAT, DamagedError, Part, manifest_bytes, open_part
from trainers.corpora.recordings import UnreadableError, decode
from trainers.corpora.scan import Scan
from trainers.corpora.sources import THREADS, Stamp, content_hashes, stamp
from trainers.corpora.utterance import Utterance
from trainers.errors import UserError
from trainers.stores import bring

BATCH = 64
"""Clips that are decoded before the next are begun: bounds the memory."""

REPORT_EVERY_S = 2.0

Report = Callable[[str], None]
Room = Callable[[str, int], None]
"""Is asked before so many bytes of a corpus are written, and may refuse."""
Sources = dict[Path, tuple[Stamp, str]]


def part_of(found: Scan, data_root: Path, home: Path, report: Report, room: Room = lambda *_: None) -> Part:
    """The corpus as prepared below `home`: opened where it is there and whole, else decoded, if there is `room`.

    A damaged one is set aside. Of two processes one decodes and the other waits. UserError: `home` cannot be written
    to, a source file changes while it is read, or no clip can be decoded.
    """
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
    paths = [data_root / clip.path for clip in found.utterances]
    sources = content_hashes(paths, home / f"{found.corpus.name}.sources.json")
    fingerprint = _fingerprint(found.utterances, [sources[path] for path in paths])
    folder = home / f"{found.corpus.name}-{fingerprint[:16]}"
    with suppress(DamagedError):
        return _opened(folder, fingerprint)
    with _writing(home), _alone(home, found.corpus.name) as alone:
        if alone:
            _sweep_up(home, found.corpus.name)
        if bring(folder):
            try:
                return _opened(folder, fingerprint)
            except DamagedError as error:
                _set_aside(folder, error, report)
        _refuse_small_disk(found, home, room)
        return _made(found, folder, fingerprint, {path: sources[path][0] for path in paths}, report)


def _fingerprint(utterances: tuple[Utterance, ...], sources: list[tuple[Stamp, str]]) -> str:
    """Of format, names, labels, sizes and content; not of times, so that a copy of a corpus is the same corpus."""
    told = [[_facts(clip), size, digest] for clip, ((size, _, _), digest) in zip(utterances, sources, strict=True)]
    return hashlib.sha256(json.dumps([FORMAT, told]).encode()).hexdigest()


def _facts(clip: Utterance) -> list[object]:
    """Split and fold count where a corpus has them: one without is the corpus it was before there were such fields."""
    *told, split, fold = astuple(clip)
    return told if (split, fold) == ("", None) else [*told, split, fold]


def _opened(folder: Path, fingerprint: str) -> Part:
    part = open_part(folder)
    if part.fingerprint != fingerprint:
        raise DamagedError(f"{folder} holds other clips than its name says")
    return part


def _set_aside(folder: Path, cause: DamagedError, report: Report) -> None:
    """Rename what is damaged, never delete it."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    folder.rename(aside)
    report(f"warning: prepared audio was damaged ({cause}); it is now {aside.name}, and the clips are decoded again")


def _made(found: Scan, folder: Path, fingerprint: str, stamps: dict[Path, Stamp], report: Report) -> Part:
    scratch = folder.with_name(f".scratch.{found.corpus.name}.{os.getpid()}.{secrets.token_hex(4)}")
    scratch.mkdir()
    try:
        with (scratch / "audio.f32").open("wb") as file:
            part = _written(file, scratch, fingerprint, _decoded(found, stamps, report))
            _flush(file)
        if not part.utterances:
            cause = next(iter(part.undecodable.values()))
            raise UserError(f"corpus {found.corpus.name}: none of its files can be decoded ({cause})")
        _write_manifest(scratch, manifest_bytes(part))
        report(f"{found.corpus.name}: storing {len(part.utterances)} clips")
        _move(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _opened(folder, fingerprint)


def _decoded(
    found: Scan, stamps: dict[Path, Stamp], report: Report
) -> Iterator[tuple[Utterance, NDArray[np.float32] | UnreadableError]]:
    """Clips in the order of their paths, decoded by a few threads; libsndfile and soxr let go of Python's lock."""
    todo = list(zip(found.utterances, stamps.items(), strict=True))
    said = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(todo), BATCH):
            batch = todo[first : first + BATCH]
            samples = pool.map(_samples, (source for _, source in batch))
            yield from zip((clip for clip, _ in batch), samples, strict=True)
            if time.monotonic() - said > REPORT_EVERY_S:
                said = time.monotonic()
                report(f"{found.corpus.name}: {first + len(batch)} of {len(todo)} clips decoded")


def _samples(source: tuple[Path, Stamp]) -> NDArray[np.float32] | UnreadableError:
    path, before = source
    try:
        return decode(path)
    except UnreadableError as error:
        return error
    finally:
        _refuse_changed(path, before)


def _refuse_changed(path: Path, before: Stamp) -> None:
    with suppress(OSError):
        if stamp(path) == before:
            return
    raise UserError(f"{path} changed while it was read; run the same command again once the corpus stands still")


def _written(
    file: IO[bytes],
    folder: Path,
    fingerprint: str,
    clips: Iterator[tuple[Utterance, NDArray[np.float32] | UnreadableError]],
) -> Part:
    """Append each clip's samples to `file`; the part tells where they lie."""
    utterances, rows, undecodable, first = [], [], {}, 0
    for clip, samples in clips:
        if isinstance(samples, UnreadableError):
            undecodable[clip.path] = str(samples)
            continue
        data = samples.astype("<f4", copy=False).tobytes()
        file.write(data)
        utterances.append(clip)
        rows.append((first, len(samples), hashlib.sha256(data).hexdigest()))
        first += len(samples)
    return Part(folder, fingerprint, tuple(utterances), tuple(rows), undecodable)


def _write_manifest(folder: Path, manifest: bytes) -> None:
    for name, data in (
        ("manifest.parquet", manifest),
        ("manifest.sha256", hashlib.sha256(manifest).hexdigest().encode()),
    ):
        with (folder / name).open("wb") as file:
            file.write(data)
            _flush(file)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _move(scratch: Path, folder: Path) -> None:
    """The moment from which the corpus is prepared. Where locks do not work another process may have been first."""
    try:
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _refuse_small_disk(found: Scan, home: Path, room: Room) -> None:
    needed = round(sum(clip.duration_s for clip in found.utterances) * SAMPLE_RATE_HZ * 4)
    room(found.corpus.name, needed)
    free = shutil.disk_usage(home).free
    if needed > free:
        raise UserError(f"{home} has {free / 1e9:.2f} GB free; {found.corpus.name} needs {needed / 1e9:.2f} GB there")


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    """A full, read-only or misplaced store is the user's to mend: one line with the place and the cause."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write prepared audio to {home}: {error.strerror or error}") from error


@contextmanager
def _alone(home: Path, corpus: str) -> Iterator[bool]:
    """Hold the corpus's lock; False where the file system has no locks (the rename at the end is safe all the same)."""
    with (home / f"{corpus}.lock").open("w") as lock:
        held = True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            held = False
        yield held


def _sweep_up(home: Path, corpus: str) -> None:
    """What killed processes left behind; with the lock held nobody else is writing."""
    for left in home.glob(f".scratch.{corpus}.*"):
        shutil.rmtree(left, ignore_errors=True)
