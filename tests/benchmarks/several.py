"""One cell on two ranks against one: how much of a second core the encoder's share of a step is worth.

`python -m tests.benchmarks.several [--batch 16] [--rounds 5]`. BYOL steps of 3 s clips with Whisper tiny.en, one thread
a rank, gloo on the CPU and NCCL with GPUs; the batch is that of the cell, and each rank embeds its part. Steps of one
rank and of two are timed in turn, by the clock, while the other rank waits; efficiency is the median ratio over the
number of ranks. Nothing else may run beside.
"""

import argparse
import os
import socket
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table

from tests import small_world
from tests.benchmarks.front_end import PRECISION, SECONDS, Noise, whisper
from trainers.audio.draws import numpy_generator
from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.loop import _optimiser, _step
from trainers.methods.configs import ByolConfig
from trainers.ranks import together
from trainers.speech import Speech

STEPS = 2
"""Of one timing."""


def rank(number: int, ranks: int, folder: str, batch: int, rounds: int) -> None:
    """Time steps of the first rank alone and of all; the first rank writes the seconds a step."""
    torch.set_num_threads(1)
    cuda = torch.cuda.is_available() and torch.cuda.device_count() >= ranks
    device = torch.device("cuda", number) if cuda else torch.device("cpu")
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    patience = timedelta(minutes=5)
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", meeting, patience, rank=number, world_size=ranks)
    spec = small_world.spec(
        ByolConfig(tau_horizon="paper"),
        batch_size=batch,
        steps=10_000,
        epoch_steps=10_000,
        precision=PRECISION if cuda else "fp32",
    )
    front_end = FrontEnd(crop="random", length_s=SECONDS)
    tones = small_world.Tones()
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), 52_000), "float32")
    speech = Speech(Noise(tones.utterances, tones.index, audio), front_end, device)
    spec = replace(spec, front_end=front_end)
    method = build(spec, small_world.split(tones), speech, whisper())
    optimiser = _optimiser(method, spec.training)
    took: dict[str, list[float]] = {"one": [], "all": []}
    for _ in range(rounds + 1):
        for who in took:
            dist.barrier()
            began = perf_counter()
            with together() if who == "all" else nullcontext():
                for step in range(STEPS if who == "all" or number == 0 else 0):
                    told = _step(method, optimiser, spec.training, 0, step)
                    told.row()  # a GPU has done it then
            took[who].append((perf_counter() - began) / STEPS)
    if number == 0:
        torch.save(took, Path(folder) / "took.pt")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.several", description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(rank, (asked.ranks, folder, asked.batch, asked.rounds), nprocs=asked.ranks)
        took = {name: seconds[1:] for name, seconds in torch.load(Path(folder) / "took.pt").items()}
    gain = median(one / every for one, every in zip(took["one"], took["all"], strict=True))
    where = "CUDA, NCCL" if torch.cuda.device_count() >= asked.ranks else "CPU, gloo"
    title = f"BYOL, {asked.batch} + {asked.batch} clips on {where}"
    table = Table("ms a step, one rank", f"{asked.ranks} ranks", "times as quick", "efficiency, %", title=title)
    table.add_row(
        *(f"{1000 * median(seconds):.0f}" for seconds in took.values()),
        f"{gain:.2f}",
        f"{100 * gain / asked.ranks:.0f}",
    )
    Console().print(table)


if __name__ == "__main__":
    main()
