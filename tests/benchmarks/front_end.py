"""How fast speech becomes what a network sees: `python -m tests.benchmarks.front_end`, on one thread.

Each comparison runs both sides in turn, again and again, and gives the median of the paired ratios: another load on
the machine then strikes both.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import WhisperFeatureExtractor

from trainers.audio.draws import generator
from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.audio.log_mel import log_mel
from trainers.audio.spectrogram import byol_view, mask, mixup, random_resize_crop, supervised_view
from trainers.audio.waveform import augment_batch

CLIPS, SECONDS, ROUNDS = 64, 3, 11

Job = Callable[[], object]


def timed_s(job: Job) -> float:
    began = perf_counter()
    job()
    return perf_counter() - began


def paired(ours: Job, theirs: Job) -> tuple[float, float, float]:
    """Median seconds of ours, of theirs, and the median of their ratios; the first round warms up."""
    pairs = [(timed_s(ours), timed_s(theirs)) for _ in range(ROUNDS + 1)][1:]
    mine, other = zip(*pairs, strict=True)
    return median(mine), median(other), median(b / a for a, b in pairs)


def log_mels(waveforms: torch.Tensor) -> Table:
    """Ours against WhisperFeatureExtractor: as it comes, set to our length, and set to our length on a batch."""
    whole = WhisperFeatureExtractor(feature_size=80)
    short = WhisperFeatureExtractor(feature_size=80, chunk_length=SECONDS)
    clips = list(waveforms.numpy())
    uses: dict[str, Job] = {
        "as it comes (pads to 30 s), clip by clip": lambda: [_features(whole, clip) for clip in clips],
        f"chunk_length={SECONDS}, clip by clip": lambda: [_features(short, clip) for clip in clips],
        f"chunk_length={SECONDS}, one batch": lambda: _features(short, clips),
    }
    table = Table("WhisperFeatureExtractor", "its clips/s", "ours", "ratio", title=f"Log-mels of {SECONDS} s clips")
    for name, theirs in uses.items():
        ours_s, theirs_s, ratio = paired(lambda: log_mel(waveforms, n_samples=waveforms.shape[1]), theirs)
        table.add_row(name, f"{CLIPS / theirs_s:.0f}", f"{CLIPS / ours_s:.0f}", f"{ratio:.1f}")
    return table


def _features(extractor: WhisperFeatureExtractor, speech: np.ndarray | list[np.ndarray]) -> object:
    return extractor(speech, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")


def augmentations(waveforms: torch.Tensor) -> Table:
    """What the views of one batch cost, operation by operation."""
    x = log_mel(waveforms, n_samples=waveforms.shape[1])
    z, mixed, source = x.flip(0), torch.ones(len(x), dtype=torch.bool), generator(0, "benchmark")
    alpha = torch.full((len(x),), 0.2)
    jobs: dict[str, Job] = {
        "mixup": lambda: mixup(x, z, alpha),
        "random resize crop": lambda: random_resize_crop(x, strength=1.0, generator=source),
        "masks": lambda: mask(x, bands=27, frames=90, generator=source),
        "BYOL view": lambda: byol_view(x, z, mixed, strength=1.0, generator=source),
        "supervised view": lambda: supervised_view(x, strength=0.5, generator=source),
        "waveform augmentation": lambda: augment_batch(waveforms, strength=1.0, generator=source),
    }
    table = Table("operation", "ms a batch", "ms a clip", title=f"Augmentation of {CLIPS} clips of {SECONDS} s")
    for name, job in jobs.items():
        milliseconds = 1000 * median([timed_s(job) for _ in range(ROUNDS + 1)][1:])
        table.add_row(name, f"{milliseconds:.1f}", f"{milliseconds / CLIPS:.2f}")
    return table


def main() -> None:
    torch.set_num_threads(1)
    waveforms = 0.05 * torch.randn(CLIPS, SECONDS * SAMPLE_RATE_HZ, generator=generator(0, "benchmark speech"))
    console = Console()
    for comparison in (log_mels, augmentations):
        console.print(comparison(waveforms))


if __name__ == "__main__":
    main()
