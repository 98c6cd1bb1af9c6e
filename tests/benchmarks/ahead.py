"""What a step waits for its augmented views, with none, one and more loaders that make them ahead.

`python -m tests.benchmarks.ahead [--threads N]`, on the real clips of ../shared/data and Whisper tiny.en: steps of the
baseline (two views, each clip through all waveform augmentations), by the clock. The share is that of a step until the
views' log-mels were asked for. Loaders take turns, so that another load on the machine meets all of them.
"""

import argparse
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tests.benchmarks.front_end import BATCH, DEVICE, ENCODER, PRECISION
from tests.places import SHARED
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.cell import Workspace
from trainers.corpora.prepared import prepare
from trainers.loop import train
from trainers.methods.configs import BaselineConfig
from trainers.spec import CellSpec, Training

DATA = SHARED / "data"
NAMES = ("urdu", "emodb", "ravdess")
ROUNDS, STEPS = 3, 8


class Waited:
    """An augmentation whose views are timed."""

    def __init__(self, augmentation: Any) -> None:
        self.seconds = 0.0
        self._augmentation = augmentation

    def views(self, *told: Any) -> list[Tensor]:
        began = perf_counter()
        found: list[Tensor] = self._augmentation.views(*told)
        self.seconds += perf_counter() - began
        return found


def steps(place: Workspace, loaders: int, batch: int) -> list[tuple[float, float]]:
    """Seconds of each step but the first two, and of its views; a GPU's own wait is at most that."""
    place = replace(place, loaders=loaders, _speech={})
    training = Training(steps=STEPS + 3, epoch_steps=STEPS + 3, batch_size=batch, precision=PRECISION)
    told = (FrontEnd(crop="random", length_s=3.0), "open", "speaker", None, 0, 0)
    spec = CellSpec("baseline", BaselineConfig(), training, *told, place.encoder_fingerprint, "")
    split = place.splits(spec).of(spec.target, spec.fold, spec.config)
    method: Any = build(spec, split, place.speech(spec.front_end), place.backbone)
    waited, marks = Waited(method.augmentation), list[tuple[float, float]]()
    method.augmentation = waited
    note = lambda *_: marks.append((perf_counter(), waited.seconds))  # noqa: E731
    train(method, training, 0, validate=None, progress=note)
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)][1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ahead")
    parser.add_argument("--threads", type=int, default=1, help="of the training (1)")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"clips ({BATCH})")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    counts = (0, 1, 2, 4) if DEVICE.type == "cuda" else (0, 1)
    with tempfile.TemporaryDirectory(prefix="ahead-benchmark-") as folder:
        place = Workspace(prepare(DATA, NAMES, Path(folder)), ENCODER, Path(folder))
        seen = {count: list[tuple[float, float]]() for count in counts}
        for _ in range(ROUNDS):
            for count, found in seen.items():
                found += steps(place, count, asked.batch)
    where = f"baseline, {asked.batch} clips, on {DEVICE.type}, {asked.threads} threads"
    table = Table("loaders", "ms a step", "ms until its views are there", "share, %", "steps/s, ratio", title=where)
    first = median(step for step, _ in seen[0])
    for count, found in seen.items():
        took = median(step for step, _ in found)
        wait = median(wait for _, wait in found)
        share = 100 * median(wait / step for step, wait in found)
        table.add_row(str(count), f"{1000 * took:.1f}", f"{1000 * wait:.1f}", f"{share:.2f}", f"{first / took:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
