"""Several small cells at once on one GPU, each in a process of its own, against one after the other.

`python -m tests.benchmarks.packed [--encoder tiny.en] [--batch 64] [--cells 1 2 4 8]`: steps of BYOL cells, of clips of
3 s, in bf16. Each process has an equal share of the cores, as slots have, builds its cell, warms up and waits for the
others; what counts is all steps of all cells over the seconds from the first one's beginning to the last one's end, by
the clock. One cell at a time is what cells one after the other come to, building aside. Rounds take turns over the
numbers of cells, and the ratios are those within a round. More cells than the GPU's memory holds (by what one takes,
`profiling.holds`) are left out. Nothing else may run beside.

`--device cpu` tries the script where there is no GPU, best with `--encoder smallest --batch 4 --steps 2 --cells 1 2`.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from statistics import median
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests import small_world
from tests.benchmarks.front_end import SECONDS, Noise, whisper
from tests.benchmarks.limit import SMALL
from trainers.audio.draws import numpy_generator
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.errors import says_out_of_memory
from trainers.loop import train
from trainers.methods.configs import ByolConfig
from trainers.profiling import count_memory_anew, holds, memory
from trainers.speech import Speech

ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "tiny.en": whisper,
    "small": lambda: WhisperEncoder(SMALL),
    "smallest": small_world.whisper,
}
"""Whisper tiny.en; random weights of small's shape; and two tiny layers, to try the script."""

WARMING = 3
"""Steps before those that count."""
PATIENCE_S = 600.0
"""Seconds that processes wait for each other."""


@dataclass(frozen=True)
class Asked:
    """What one process is to do."""

    device: str
    encoder: str
    batch: int
    steps: int
    threads: int


@dataclass(frozen=True)
class Took:
    """When the steps of a process began and ended (s of the machine's clock), and what memory they took of how much."""

    began: float
    ended: float
    memory_bytes: int
    gpu_bytes: int


Rounds = dict[int, list[list[Took]]]
"""By number of cells at once: of each round, what each process took."""

_TOGETHER: list[Barrier] = []
"""Where the processes of one pool wait for each other."""


def meet(barrier: Barrier) -> None:
    """To be called in each process of a pool as it starts."""
    _TOGETHER[:] = [barrier]


def work(asked: Asked) -> Took:
    """Train a cell in this process, its counted steps beside those of the others."""
    torch.set_num_threads(asked.threads)
    device = torch.device(asked.device)
    count_memory_anew(device)
    marks: list[float] = []

    def note(step: int, _steps: int, _phase: str) -> None:
        if step in (WARMING, WARMING + asked.steps):
            _finish(device)
        if step == WARMING:
            _TOGETHER[0].wait(PATIENCE_S)
        marks.append(perf_counter())

    try:
        _train(asked, device, note)
    except BaseException:
        _TOGETHER[0].abort()  # the others would wait for nobody
        raise
    return Took(marks[WARMING - 1], marks[-1], *memory(device))


def _train(asked: Asked, device: torch.device, note: Callable[[int, int, str], None]) -> None:
    steps = WARMING + asked.steps
    spec = small_world.spec(ByolConfig(tau_horizon="paper"), batch_size=asked.batch, steps=steps, epoch_steps=steps)
    training = replace(spec.training, precision="bf16" if device.type == "cuda" else "fp32")
    spec = replace(spec, front_end=FrontEnd(crop="random", length_s=SECONDS), training=training)
    tones = small_world.Tones()
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), 52_000), "float32")
    speech = Speech(Noise(tones.utterances, tones.index, audio), spec.front_end, device)
    method = build(spec, small_world.split(tones), speech, ENCODERS[asked.encoder]())
    train(method, training, 0, validate=None, progress=note)


def _finish(device: torch.device) -> None:
    """Wait until the GPU has done what this process told it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def at_once(count: int, asked: Asked) -> list[Took]:
    """So many cells at a time, each in a process of its own. RuntimeError where they do not fit."""
    spawn = torch.multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(count)
    with ProcessPoolExecutor(count, spawn, meet, (barrier,)) as pool:
        waiting = [pool.submit(work, asked) for _ in range(count)]  # a process that waits takes no second cell
        errors = [error for each in waiting if (error := each.exception())]
        for error in sorted(errors, key=lambda each: not says_out_of_memory(each)):
            raise error
        return [each.result() for each in waiting]


def rate(took: Sequence[Took], steps: int) -> float:
    """Steps a second of all cells together."""
    return len(took) * steps / (max(each.ended for each in took) - min(each.began for each in took))


def measured(counts: Sequence[int], asked: Asked, rounds: int, say: Callable[[str], None]) -> Rounds:
    """Of numbers of cells that do not fit there is none, and a word."""
    cores = os.cpu_count() or 1
    found: Rounds = {count: [] for count in counts}
    for _ in range(rounds):
        for count in list(found):
            one = next((took[0] for took in found.get(1, [])), None)
            if one and one.gpu_bytes and count > max(1, holds(one.memory_bytes, one.gpu_bytes)):
                say(f"{count} cells at once: left out, the GPU's memory does not hold them")
                del found[count]
                continue
            try:
                found[count].append(at_once(count, replace(asked, threads=max(1, cores // count))))
            except RuntimeError as error:
                if not says_out_of_memory(error):
                    raise
                say(f"{count} cells at once: out of memory")
                del found[count]
    return found


def table(found: Rounds, asked: Asked) -> Table:
    title = f"BYOL cells, {asked.batch} + {asked.batch} clips of {SECONDS} s, {asked.encoder}, on {asked.device}"
    shown = Table("cells at once", "steps/s, all", "ms a step of each", "times one at a time", "GB each", title=title)
    alone = [rate(took, asked.steps) for took in found[1]]
    for count, rounds in found.items():
        rates = [rate(took, asked.steps) for took in rounds]
        ratio = median(each / one for each, one in zip(rates, alone, strict=True))
        most = max(each.memory_bytes for took in rounds for each in took)
        told = (f"{median(rates):.2f}", f"{1000 * count / median(rates):.1f}", f"{ratio:.2f}", f"{most / 1e9:.2f}")
        shown.add_row(str(count), *told)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.packed")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--encoder", choices=ENCODERS, default="tiny.en")
    parser.add_argument("--batch", type=int, default=64, help="clips of each source (64)")
    parser.add_argument("--steps", type=int, default=30, help="that count, of each cell (30)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 2, 4, 8], help="at once (1 2 4 8)")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here, so no cells share one; --device cpu tries the script")
        return
    counts = sorted({1, *asked.cells})
    cell = Asked(asked.device, asked.encoder, asked.batch, asked.steps, 1)
    console = Console()
    found = measured(counts, cell, asked.rounds, console.print)
    if 1 in found:
        console.print(table(found, cell))


if __name__ == "__main__":
    main()
