"""How fast speech becomes what a network sees, and what a BYOL step costs beside the encoder's own work.

`python -m tests.benchmarks.front_end`, on one CPU thread; the BYOL step on a CUDA GPU where there is one. Each
comparison runs both sides in turn, again and again, and gives the median of the paired ratios. On the CPU it counts the
seconds of this process, so that another load on the machine does not count.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests import small_world
from tests.places import SHARED
from trainers.audio.draws import generator, numpy_generator
from trainers.audio.front_end import SAMPLE_RATE_HZ, FrontEnd
from trainers.audio.log_mel import log_mel
from trainers.audio.spectrogram import byol_view, mask, mixup, random_resize_crop, supervised_view
from trainers.audio.waveform import augment
from trainers.cell import build
from trainers.corpora.utterance import Utterance
from trainers.encoders import load_whisper
from trainers.loop import train
from trainers.methods.byol import Byol
from trainers.methods.configs import ByolConfig
from trainers.spec import CellSpec
from trainers.speech import Speech

CLIPS, SECONDS, ROUNDS, STEP_ROUNDS = 64, 3, 11, 5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISION = "bf16" if DEVICE.type == "cuda" else "fp32"
BATCH = 64 if DEVICE.type == "cuda" else 8
ENCODER = SHARED / "models" / "whisper-tiny.en-encoder"

Job = Callable[[], object]


def now_s() -> float:
    """CPU seconds of this process; with a GPU the time of day, once it has done what it was told."""
    if DEVICE.type == "cpu":
        return process_time()
    torch.cuda.synchronize()
    return perf_counter()


def timed_s(job: Job) -> float:
    began = now_s()
    job()
    return now_s() - began


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
        "waveform augmentation": lambda: [
            augment(clip, strength=1.0, seed=(0, place)) for place, clip in enumerate(waveforms.numpy())
        ],
    }
    table = Table("operation", "ms a batch", "ms a clip", title=f"Augmentation of {CLIPS} clips of {SECONDS} s")
    for name, job in jobs.items():
        milliseconds = 1000 * median([timed_s(job) for _ in range(ROUNDS + 1)][1:])
        table.add_row(name, f"{milliseconds:.1f}", f"{milliseconds / CLIPS:.2f}")
    return table


@dataclass
class Noise:
    """In place of prepared corpora: some noise for each of the small world's utterances."""

    utterances: tuple[Utterance, ...]
    index: dict[str, int]
    audio: NDArray[np.float32]

    def samples(self, number: int) -> NDArray[np.float32]:
        return self.audio[number]


def whisper() -> nn.Module:
    """The encoder of tiny.en, or one of its shape with random weights."""
    if ENCODER.is_dir():
        return load_whisper(ENCODER)
    return WhisperEncoder(WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536))


def byol(crop: str) -> tuple[Byol, CellSpec]:
    """BYOL with its published widths on clips of 3 s, a little longer than what is heard of them."""
    config, steps = ByolConfig(tau_horizon="paper"), STEP_ROUNDS + 2
    spec = small_world.spec(config, batch_size=BATCH, steps=steps, epoch_steps=steps, precision=PRECISION)
    spec = replace(spec, front_end=FrontEnd(crop=crop, length_s=SECONDS))
    tones = small_world.Tones()
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), 52_000), np.float32)
    speech = Speech(Noise(tones.utterances, tones.index, audio), spec.front_end, DEVICE)
    method = build(spec, small_world.split(tones), speech, whisper())
    assert isinstance(method, Byol)
    return method, spec


def bare_pass(online: nn.Module, target: nn.Module, views: torch.Tensor, unlabelled: int) -> None:
    """What no BYOL step can do without: forward and backward of all views, the target's forward of its own."""
    online.zero_grad(set_to_none=True)
    online(views).sum().backward()
    with torch.no_grad():
        target(views[:unlabelled])


def byol_steps(crop: str) -> tuple[float, float, float]:
    """Median seconds of a step of the training loop, of the bare encoder, and the median of their ratios.

    The bare pass runs between the loop's steps; the first step warms up, the last one also validates.
    """
    method, spec = byol(crop)
    online, target = copy.deepcopy(method.online), copy.deepcopy(method.target)
    views = torch.randn((method.config.views + 2) * BATCH, 80, 100 * SECONDS, device=DEVICE)
    marks: list[tuple[float, float]] = []

    def between(_step: int, _steps: int, _phase: str) -> None:
        ended = now_s()
        bare_pass(online, target, views, 2 * BATCH)
        marks.append((ended, now_s()))

    train(method, spec.training, spec.seed, validate=lambda: 0.0, progress=between)
    steps_s = [ended - began for (_, began), (ended, _) in pairwise(marks)][:-1]
    bare_s = [done - ended for ended, done in marks][1:-1]
    ratios = [step / bare for step, bare in zip(steps_s, bare_s, strict=True)]
    return median(steps_s), median(bare_s), median(ratios)


def byol_against_encoder(_waveforms: torch.Tensor) -> Table:
    """A whole step (views, losses, backward, AdamW, target and averages) against the encoder's part of it."""
    title = f"BYOL step, {BATCH} + {BATCH} clips of {SECONDS} s, Whisper tiny.en, on {DEVICE.type}"
    table = Table("log-mels", "ms a step", "ms encoder alone", "ratio", title=title)
    for name, crop in {"kept (crop=head)": "head", "anew each step (crop=random)": "random"}.items():
        step_s, bare_s, ratio = byol_steps(crop)
        table.add_row(name, f"{1000 * step_s:.0f}", f"{1000 * bare_s:.0f}", f"{ratio:.2f}")
    return table


def main() -> None:
    torch.set_num_threads(1)
    waveforms = 0.05 * torch.randn(CLIPS, SECONDS * SAMPLE_RATE_HZ, generator=generator(0, "benchmark speech"))
    console = Console()
    for comparison in (log_mels, augmentations, byol_against_encoder):
        console.print(comparison(waveforms))


if __name__ == "__main__":
    main()
