"""python -m tests.benchmarks.planning [--quick] [--store DIR]: what do plans and full ledgers cost?

Four tables. Planning: three sweeps of 100,000 cells on the demo's ground. Resuming: all that is asked of a ledger in
which every cell is done, before a first cell could run. The driver: seconds and bytes for each further result, which
must not grow with their number; the slope is of a straight line through log seconds over log results, so 0 is flat and
1 is in proportion. The board: cells through put, take, done and poll, as slots, trials and the driver would.

Processor seconds, since the wall's are other people's too; `wall` stands beside where it matters. The ledger is written
to memory (/dev/shm) where there is such a place: its fsyncs are not what is measured.
"""

import argparse
import gc
import math
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from rich.console import Console
from rich.table import Table

from orchestrator.answer import Answer
from orchestrator.board import BoardState, Cell
from orchestrator.cells import cells_of, known_of
from orchestrator.costs import Crew, estimate
from orchestrator.ledger import Ledger
from orchestrator.outcome import Tally
from orchestrator.plan import Plan, Request, plan
from search_spaces import Sweep
from tests.synthetic_results import drawn, result
from tests.unheard import ground
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, MethodConfig

CELLS = 100_000
RESULTS = 10_000
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
FOLDS = 5
SEEDS = 10
SLOTS = 8
LIVE_TRIALS = 8
STAGED = "cl, a stage a cell"
POLL_EVERY = 4
"""Results between two polls of the driver; at five polls a second 20 results a second are many."""


@dataclass
class Spent:
    """Processor and wall seconds of a block, and by how many bytes the process grew in it."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    grown: int = 0


@contextmanager
def measured() -> Iterator[Spent]:
    spent = Spent()
    gc.collect()
    before, cpu_s, wall_s = resident(), time.process_time(), time.perf_counter()
    yield spent
    spent.cpu_s, spent.wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    gc.collect()
    spent.grown = resident() - before


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- planning


def sweep_of(config: MethodConfig, axis: str, first: float, step: float, points: int) -> Sweep:
    values = [round(first + step * number, 8) for number in range(points)]
    return Sweep("?", config, axes={axis: tune.grid_search(values)}, seeds=tuple(range(SEEDS)))


def sweeps(cells: int) -> dict[str, tuple[Sweep, Request]]:
    """So many cells: of one language, of all at once, and of all at once with a stage for each."""
    points = cells // (FOLDS * SEEDS)
    one = Request(languages=("demo-arda",))
    return {
        "byol, one language": (sweep_of(ByolConfig(), "tau", 0.99, 4e-6, points), one),
        "baseline": (sweep_of(BaselineConfig(), "strength", 0.1, 5e-4, points), Request()),
        STAGED: (sweep_of(ClConfig(), "temperature", 0.05, 1e-4, points), Request()),
    }


def planned(kind: str, cells: int) -> Plan:
    sweep, request = sweeps(cells)[kind]
    return plan("planning", sweep, ground(), request)


def planning(cells: int) -> Table:
    shown = columns(
        f"planning {cells:,} cells", "sweep", "configurations", "stages", "CPU s", "wall s", "grew by MB", "process MB"
    )
    for kind in sweeps(cells):
        with measured() as spent:
            made = planned(kind, cells)
        assert len(made.cells) == cells
        configurations, stages = len(made.configurations), len(made.stages)
        shown.add_row(
            kind, f"{configurations:,}", f"{stages:,}", *seconds(spent), megabytes(spent.grown), megabytes(resident())
        )
        del made
    return shown


# --- resuming


def filled(store: Path, made: Plan) -> Ledger:
    """A ledger in which every cell of the plan is done, with results as large as real ones on three languages."""
    ledger, draws = Ledger(store), np.random.default_rng(0)
    valid, parts = drawn(0.6, 168, draws), {name: drawn(0.5, 80, draws) for name in ("arda", "bela", "cyra", "home")}
    like = result(made.cells[0].spec, valid, parts, epochs=50)
    like = replace(like, seconds={"total": 100.0, "training": 80.0, "scoring": 15.0}, versions={"device": "cpu"})
    for cell in made.cells + made.floors:
        ledger.write(replace(like, spec=cell.spec))
    return ledger


def answer_of(made: Plan, ledger: Ledger) -> Answer:
    sweep, _ = sweeps(len(made.cells))[STAGED]
    return Answer(sweep, ground(), made, ledger, None, "planning")


def resuming(results: int, store: Path) -> Table:
    """What a driver asks before the first cell, of a ledger that this process has not seen."""
    made = planned(STAGED, results)
    filled(store, made)
    answer = answer_of(made, Ledger(store))
    steps: dict[str, Callable[[], object]] = {
        "plan": lambda: planned(STAGED, results),
        "count what is done (announce)": lambda: [
            answer.ledger.done(c.key for c in part) for part in (made.cells, made.floors)
        ],
        "estimate the costs": lambda: estimate(made, answer.ledger, Crew(2), {"e" * 64: store}),
        "stages that are missing, cells for the board": lambda: cells_of(answer),
        "what the board is to know, three times": lambda: [known_of(answer) for _ in range(3)],
    }
    shown = columns(f"resuming on {results:,} results", "step", "CPU s", "wall s", "grew by MB")
    total = Spent()
    for name, step in steps.items():
        with measured() as spent:
            step()
        shown.add_row(name, *seconds(spent), megabytes(spent.grown))
        total = Spent(total.cpu_s + spent.cpu_s, total.wall_s + spent.wall_s, total.grown + spent.grown)
    shown.add_section()
    shown.add_row("all", *seconds(total), megabytes(total.grown))
    return shown


# --- what each further result costs


def growing(sizes: Sequence[int], store: Path) -> Table:
    """The ledger as the driver reads it: every new result is glanced at, and read whole for MLflow."""
    made, seen = planned(STAGED, max(sizes)), Ledger(store)
    shown = columns("the driver's ledger, per result", "results", "glance µs", "again µs", "read whole µs", "memory B")
    rows, start = [], 0
    for size in sizes:
        keys = [cell.key for cell in made.cells[start:size]]
        start = size
        with measured() as first:
            [seen.glance(key) for key in keys]
        with measured() as again:
            [seen.glance(key) for key in keys]
        with measured() as whole:
            [seen.read(key) for key in keys[:1000]]
        each = [first.cpu_s / len(keys), again.cpu_s / len(keys), whole.cpu_s / len(keys[:1000])]
        rows.append(each)
        kept = remembered(Ledger(store), keys[:1000]) / len(keys[:1000])
        shown.add_row(f"{size:,}", *(f"{1e6 * value:.0f}" for value in each), f"{kept:.0f}")
    shown.add_section()
    shown.add_row("slope", *(f"{slope(sizes, column):+.2f}" for column in zip(*rows, strict=True)), "")
    return shown


def remembered(ledger: Ledger, keys: Sequence[str]) -> int:
    """Bytes that a ledger keeps of glances at these results."""
    tracemalloc.start()
    seen = len(ledger.glances(keys))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == len(keys)
    return kept


@dataclass
class Driven:
    """A board with slots, live trials and a driver around it, without Ray."""

    board: BoardState = field(default_factory=BoardState)
    tally: Tally = field(default_factory=lambda: Tally(frozenset()))
    seen: int = 0

    def work_off(self, trials: int) -> None:
        """Every slot takes, beats once and is done, in turn; after each result live trials look at their progress."""
        finished, idle = 0, 0
        while idle < SLOTS:
            slot = f"slot{finished % SLOTS}"
            cell = self.board.take(slot, 1)
            if not isinstance(cell, Cell):
                idle, finished = idle + 1, finished + 1
                continue
            idle = 0
            self.board.progress(slot, 1, cell.key, 1, 2, "training")
            self.board.should_stop(slot, 1)
            self.board.done(slot, 1, cell.key, {"valid_uar": 0.5, "seconds": 1.0})
            finished += 1
            for trial in range(trials):
                self.board.progress_of(trial)
            if finished % POLL_EVERY == 0:
                self.poll()
        self.poll()

    def poll(self) -> None:
        events = self.board.events[self.seen :]
        self.seen += len(events)
        for event in events:
            self.tally.take(event)
        self.board.snapshot()


def cells(count: int, stages: int = 0) -> list[Cell]:
    """Block by block, as plans have them; a stage stands before the first cell that needs it."""
    configurations, found = count // (FOLDS * SEEDS), []
    for number in range(count):
        block, configuration = divmod(number, configurations)
        needs = (f"stage{number}",) if stages and number % (count // stages) == 0 else ()
        found += [Cell(need, None, -1, None, {}, role="stage") for need in needs]
        found.append(Cell(f"{number:064d}", configuration, block, None, {}, needs))
    return found


def boards(sizes: Sequence[int]) -> Table:
    kinds: dict[str, tuple[int, Callable[[int], int]]] = {
        "cells alone": (0, lambda _: 0),
        "with a stage to every tenth": (0, lambda count: count // 10),
        f"with {LIVE_TRIALS} live trials": (LIVE_TRIALS, lambda _: 0),
    }
    shown = columns("the board, µs per result", "cells", "put", *kinds, "memory B")
    rows = []
    for count in sizes:
        with measured() as putting:
            kept = Driven()
            kept.board.put(cells(count), {})
        each, grown = [putting.cpu_s / count], 0
        for trials, stages in kinds.values():
            driven = Driven()
            driven.board.put(cells(count, stages(count)), {})
            with measured() as spent:
                driven.work_off(trials)
            assert len(driven.tally.done) == count + stages(count)
            each.append(spent.cpu_s / count)
            grown = grown or spent.grown
        rows.append(each)
        shown.add_row(f"{count:,}", *(f"{1e6 * value:.0f}" for value in each), f"{grown / count:.0f}")
    shown.add_section()
    shown.add_row("slope", *(f"{slope(sizes, column):+.2f}" for column in zip(*rows, strict=True)), "")
    return shown


# --- tables


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Of log seconds over log size, by least squares."""
    if len(sizes) < 2:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def columns(title: str, *heads: str) -> Table:
    shown = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        shown.add_column(head, justify="right" if number else "left")
    return shown


def seconds(spent: Spent) -> Iterable[str]:
    return f"{spent.cpu_s:.2f}", f"{spent.wall_s:.2f}"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--store", type=Path, help="where the ledgers are written (default: memory)")
    asked: Any = parser.parse_args(words)
    share = 10 if asked.quick else 1
    memory = Path("/dev/shm")
    home = asked.store or (memory if memory.is_dir() else None)
    sizes = SIZES[: -1 if asked.quick else None]
    console = Console(width=140)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    console.print(planning(CELLS // share))
    with tempfile.TemporaryDirectory(dir=home, prefix="planning-") as folder:
        console.print(resuming(RESULTS // share, Path(folder)))
        console.print(growing([size for size in (300, *SIZES) if size <= RESULTS // share], Path(folder)))
    console.print(boards(sizes))
    console.print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
