"""How near a training step comes to what the device can do: its arithmetic, counted, over the measured matrix rate.

`python -m tests.benchmarks.limit [--batch N]`: BYOL steps of 3 s clips, with Whisper tiny.en and, with a GPU, random
weights of small's shape. The matrix rate is that of the best of a few products of square matrices, in bf16 with a GPU
and fp32 without; on the CPU both sides use one thread and count the seconds of this process.

Arithmetic of an encoder's forward pass on a clip of f frames (t = f / 2 positions, width d, inner width m, l layers):
convolutions 2·3·80·d·f + 2·3·d·d·t, and in each layer 8·t·d² (four projections) + 4·t·d·m (two linear maps) + 4·t²·d
(scores and their sums), one multiplication and one addition counting two. Backward costs the layers'
twice again, for weights and for inputs; the convolutions are frozen. Views, heads, losses, norms and the optimiser are
not counted, so that they cost share.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests import small_world
from tests.benchmarks.front_end import BATCH, DEVICE, PRECISION, SECONDS, Noise, now_s, timed_s, whisper
from trainers.audio.draws import numpy_generator
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.loop import train
from trainers.methods.configs import ByolConfig
from trainers.speech import Speech

FRAMES = 100 * SECONDS
SIDE, PRODUCTS, STEPS = 2048, 5, 6
SMALL = WhisperConfig(d_model=768, encoder_layers=12, encoder_attention_heads=12, encoder_ffn_dim=3072)
"""Whisper small's shape (Radford et al. 2022, table 1)."""


def forward_flops(config: WhisperConfig, frames: int, mels: int = 80) -> int:
    """Of one clip through the encoder."""
    positions, width = frames // 2, config.d_model
    convolutions = 2 * 3 * mels * width * frames + 2 * 3 * width * width * positions
    return convolutions + config.encoder_layers * layer_flops(config, frames)


def layer_flops(config: WhisperConfig, frames: int) -> int:
    """Of one clip through one layer."""
    positions, width = frames // 2, config.d_model
    return 8 * positions * width**2 + 4 * positions * width * config.encoder_ffn_dim + 4 * positions**2 * width


def backward_flops(config: WhisperConfig, frames: int) -> int:
    """Of one clip, through all layers to their weights and inputs; the convolutions before them are frozen."""
    return 2 * config.encoder_layers * layer_flops(config, frames)


def step_flops(config: WhisperConfig, frames: int, views: int, targets: int) -> int:
    """Of a BYOL step: all views there and back, the target's views there."""
    online = forward_flops(config, frames) + backward_flops(config, frames)
    return views * online + targets * forward_flops(config, frames)


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a second of the best of a few matrix products."""
    side = 4 * SIDE if DEVICE.type == "cuda" else SIDE
    one, other = torch.randn(2, side, side, device=DEVICE, dtype=dtype)
    return max(2 * side**3 / timed_s(lambda: one @ other) for _ in range(PRODUCTS + 1))


def step_s(encoder: nn.Module, batch: int) -> tuple[float, int, int]:
    """Median seconds of a step of the training loop; how many views it has, and how many the target hears."""
    config = ByolConfig(tau_horizon="paper")
    spec = small_world.spec(config, batch_size=batch, steps=STEPS + 2, epoch_steps=STEPS + 2)
    training = replace(spec.training, precision=PRECISION)
    tones = small_world.Tones()
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), 52_000), "float32")
    front_end = FrontEnd(crop="random", length_s=SECONDS)
    speech = Speech(Noise(tones.utterances, tones.index, audio), front_end, DEVICE)
    spec = replace(spec, front_end=front_end, training=training)
    method = build(spec, small_world.split(tones), speech, encoder)
    marks: list[float] = []
    train(method, training, 0, validate=None, progress=lambda *_: marks.append(now_s()))
    took = [after - before for before, after in pairwise(marks)][:STEPS]
    return median(took), (config.views + 2) * batch, 2 * batch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.limit", description=__doc__)
    parser.add_argument("--batch", type=int, default=BATCH)
    batch = parser.parse_args().batch
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    encoders: dict[str, Callable[[], nn.Module]] = {"tiny.en": whisper}
    if DEVICE.type == "cuda":
        encoders["small (random weights)"] = lambda: WhisperEncoder(SMALL)
    rate = matrix_rate(dtype)
    title = f"BYOL, {batch} + {batch} clips of {SECONDS} s on {DEVICE.type}; matrix products {rate / 1e9:,.0f} GFLOP/s"
    table = Table("encoder", "GFLOP a step", "ms a step", "GFLOP/s", "of the matrix rate, %", title=title)
    for name, make in encoders.items():
        encoder = make()
        took, views, targets = step_s(encoder, batch)
        needed = step_flops(encoder.config, FRAMES, views, targets)
        reached = needed / took
        told = (needed / 1e9, 1000 * took, reached / 1e9, 100 * reached / rate)
        table.add_row(name, *(f"{value:,.0f}" for value in told))
    Console().print(table)


if __name__ == "__main__":
    main()
