"""A whole sweep against a plain loop over its cells, and what slots beside each other are worth.

`python -m tests.benchmarks.whole [--steps 20] [--slots 1 2]`: `byol_tau` on the demo (45 cells and their 15 floors) by
the command, with one slot that has all cores and with a slot a core, the same cells by `cell.run` one after the other
in one warm process, with as many threads, and dealt to as many such processes as there are slots (what the machine
itself allows), by the clock; nothing else may run beside. Work lasts from the first
cell's beginning to the last one's end, as the ledger tells (a cell's seconds, and when its record was written). With
equally many threads the results must be the same to the bit.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from orchestrator.ground import Places, find
from orchestrator.ledger import Ledger
from trainers import cell
from trainers.result import Result


@dataclass(frozen=True)
class Took:
    """Seconds by the clock: the whole, from its start to the first cell's beginning, and the work itself."""

    whole_s: float
    start_s: float
    work_s: float
    cells: int


def swept(store: Path, slots: int, steps: int) -> Took:
    """The command, as a user gives it."""
    asked = (
        "byol_tau",
        "--store",
        str(store),
        "--slots",
        str(slots),
        "--set",
        f"steps={steps}",
        f"epoch_steps={steps}",
        "tau_horizon=paper",  # as few steps as these have no matched τ
    )
    began = time.time()
    told = subprocess.run([sys.executable, "-m", "orchestrator.sweep", *asked], capture_output=True, text=True)
    ended = time.time()
    if told.returncode:
        raise SystemExit(f"the sweep ended with {told.returncode}: {told.stderr[-2000:]}")
    first, last, count = span(store)
    return Took(ended - began, first - began, last - first, count)


def span(store: Path) -> tuple[float, float, int]:
    """When the first cell began and the last one ended (s since 1970), and how many there are."""
    ledger = Ledger(store)
    ends = [(ledger.path(key).stat().st_mtime, result) for key, result in results(store).items()]
    return min(end - result.seconds["total"] for end, result in ends), max(end for end, _ in ends), len(ends)


def results(store: Path) -> dict[str, Result]:
    return {result.spec.key(): result for result in Ledger(store)}


def plain(asked: dict[str, Result], store: Path, threads: int) -> Took:
    """The same cells in the order of their records, in this process, prepared and warm."""
    torch.set_num_threads(threads)
    began = time.time()
    ground = find(Places(store, None, None, "demo"), lambda _: None)
    place = cell.Workspace(ground.prepared, ground.encoder_folder, store, torch.device("cpu"))
    ledger = Ledger(store)
    for result in asked.values():
        ledger.write(cell.run(result.spec, place))
        cell.forget_checkpoint(result.spec, place)
    first, last, count = span(store)
    return Took(time.time() - began, first - began, last - first, count)


def beside(asked: dict[str, Result], folder: Path, slots: int, threads: int) -> Took:
    """The same cells dealt to so many plain processes at a time."""
    began, every = time.time(), list(asked.items())
    stores = [folder / f"beside-{number}" for number in range(slots)]
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=plain, args=(dict(every[number::slots]), store, threads))
        for number, store in enumerate(stores)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a plain process ended with {process.exitcode}")
    spans = [span(store) for store in stores]
    first, last = min(each[0] for each in spans), max(each[1] for each in spans)
    return Took(time.time() - began, first - began, last - first, sum(each[2] for each in spans))


def numbers(result: Result) -> str:
    """All of a result but where and how fast it ran."""
    told = result.as_dict()
    return repr(sorted((name, value) for name, value in told.items() if name not in ("seconds", "versions")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.whole", description=__doc__)
    cores = os.cpu_count() or 1
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, cores], help="they share the cores")
    asked = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # both sides on the CPU
    steps = asked.steps
    took: list[tuple[str, Took]] = []
    ratios: list[str] = []
    console = Console()
    with tempfile.TemporaryDirectory(prefix="whole-", dir="/var/tmp") as folder:
        for slots in asked.slots:
            threads = max(1, cores // slots)
            there, here = Path(folder) / f"swept-{slots}", Path(folder) / f"alone-{slots}"
            by_sweep = swept(there, slots, steps)
            alone = plain(results(there), here, threads)
            took += [
                (f"slots: {slots}, threads each: {threads}", by_sweep),
                (f"cell.run, one after the other, threads: {threads}", alone),
            ]
            ratios.append(f"{slots} slots are {alone.work_s / by_sweep.work_s:.2f} times as quick as cell.run")
            theirs = [here]
            if slots > 1:
                dealt = beside(results(there), Path(folder), slots, threads)
                took.append((f"cell.run in {slots} processes", dealt))
                ratios.append(f"{slots} plain processes at a time {alone.work_s / dealt.work_s:.2f} times")
                theirs += [Path(folder) / f"beside-{number}" for number in range(slots)]
            again = [(key, numbers(one)) for store in theirs for key, one in results(store).items()]
            found = [(key, numbers(one)) for key, one in results(there).items()] * min(2, slots)
            console.print(f"{slots} slots: {'same results' if sorted(found) == sorted(again) else 'OTHER RESULTS'}")
    table = Table("", "cells", "whole, s", "until the first cell, s", "work, s", title=f"byol_tau, demo, {steps} steps")
    for name, each in took:
        figures = (each.whole_s, each.start_s, each.work_s)
        table.add_row(name, str(each.cells), *(f"{value:.1f}" for value in figures))
    console.print(table)
    for line in ratios:
        console.print(line)


if __name__ == "__main__":
    main()
