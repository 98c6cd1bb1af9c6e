"""What it costs to get at speech: preparing corpora, reading them again, and what a training step waits for.

`python -m tests.benchmarks.data`, on the real clips of ../shared/data and Whisper tiny.en. Preparing is measured by the
clock against `librosa.load(path, sr=16000)` clip by clip, both on files that were just read, in turn. A step's wait for
data is what passes until its waveforms are there (reading, trimming, cutting), as a share of the whole step.
"""

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tests.benchmarks.front_end import BATCH, DEVICE, ENCODER, PRECISION
from tests.places import SHARED
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.cell import Workspace
from trainers.corpora import CORPORA
from trainers.corpora.prepared import Prepared, open_prepared, prepare
from trainers.corpora.scan import scan
from trainers.loop import train
from trainers.methods.configs import ByolConfig
from trainers.spec import CellSpec, Training

DATA = SHARED / "data"
NAMES = ("urdu", "emodb", "ravdess")
ROUNDS, STEPS = 3, 12


def seconds(job: Callable[[], object]) -> float:
    began = perf_counter()
    job()
    return perf_counter() - began


def preparing(store: Path) -> Table:
    """Ours from nothing, ours where it is there already, and librosa's."""
    paths = [DATA / clip.path for name in NAMES for clip in scan(DATA, CORPORA[name]).utterances]
    loaded_s, made_s, found_s = [], [], []
    for number in range(ROUNDS):
        fresh = store / f"round-{number}"
        loaded_s.append(seconds(lambda: [librosa.load(path, sr=16_000, mono=True) for path in paths]))
        made_s.append(seconds(lambda fresh=fresh: prepare(DATA, NAMES, fresh)))
        found_s.append(seconds(lambda fresh=fresh: prepare(DATA, NAMES, fresh)))
    table = Table("", "s", "clips/s", "librosa's time over it", title=f"{len(paths):,} clips of {', '.join(NAMES)}")
    for name, took in (
        ("librosa.load, clip by clip", loaded_s),
        ("prepared, with checksums and a search for copies", made_s),
        ("prepared before: files looked at, opened", found_s),
    ):
        ratio = median(theirs / ours for theirs, ours in zip(loaded_s, took, strict=True))
        table.add_row(name, f"{median(took):.2f}", f"{len(paths) / median(took):,.0f}", f"{ratio:.1f}")
    return table


def reading(prepared: Prepared) -> Table:
    """Every clip copied once from the map: the first time in a process, with its SHA-256, and after that."""
    table = Table("clips copied from the map", "GB/s", "clips/s", title="Reading prepared audio, warm")
    numbers = range(len(prepared.utterances))
    size = sum(prepared.samples(number).nbytes for number in numbers)
    room = np.empty(max(len(prepared.samples(number)) for number in numbers), np.float32)

    def copied(source: Prepared) -> None:
        for number in numbers:
            samples = source.samples(number)
            room[: len(samples)] = samples

    firsts = [seconds(lambda: copied(open_prepared(prepared.paths))) for _ in range(ROUNDS)]
    again = [seconds(lambda: copied(prepared)) for _ in range(3 * ROUNDS)]
    for name, took in (("opened and each clip checked", firsts), ("again", again)):
        table.add_row(name, f"{size / median(took) / 1e9:.2f}", f"{len(numbers) / median(took):,.0f}")
    return table


class Waited:
    """Speech whose waveforms are timed."""

    def __init__(self, speech: Any) -> None:
        self.seconds = 0.0
        self._waveforms = speech.waveforms
        speech.waveforms = self

    def __call__(self, *told: Any, **named: Any) -> NDArray[np.float32]:
        began = perf_counter()
        found: NDArray[np.float32] = self._waveforms(*told, **named)
        self.seconds += perf_counter() - began
        return found


def waiting(prepared: Prepared, store: Path) -> Table:
    """Shares of BYOL steps on real clips; a GPU is at work meanwhile, so its own wait is at most that."""
    table = Table("log-mels", "ms a step", "ms until the waveforms are there", "share, %", title=f"on {DEVICE.type}")
    place = Workspace(prepared, ENCODER, store)
    for name, crop in (("kept (crop=head)", "head"), ("anew each step (crop=random)", "random")):
        training = Training(steps=STEPS + 1, epoch_steps=STEPS + 1, batch_size=BATCH, precision=PRECISION)
        front_end = FrontEnd(crop=crop, length_s=3.0)
        told = ("byol", ByolConfig(tau_horizon="paper"), training, front_end, "open", "speaker", "urdu", 0, 0)
        spec = CellSpec(*told, place.encoder_fingerprint, "")
        speech = place.speech(spec.front_end)
        split = place.splits(spec).of(spec.target, spec.fold, spec.config)
        method = build(spec, split, speech, place.backbone)
        waited, marks = Waited(speech), list[tuple[float, float]]()
        train(
            method,
            training,
            0,
            validate=None,
            progress=lambda *_, waited=waited, marks=marks: marks.append((perf_counter(), waited.seconds)),
        )
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)][:STEPS]
        share = 100 * median(wait / step for step, wait in steps)
        table.add_row(name, *(f"{1000 * median(part):.1f}" for part in zip(*steps, strict=True)), f"{share:.2f}")
    return table


def main() -> None:
    torch.set_num_threads(1)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="data-benchmark-") as folder:
        store = Path(folder)
        console.print(preparing(store))
        prepared = prepare(DATA, NAMES, store / "round-0")
        console.print(reading(prepared))
        console.print(waiting(prepared, store))


if __name__ == "__main__":
    main()
