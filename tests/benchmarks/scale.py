"""python -m tests.benchmarks.scale [--sizes 16 64 256] [--cell-s 4] [--race]: where does a sweep of many slots bend?

Sweeps of 78 cells a slot (16 slots and 1,250 cells, 64 and 5,000, 256 and 20,000) are worked off by the real driver,
board and trials; slots are simulated (`tests.benchmarks.simulated`), since 256 real ones are 80 GB and more. Each size
runs in a process of its own. Cells sleep for seconds in the place of minutes: what comes once a cell comes so much more
often than it would, what comes once a second (heartbeats) as often. MLflow gets one result in `--every`.

The ledger is written to memory (/dev/shm) where there is such a place: a disk's fsyncs are not what is measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from orchestrator.answer import tracker
from orchestrator.cells import known_of
from orchestrator.ledger import Ledger
from tests.benchmarks.processes import Sample
from tests.benchmarks.simulated import SIGMA, Ran, Sampled, answer_of, busy_share, gaps_s, simulate

SEEDS = 5
CELLS_A_CONFIGURATION = 50
SLOTS = (16, 64, 256)
EVERY = 20

Figures = dict[str, Any]


def configurations(slots: int) -> int:
    """So many that each slot has 78 cells."""
    return slots * 400 // 256


def measure(slots: int, mean_s: float, every: int, race: bool, home: Path | None) -> Figures:
    """One size, in this process."""
    with tempfile.TemporaryDirectory(dir=home, prefix="scale-") as folder:
        began = time.process_time()
        answer = answer_of(Path(folder), configurations(slots), SEEDS, race)
        sampled = Sampled(tracker(answer), every)
        planning_s = time.process_time() - began
        ran = simulate(answer, sampled, slots, mean_s)
        assert ran.outcome.done == len(ran.crew.spans)
        assert not ran.outcome.failed
        return {
            "slots": slots,
            "cells": ran.outcome.done,
            "planning CPU s": planning_s,
            **run_figures(ran, slots),
            "MLflow runs sent": sampled.sent,
            **ledger_figures(folder, [cell.key for cell in answer.plan.cells], answer),
        }


def run_figures(ran: Ran, slots: int) -> Figures:
    """What the sweep took, of which the rates are from while all slots worked."""
    spans = ran.crew.spans
    first, last = min(span[1] for span in spans), max(span[2] for span in spans)
    steady = [one for one in ran.samples if first + 20 < one.at < last and one.running > 0.9 * slots]
    whole = [one for one in ran.samples if first < one.at < last]
    latencies = [took for at, took in ran.crew.latencies if first + 20 < at < last]
    return {
        "first to last cell s": last - first,
        "cells/s": len(spans) / (last - first),
        "requests/s": ran.crew.requests / (last - first),
        "busy %": 100 * busy_share(spans, slots),
        "driver CPU s": ran.driver_cpu_s,
        "driver by thread": {name: round(used, 1) for name, used in ran.threads.items() if used >= 0.5},
        "request ms p50": 1e3 * float(np.quantile(latencies, 0.5)),
        "request ms p99": 1e3 * float(np.quantile(latencies, 0.99)),
        "gap ms p50": 1e3 * float(np.quantile(gaps_s(spans), 0.5)),
        "gap ms p99": 1e3 * float(np.quantile(gaps_s(spans), 0.99)),
        "board CPU ms a request": 1e3 * cores(steady, "board") * (last - first) / ran.crew.requests,
        **{f"{role} cores": cores(steady, role) for role in ("driver", "board", "trials", "slots", "gcs", "raylet")},
        **{f"{role} MB": memory(whole, role) for role in ("driver", "board", "trials")},
    }


def cores(samples: Sequence[Sample], role: str) -> float:
    """CPU seconds a second."""
    if len(samples) < 2:
        return float("nan")
    first, last = samples[0], samples[-1]
    return (last.cpu_s.get(role, 0.0) - first.cpu_s.get(role, 0.0)) / (last.at - first.at)


def memory(samples: Sequence[Sample], role: str) -> list[float]:
    """Resident MB at the beginning, half-way, and at the end."""
    there = [one.resident[role] / 1e6 for one in samples if role in one.resident]
    return [round(there[place]) for place in (0, len(there) // 2, -1)] if there else []


def ledger_figures(folder: str, keys: Sequence[str], answer: Any) -> Figures:
    """CPU seconds of all that reads a whole ledger, of one that this process has not seen."""
    fresh = Ledger(Path(folder))
    ways: dict[str, Callable[[], object]] = {
        "list (no file read)": fresh.stored,
        "done, first time": lambda: fresh.done(keys),
        "done, again": lambda: fresh.done(keys),
        "what the board is to know": lambda: known_of(answer),
        "read 1000 whole": lambda: [fresh.read(key) for key in keys[:1000]],
    }
    return {f"ledger: {name}, CPU s": spent(way) for name, way in ways.items()}


def spent(way: Callable[[], object]) -> float:
    began = time.process_time()
    way()
    return time.process_time() - began


def measure_apart(slots: int, asked: argparse.Namespace) -> Figures:
    """`measure` in a fresh process."""
    words = ["--one", str(slots), "--cell-s", str(asked.cell_s), "--every", str(asked.every)]
    words += ["--race"] * asked.race + (["--store", str(asked.store)] if asked.store else [])
    command = [sys.executable, "-m", "tests.benchmarks.scale", *words]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(said.splitlines()[-1])
    return figures


def shown(every: Sequence[Figures], title: str) -> Table:
    table = Table("", *(f"{one['slots']} slots" for one in every), title=title, title_justify="left")
    for name in every[0]:
        table.add_row(name, *(_told(one[name]) for one in every))
    return table


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, list):
        return " → ".join(f"{number:.0f}" for number in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SLOTS, metavar="SLOTS")
    parser.add_argument("--cell-s", type=float, default=4.0, help="mean length of a cell")
    parser.add_argument("--every", type=int, default=EVERY, help="MLflow gets one result in so many")
    parser.add_argument("--race", action="store_true", help="judge a race at every block, in which nobody is beaten")
    parser.add_argument("--store", type=Path, help="where the ledgers are written (default: memory)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    memory_folder = Path("/dev/shm")
    home = asked.store or (memory_folder if memory_folder.is_dir() else None)
    if asked.one:
        print(json.dumps(measure(asked.one, asked.cell_s, asked.every, asked.race, home)))
        return
    load = os.getloadavg()[0]
    console = Console(width=140)
    measured = []
    for slots in asked.sizes:
        measured.append(measure_apart(slots, asked))
        console.print(shown(measured[-1:], f"{slots} slots"))
    title = f"cells of {asked.cell_s:g} s (log-normal, sigma {SIGMA}), race {'on' if asked.race else 'off'}"
    console.print(shown(measured, title))
    console.print(f"{os.cpu_count()} cores; load before {load:.1f}, after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
