"""python -m tests.benchmarks.orchestration [--quick]: what does it cost to hand out a cell?

Cells that only sleep, worked off three ways, each in a Ray of its own: through the engine's warm slots; with a
`TorchTrainer.fit()` per cell inside Tune trials; with one per configuration. Overhead is what a cell takes beyond
its sleep: the gap between two cells of a slot, or a fit's duration less the sleep in it, per cell. Since every fit
costs the same, two cells per configuration have to do where each cell has its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.board import Cell
from orchestrator.worker import Work

SLEEP_S = 0.5
SLOTS = 2
CONFIGURATIONS = 3


def make_work() -> Work:
    def work(payload: dict[str, Any], _report: object, _stopped: object) -> dict[str, Any]:
        sleep_once(Path(payload["log"]))
        return {"valid_uar": 0.25}

    return work


def sleep_once(log: Path) -> None:
    """A cell: it sleeps and notes when, and in which process."""
    began = time.time()
    time.sleep(SLEEP_S)
    note(log, "cell", began)


def note(log: Path, kind: str, began: float) -> None:
    with log.open("a") as file:
        file.write(json.dumps([kind, os.getpid(), began, time.time()]) + "\n")


def spans(log: Path, kind: str) -> list[tuple[int, float, float]]:
    """(process, beginning, end) of what was noted, in order of the beginnings."""
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return sorted(((pid, began, ended) for said, pid, began, ended in lines if said == kind), key=lambda span: span[1])


def through_slots(folder: Path, log: Path, cells: int) -> None:
    from orchestrator import engine

    places = [(block, number) for block in range(cells) for number in range(CONFIGURATIONS)]
    plan = [Cell(f"{block}-{number}", number, block, None, {"log": str(log)}) for block, number in places]
    outcome = engine.run(plan, [{}] * CONFIGURATIONS, make_work, scratch=folder, slots=SLOTS)
    assert outcome.done == len(plan)


def fit_per_cell(folder: Path, log: Path, cells: int) -> None:
    tune_fits(folder, log, trials=cells * CONFIGURATIONS, cells_per_fit=1)


def fit_per_configuration(folder: Path, log: Path, cells: int) -> None:
    tune_fits(folder, log, trials=CONFIGURATIONS, cells_per_fit=cells)


def tune_fits(folder: Path, log: Path, trials: int, cells_per_fit: int) -> None:
    """One Tune trial per fit, as many at once as there are slots."""
    from orchestrator.board_actor import HEAD
    from orchestrator.cluster import connected

    with connected(SLOTS):
        from ray import tune

        def trial(config: dict[str, Any]) -> None:
            began = time.time()
            nested_fit(Path(f"{folder}/fit{config['number']}"), log, cells_per_fit)
            note(log, "fit", began)
            tune.report({"valid_uar": 0.25})

        tune.Tuner(
            tune.with_resources(trial, {"CPU": 0, HEAD: 0.001}),
            param_space={"number": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=SLOTS),
            run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
        ).fit()


def nested_fit(folder: Path, log: Path, cells: int) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    def loop() -> None:
        for _ in range(cells):
            sleep_once(log)

    scaling = ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1})
    TorchTrainer(loop, scaling_config=scaling, run_config=RunConfig(storage_path=str(folder))).fit()


WAYS: dict[str, Callable[[Path, Path, int], None]] = {
    "warm slots": through_slots,
    "fit per configuration": fit_per_configuration,
    "fit per cell": fit_per_cell,
}


def measure(way: str, cells: int) -> dict[str, float]:
    """One way in this process: seconds to the first cell, of overhead per cell, in all; peak memory in GB."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, peak_memory() as peak:
        log = Path(name) / "log"
        began = time.time()
        WAYS[way](Path(name), log, cells)
        ran = spans(log, "cell")
        fits = spans(log, "fit")
    per_fit = len(ran) // max(1, len(fits))
    overheads = [(end - start) / per_fit - SLEEP_S for _, start, end in fits] or gaps(ran)
    return {
        "cells": len(ran),
        "start_s": ran[0][1] - began,
        "overhead_s": fmean(overheads),
        "wall_s": ran[-1][2] - began,
        "gb": peak[0] / 1e6,
    }


def gaps(ran: list[tuple[int, float, float]]) -> list[float]:
    """Seconds between the end of a cell and the beginning of the next one in the same process."""
    by_process = defaultdict(list)
    for pid, began, ended in ran:
        by_process[pid].append((began, ended))
    return [after[0] - before[1] for lane in by_process.values() for before, after in pairwise(lane)]


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watches this process and all below it; the largest sum of their proportional set sizes (kB) is at [0]."""
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            peak[0] = max(peak[0], sum(proportional_kb(pid) for pid in descendants(os.getpid())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def descendants(root: int) -> list[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children[parent(int(entry.name))].append(int(entry.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure_apart(way: str, cells: int) -> dict[str, float]:
    """`measure` in a fresh process, so that no way inherits what another has imported or left."""
    command = [sys.executable, "-m", "tests.benchmarks.orchestration", "--way", way, "--cells", str(cells)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, float] = json.loads(said.splitlines()[-1])
    return measured


def table(measured: dict[str, dict[str, float]]) -> Table:
    shown = Table(title=f"cells that sleep {SLEEP_S} s, {CONFIGURATIONS} configurations, {SLOTS} slots")
    for head in ("way", "cells", "start-up s", "overhead s/cell", "× slots", "wall s", "memory GB (PSS)"):
        shown.add_column(head, justify="left" if head == "way" else "right")
    least = max(measured["warm slots"]["overhead_s"], 1e-4)
    for way, row in measured.items():
        numbers = [f"{row['cells']:.0f}", f"{row['start_s']:.1f}", f"{row['overhead_s']:.3f}"]
        numbers += [f"{row['overhead_s'] / least:.0f}", f"{row['wall_s']:.1f}", f"{row['gb']:.2f}"]
        shown.add_row(way, *numbers)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 cells per configuration")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--cells", type=int, default=15, help="cells per configuration")
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.cells)))
        return
    cells = 3 if asked.quick else asked.cells
    load = os.getloadavg()[0]
    counts = {way: min(cells, 2) if way == "fit per cell" else cells for way in WAYS}
    measured = {way: measure_apart(way, count) for way, count in counts.items()}
    console = Console(width=120)
    console.print(table(measured))
    console.print(f"{os.cpu_count()} cores; load before {load:.1f}, after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
