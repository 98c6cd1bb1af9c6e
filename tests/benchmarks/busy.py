"""python -m tests.benchmarks.busy [--draws 20] [--cell-min 20]: which share of the time do slots work?

Sweeps of 3 to 300 configurations × 15 cells (three languages, five folds), whose cells take log-normal times (sigma
0.6), are worked off in simulated time by the board's own rules in the order of real plans. The share is of all slots'
time from the first cell's beginning to the last one's end; each hand-out costs `--latency-s`. Beside it stand the same
until nothing waits any more (the rest is the last wave, when cells are fewer than slots), what other orders would reach
if lengths were known (`half known`: what is known explains half of the variance of their logarithm), and the bound that
no order can pass: all work evenly spread, or the longest cell.
"""

import argparse
import heapq
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

from orchestrator.board import LAST, BoardState, Cell
from orchestrator.cells import cells_of
from tests.benchmarks.simulated import SIGMA, answer_of

CONFIGURATIONS = (3, 10, 30, 100, 300)
SLOTS = (2, 8, 32, 128)
THREE = ("demo-arda", "demo-bela", "demo-cyra")

Lengths = Mapping[str, float]
Order = Callable[[Sequence[Cell], Lengths, int], list[Cell]]
"""Of cells, their lengths and the number of slots."""


def as_planned(cells: Sequence[Cell], _: Lengths, __: int) -> list[Cell]:
    return list(cells)


def longest_of_a_block(cells: Sequence[Cell], lengths: Lengths, _: int) -> list[Cell]:
    """Blocks stay as they are, so that races are judged as early."""
    return sorted(cells, key=lambda cell: (cell.block, -lengths[cell.key]))


def longest_of_the_last(cells: Sequence[Cell], lengths: Lengths, slots: int) -> list[Cell]:
    """Blocks stay as they are until only so many cells a slot are left."""
    first = max(0, len(cells) - LAST * slots)
    return [*cells[:first], *longest_of_all(cells[first:], lengths, slots)]


def the_last_half_known(cells: Sequence[Cell], lengths: Lengths, slots: int) -> list[Cell]:
    """The same by lengths of which half of the variance is known."""
    logs = np.log([lengths[cell.key] for cell in cells])
    noise = np.random.default_rng(len(cells)).normal(0.0, SIGMA, len(cells))
    known = 0.5 * (logs - logs.mean()) + 0.5 * noise
    return longest_of_the_last(cells, {cell.key: float(k) for cell, k in zip(cells, known, strict=True)}, slots)


def longest_of_all(cells: Sequence[Cell], lengths: Lengths, _: int) -> list[Cell]:
    return sorted(cells, key=lambda cell: -lengths[cell.key])


ORDERS: dict[str, Order] = {
    "as planned": as_planned,
    "longest first in a block": longest_of_a_block,
    f"of the last {LAST} a slot": longest_of_the_last,
    "… half known": the_last_half_known,
    "of all": longest_of_all,
}


def worked_off(cells: Sequence[Cell], lengths: Lengths, slots: int, latency_s: float) -> list[tuple[float, float]]:
    """Beginning and end of every cell, handed out by the board."""
    board, spans = BoardState(), []
    board.put(cells, {})
    free = [(0.0, f"{number:03d}", "") for number in range(slots)]
    while free:
        now, slot, held = heapq.heappop(free)
        if held:
            assert board.done(slot, 1, held, {"valid_uar": 0.5})
        cell = board.take(slot, 1)
        if isinstance(cell, Cell):
            began = now + latency_s
            spans.append((began, began + lengths[cell.key]))
            heapq.heappush(free, (spans[-1][1], slot, cell.key))
    assert len(spans) == len(board.results) == len(cells)
    return spans


def share(spans: Sequence[tuple[float, float]], slots: int, until: float) -> float:
    """Of the slots' time from the first beginning until then."""
    first = min(began for began, _ in spans)
    return sum(min(ended, until) - min(began, until) for began, ended in spans) / (slots * (until - first))


def from_first_to_last(spans: Sequence[tuple[float, float]], slots: int) -> float:
    return share(spans, slots, max(ended for _, ended in spans))


def before_the_last_wave(spans: Sequence[tuple[float, float]], slots: int) -> float:
    """Until the last cell is handed out; 1 where there are no more cells than slots."""
    last = max(began for began, _ in spans)
    return share(spans, slots, last) if len(spans) > slots else 1.0


def bound(lengths: Lengths, slots: int) -> float:
    """No order keeps slots busier than this."""
    total = sum(lengths.values())
    return total / (slots * max(total / slots, *lengths.values()))


def drawn(cells: Sequence[Cell], mean_s: float, seed: int) -> dict[str, float]:
    """A length for each cell."""
    normal = np.random.default_rng(seed).normal(0.0, SIGMA, len(cells))
    return {cell.key: mean_s * float(np.exp(z - SIGMA**2 / 2)) for cell, z in zip(cells, normal, strict=True)}


def planned(configurations: int) -> list[Cell]:
    """The cells of a real plan, without floors: these take no time to speak of."""
    with tempfile.TemporaryDirectory() as folder:
        answer = answer_of(Path(folder), configurations, 1, languages=THREE)
        return [cell for cell in cells_of(answer) if cell.configuration is not None]


def line(cells: Sequence[Cell], slots: int, asked: argparse.Namespace) -> list[float]:
    """Means over the draws, in %: as planned, the same before the last wave, the other orders, the bound."""
    rows = []
    for seed in range(asked.draws):
        lengths = drawn(cells, 60 * asked.cell_min, seed)
        ran = {
            name: worked_off(order(cells, lengths, slots), lengths, slots, asked.latency_s)
            for name, order in ORDERS.items()
        }
        plain = ran["as planned"]
        whole = [from_first_to_last(spans, slots) for spans in ran.values()]
        rows.append([whole[0], before_the_last_wave(plain, slots), *whole[1:], bound(lengths, slots)])
    return [100 * fmean(column) for column in zip(*rows, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.busy", description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--cell-min", type=float, default=20.0, help="mean length of a cell")
    parser.add_argument("--latency-s", type=float, default=0.1, help="what handing out a cell takes")
    asked = parser.parse_args()
    heads = ("as planned", "… before the last wave", *list(ORDERS)[1:], "bound")
    title = f"slots busy, %: cells of {asked.cell_min:g} min (log-normal, sigma {SIGMA}), {asked.draws} draws"
    table = Table("configurations", "cells", "slots", "cells a slot", *heads, title=title, title_justify="left")
    for configurations in CONFIGURATIONS:
        cells = planned(configurations)
        for slots in SLOTS:
            shares = line(cells, slots, asked)
            counts = (configurations, len(cells), slots, round(len(cells) / slots, 1))
            table.add_row(*map(str, counts), *(f"{value:.1f}" for value in shares))
        table.add_section()
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
