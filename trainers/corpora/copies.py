"""Clips that hold the same recording, whole or in part, under different names: re-encoded, cut elsewhere, made louder.

A test clip of which training speech holds a copy tests nothing, and names and checksums do not tell. Each clip has a
fingerprint (Haitsma & Kalker 2002): for every frame of a quarter second 32 bits, which say where the energy difference
of neighbouring bands grew since the frame before. Frames whose bits are equal propose how two clips lie beside each
other, and there the share of differing bits decides. Another reading of the same sentence by the same speaker differs
in about half of the bits, as any other clip does; what a copy went through has little say.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.corpora.sources import THREADS

FRAME, HOP = 2048, 128
"""Samples at 8 kHz: 256 and 16 ms."""

RATE_HZ = 8000
BANDS = 33
LOWEST_HZ, HIGHEST_HZ = 300.0, 3000.0

MOST_ERRORS = 0.2
"""Share of differing bits. In RAVDESS, EMO-DB and URDU's 400 clips copies differ in at most .062 and the next pair, two
readings by one steady speaker, in .23. Of 60 of these clips each, encoded as MP3, Vorbis or 8 kHz µ-law, cut or made
softer, 95 to 100 % are found; with noise 20 dB below 90 %, through GSM or with noise 10 dB below half of them."""

FEWEST_FRAMES = 40
"""Of an overlap, 0.9 s of sound: fewer agree by chance."""

MOST_ALIKE = 50
"""Frames with the same bits; more of them are hum or hiss and tell nothing."""

SILENT = 1e-6
"""Of a clip's loudest frame, by energy: what is below is not compared."""

BATCH = 1000
"""Clips between two lines of a report."""

FORMAT = 1

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Copy:
    """Two clips that share `overlap_s` seconds of one recording; `errors`: share of the bits there that differ."""

    one: str
    other: str
    overlap_s: float
    errors: float


@dataclass(frozen=True)
class Fingerprint:
    """`bits`: (frames,) 32 bits each. `heard`: (frames,) whether there is anything to compare."""

    bits: NDArray[np.uint32]
    heard: NDArray[np.bool_]


def fingerprint(samples: Samples) -> Fingerprint:
    """Of a clip at 16 kHz, padded where it is shorter than two frames."""
    from scipy.fft import rfft  # not above: a second to import, and slots never look for copies
    from scipy.signal import resample_poly

    halved = resample_poly(samples, 1, 2, window=_low_pass()).astype(np.float32)
    padded = np.pad(halved, (0, max(0, FRAME + HOP - len(halved))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    begins, end = _bands()
    spectra = rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)[:, :end]
    energy = np.add.reduceat(
        spectra.real**2 + spectra.imag**2, begins, axis=1
    )  # a product of matrices wakes BLAS's threads
    falling = energy[:, :-1] - energy[:, 1:]
    grew = falling[1:] > falling[:-1]
    total = energy.sum(axis=1)
    heard = np.minimum(total[1:], total[:-1]) > SILENT * total.max(initial=0.0)
    return Fingerprint(np.packbits(grew, axis=1).view(">u4")[:, 0].astype(np.uint32), heard)


@cache
def _low_pass() -> NDArray[np.float32]:
    """The filter that `resample_poly` would design anew for each clip."""
    from scipy.signal import firwin

    taps: NDArray[np.float32] = firwin(41, 0.5, window=("kaiser", 5.0)).astype(np.float32)
    return taps


@cache
def _bands() -> tuple[NDArray[np.intp], int]:
    """The number of each band's first frequency, and that after the last band; bands are equally wide on a logarithmic
    scale."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    firsts = np.searchsorted(np.fft.rfftfreq(FRAME, 1 / RATE_HZ), edges)
    return firsts[:-1], int(firsts[-1])


def copies_among(names: Sequence[str], prints: Sequence[Fingerprint]) -> list[Copy]:
    """All pairs of clips that share a recording, at the place where they differ least."""
    found: dict[tuple[int, int], Copy] = {}
    for one, other, offset in _proposed(prints):
        overlap, errors = _beside(prints[one], prints[other], offset)
        if overlap < FEWEST_FRAMES or errors > MOST_ERRORS:
            continue
        copy = Copy(names[one], names[other], round((overlap * HOP + FRAME) / RATE_HZ, 2), round(errors, 3))
        if (one, other) not in found or copy.errors < found[one, other].errors:
            found[one, other] = copy
    return sorted(found.values(), key=astuple)


def twins(copies: Iterable[Copy]) -> dict[str, set[str]]:
    """Clip -> the clips that hold a part of the same recording."""
    found: dict[str, set[str]] = defaultdict(set)
    for copy in copies:
        found[copy.one].add(copy.other)
        found[copy.other].add(copy.one)
    return dict(found)


def _proposed(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, int]]:
    """Two clips and by how many frames the second begins earlier, for each pair of frames with the same bits."""
    if not prints:
        return
    owner = np.concatenate([np.full(int(each.heard.sum()), number) for number, each in enumerate(prints)])
    place = np.concatenate([np.flatnonzero(each.heard) for each in prints])
    bits = np.concatenate([each.bits[each.heard] for each in prints])
    order = np.argsort(bits, kind="stable")
    starts = np.flatnonzero(np.diff(bits[order], prepend=bits[order][:1] ^ 1))
    sizes = np.diff(starts, append=len(order))
    seen: Counter[tuple[int, int, int]] = Counter()
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        if size <= MOST_ALIKE:
            alike = [(int(owner[at]), int(place[at])) for at in order[start : start + size]]
            seen.update((a[0], b[0], b[1] - a[1]) for a, b in combinations(sorted(alike), 2) if a[0] != b[0])
    yield from seen


def _beside(one: Fingerprint, other: Fingerprint, offset: int) -> tuple[int, float]:
    """How many frames are heard in both where the other begins `offset` frames earlier, and how many bits differ."""
    first, last = max(0, -offset), min(len(one.bits), len(other.bits) - offset)
    if last <= first:
        return 0, 1.0
    here, there = slice(first, last), slice(first + offset, last + offset)
    both = one.heard[here] & other.heard[there]
    differing = (one.bits[here] ^ other.bits[there])[both]
    return int(both.sum()), float(np.unpackbits(differing.view(np.uint8)).mean()) if both.any() else 1.0


def known_copies(
    home: Path,
    corpora: str,
    names: Sequence[str],
    samples: Callable[[int], Samples],
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Copy, ...]:
    """The copies among prepared clips, looked for once and then kept in the file `home/copies-….json`.

    `corpora`: the fingerprint of all prepared clips together. A file that cannot be read is made anew.
    """
    path = home / f"copies-{corpora[:16]}.json"
    kept = _read(path, corpora)
    if kept is not None:
        return kept
    prints: list[Fingerprint] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(names), BATCH):
            batch = range(first, min(first + BATCH, len(names)))
            prints += pool.map(lambda number: fingerprint(samples(number)), batch)
            if batch.stop < len(names):
                report(f"looked for copies of recordings in {batch.stop} of {len(names)} clips")
    found = tuple(copies_among(names, prints))
    _write(path, corpora, found)
    return found


def _read(path: Path, corpora: str) -> tuple[Copy, ...] | None:
    try:
        told = json.loads(path.read_bytes())
        if (told["format"], told["corpora"], told["sha256"]) != (FORMAT, corpora, _checksum(told["copies"])):
            return None
        return tuple(Copy(**copy) for copy in told["copies"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _checksum(copies: object) -> str:
    """A copy that a flipped bit hides would be heard in training unseen."""
    return hashlib.sha256(json.dumps(copies, sort_keys=True).encode()).hexdigest()


def _write(path: Path, corpora: str, copies: Sequence[Copy]) -> None:
    """Kept for the next time where the disk allows it; whole or not at all."""
    listed = [asdict(copy) for copy in copies]
    told = {"format": FORMAT, "corpora": corpora, "sha256": _checksum(listed), "copies": listed}
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(told))
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
