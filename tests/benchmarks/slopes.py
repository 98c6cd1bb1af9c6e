"""How the cost of a BYOL step grows with batch, clip length and encoder, and by which power.

`python -m tests.benchmarks.slopes [--rounds 3]`. One thing grows while the others stay (4 + 4 clips, 2 s, width 192, 2
layers); all sizes of a row are timed in turn, again and again, and the median counts. The slope is that of the
logarithms between the last two: 1 is in proportion. On the CPU one thread, and the seconds of this process.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests import small_world
from tests.benchmarks.front_end import DEVICE, PRECISION, Noise, timed_s
from trainers.audio.draws import numpy_generator
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.loop import _optimiser, _step
from trainers.methods.configs import ByolConfig
from trainers.speech import Speech

Step = Callable[[], object]


def step(*, batch: int = 4, length_s: float = 2.0, width: int = 192, layers: int = 2) -> Step:
    """A step of the training loop, to be called as often as one likes."""
    spec = small_world.spec(
        ByolConfig(tau_horizon="paper"), batch_size=batch, steps=10_000, epoch_steps=10_000, precision=PRECISION
    )
    front_end = FrontEnd(crop="random", length_s=length_s)
    tones = small_world.Tones()
    samples = round(16_000 * length_s) + 4_000
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), samples), "float32")
    shape = WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=width // 64, encoder_ffn_dim=4 * width
    )
    speech = Speech(Noise(tones.utterances, tones.index, audio), front_end, DEVICE)
    spec = replace(spec, front_end=front_end)
    method = build(spec, small_world.split(tones), speech, WhisperEncoder(shape))
    optimiser, at = _optimiser(method, spec.training), iter(range(10_000))
    return lambda: _step(method, optimiser, spec.training, 0, next(at))


ROWS: dict[str, tuple[str, Sequence[Any]]] = {
    "clips of each source": ("batch", (4, 8, 16, 32)),
    "seconds of a clip": ("length_s", (1.0, 2.0, 4.0, 8.0)),
    "width of the encoder": ("width", (64, 128, 256, 512)),
    "layers of the encoder": ("layers", (1, 2, 4, 8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.slopes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    table = Table("what grows", "to", "ms a step", "slope at the end", title=f"BYOL on {DEVICE.type}")
    for name, (argument, sizes) in ROWS.items():
        steps = [step(**{argument: size}) for size in sizes]
        took = [[timed_s(each) for each in steps] for _ in range(rounds + 1)][1:]
        medians = [median(row) for row in zip(*took, strict=True)]
        slope = log(medians[-1] / medians[-2]) / log(sizes[-1] / sizes[-2])
        told = (", ".join(f"{size:g}" for size in sizes), ", ".join(f"{1000 * each:.0f}" for each in medians))
        table.add_row(name, *told, f"{slope:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
