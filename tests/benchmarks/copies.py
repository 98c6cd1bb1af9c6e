"""What looking for copies of recordings costs, and whether those that are there are found, up to 100,000 clips.

`python -m tests.benchmarks.copies [--clips N …]`, CPU seconds and memory of this process. The clips are the real ones
of ../shared/data, each played at speeds 3 % apart (36 of them, .6 to 1.69) and each of these backwards, too, so that
every clip is speech and none is another's copy on purpose; of every thousandth clip a copy is added, cut at both ends
and put through 8 kHz µ-law. `alike` counts pairs of clips that are called copies and were not planted.
"""

import argparse
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from time import process_time

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.signal import resample_poly

from tests.places import SHARED
from trainers.corpora import CORPORA
from trainers.corpora.copies import Fingerprint, copies_among, fingerprint
from trainers.corpora.recordings import decode
from trainers.corpora.scan import scan

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
SPEEDS = [round(100 * 0.6 * 1.03**step) for step in range(36)]
"""Percent."""
PLANTED_EVERY = 1_000
SHORTEST = 16_000
"""Samples of a clip from which a copy is cut."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Cost:
    """Of `clips` clips: CPU seconds for fingerprints and for the search, GB at most; planted and found copies."""

    clips: int
    prints_s: float
    search_s: float
    gb: float
    planted: int
    found: int
    alike: int


def clips() -> Iterator[Samples]:
    """Ever more clips: all real ones at the first speed, then at the next."""
    data = SHARED / "data"
    real = [
        decode(data / clip.path)
        for name in ("urdu", "emodb", "ravdess")
        for clip in scan(data, CORPORA[name]).utterances
    ]
    for speed in SPEEDS:
        for samples in real:
            played = resample_poly(samples, 100, speed).astype(np.float32)
            yield played
            yield np.ascontiguousarray(played[::-1])


def copied(samples: Samples) -> Samples:
    """Cut by a tenth at both ends, at 8 kHz through µ-law's 8 bits and back."""
    edge = len(samples) // 10
    narrow = resample_poly(samples[edge:-edge], 1, 2)
    loud = float(np.abs(narrow).max()) or 1.0
    pressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / loud) / np.log1p(255)
    coarse = np.round(pressed * 127) / 127
    opened = np.sign(coarse) * (256 ** np.abs(coarse) - 1) / 255 * loud
    return resample_poly(opened, 2, 1).astype(np.float32)


def measured(sizes: list[int]) -> Iterator[Cost]:
    prints: list[Fingerprint] = []
    names: list[str] = []
    planted: set[tuple[str, str]] = set()
    spent = 0.0
    source = clips()
    for size in sizes:
        for number in range(len(names) - len(planted), size):
            samples = next(source)
            began = process_time()
            prints.append(fingerprint(samples))
            spent += process_time() - began
            names.append(f"{number:06}")
            if number % PLANTED_EVERY == 0 and len(samples) >= SHORTEST:
                prints.append(fingerprint(copied(samples)))
                names.append(f"{number:06} copied")
                planted.add((names[-2], names[-1]))
        began = process_time()
        found = {(copy.one, copy.other) for copy in copies_among(names, prints)}
        gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        took = process_time() - began
        yield Cost(size, spent, took, gb, len(planted), len(planted & found), len(found - planted))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.copies", description=__doc__)
    parser.add_argument("--clips", type=int, nargs="+", default=list(SIZES))
    shown = Table("clips", "fingerprints, s", "search, s", "GB at most", "planted", "found", "alike")
    for cost in measured(sorted(parser.parse_args().clips)):
        told = f"{cost.clips:,}", f"{cost.prints_s:.1f}", f"{cost.search_s:.1f}", f"{cost.gb:.2f}"
        shown.add_row(*told, str(cost.planted), str(cost.found), str(cost.alike))
        print(*told, cost.planted, cost.found, cost.alike, flush=True)
    Console().print(shown)


if __name__ == "__main__":
    main()
