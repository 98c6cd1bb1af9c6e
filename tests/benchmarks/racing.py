"""python -m tests.benchmarks.racing [--quick]: how many cells does racing save, and how often does it lose the winner?

Factorials of which every cell is known, recorded and drawn, are replayed under exhaustive search, under our race and
under what else there is (ways.py). Each choice is judged by the whole factorial and, where they are known, by the
configurations' true levels, since exhaustive search chooses wrongly too. "ours %" are the cells of our race at that
alpha at which it is within .2 points as often as the method of its row (at .49 where it always is more often).
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import optuna
from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.racing import residual_mean_square
from tests.benchmarks.factorials import FAMILIES, Factorial, drawn, plain, recorded, reordered
from tests.benchmarks.ways import OURS, RIVALS, RUNGS, Outcome, Way, exhaustive, race

CLOSE = 0.2
"""UAR points within which a choice is as good as the exhaustive one."""

LADDER = (0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.49)
"""Alphas at which our race is run to see what it uses at another method's reliability."""

LENGTHS = (5, 10)
"""Blocks: five folds, or ten."""

WIDTH = 150

RECORDED = Path(__file__).with_name("factorials")


@dataclass(frozen=True)
class Summary:
    """Means over factorials, as shares: cells used, how often the exhaustive winner was chosen, and one as good.

    In points: what the choice loses against the exhaustive winner, and (`below`) against the truly best configuration;
    `missed`: how often it is not the latter. NaN where the truth is not known.
    """

    cells: float
    same: float
    close: float
    regret: float
    below: float
    missed: float


def summary(way: Way, factorials: Sequence[Factorial]) -> Summary:
    judged = np.array([_judged(way(each.scores), each) for each in factorials])
    return Summary(*judged.mean(axis=0).tolist())


def _judged(outcome: Outcome, factorial: Factorial) -> tuple[float, ...]:
    means, truth = factorial.scores.mean(axis=1), factorial.truth
    regret = float(means.max() - means[outcome.winner])
    below = np.nan if truth is None else float(truth.max() - truth[outcome.winner])
    missed = np.nan if truth is None else below > 1e-9
    return outcome.cells, regret < 1e-9, regret <= CLOSE, regret, below, missed


def at_reliability(close: float, ladder: Sequence[Summary]) -> float | None:
    """Cells that our race uses to be as reliable, between the alphas tried; None where none is as reliable."""
    reached = [rung for rung in ladder if rung.close >= close]
    if not reached:
        return None
    least = min(reached, key=lambda rung: rung.cells)
    below = [rung for rung in ladder if rung.close < close and rung.cells < least.cells]
    if not below:
        return least.cells
    next_ = max(below, key=lambda rung: rung.cells)
    share = (close - next_.close) / (least.close - next_.close)
    return next_.cells + share * (least.cells - next_.cells)


def against_rivals(title: str, factorials: Sequence[Factorial]) -> Table:
    """A row for each way to choose."""
    table = _table(
        title, "cells %", "same winner %", "within .2 %", "regret", "below truth", "misses truth %", "ours %"
    )
    ladder = [summary(partial(race, alpha=alpha), factorials) for alpha in LADDER]
    for name, way in {"exhaustive": exhaustive, **OURS, **RIVALS}.items():
        found = summary(way, factorials)
        ours = at_reliability(found.close, ladder) if name in RIVALS else None
        table.add_row(name, *_told(found), "" if ours is None else f"{100 * ours:.0f}")
    return table


def _told(found: Summary) -> list[str]:
    shares = [f"{100 * share:.1f}" for share in (found.cells, found.same, found.close)]
    truth = ["" if np.isnan(found.below) else f"{found.below:.2f}", f"{100 * found.missed:.0f}"]
    return [*shares, f"{found.regret:.3f}", *(truth if truth[0] else ["", ""])]


def over_noise(number: int) -> Table:
    """Our race over signal to noise."""
    return _both_lengths(
        "Our race over signal to noise (plain factorials; sd of configurations and noise in points)",
        {
            f"sd {sd}, noise {noise}": (race, partial(drawn, plain, number, sd, noise))
            for noise in (1, 2, 4, 6)
            for sd in (1, 2, 4)
        },
    )


def over_families(number: int) -> Table:
    return _both_lengths(
        "Our race on other families (sd 2, noise 2)",
        {name: (race, partial(drawn, family, number, 2, 2)) for name, family in FAMILIES.items()},
    )


def over_rungs(number: int) -> Table:
    """A cell dropped at a third of its steps counts a third."""
    ways = {"blocks only": race, **RUNGS}
    return _both_lengths(
        "A second rung inside the cell (plain, noise 2)",
        {
            f"sd {sd}, {name}": (way, partial(drawn, plain, number, sd, 2))
            for sd in (1, 2, 4)
            for name, way in ways.items()
        },
    )


def _both_lengths(title: str, rows: Mapping[str, tuple[Way, Callable[[int], list[Factorial]]]]) -> Table:
    """A row for each way and family; `below`: how far our choice and the exhaustive one are below the truly best."""
    columns = ("cells %", "within .2 %", "regret", "below", "exhaustive")
    table = _table(title, *(f"{blocks} blocks\n{column}" for blocks in LENGTHS for column in columns))
    for name, (way, draw) in rows.items():
        every = [draw(blocks) for blocks in LENGTHS]
        both = [(summary(way, factorials), summary(exhaustive, factorials)) for factorials in every]
        table.add_row(name, *(cell for ours, whole in both for cell in _told_shortly(ours, whole)))
    return table


def _told_shortly(ours: Summary, whole: Summary) -> list[str]:
    shares = [f"{100 * share:.1f}" for share in (ours.cells, ours.close)]
    return [*shares, f"{ours.regret:.3f}", f"{ours.below:.2f}", f"{whole.below:.2f}"]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column(no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def on_recorded(path: Path, number: int) -> Table:
    """The recorded cells in many orders of the folds."""
    scores, draws = recorded(path), np.random.default_rng(0)
    (configurations, blocks), noise = scores.shape, residual_mean_square(scores) ** 0.5
    sd = float(scores.mean(axis=1).std(ddof=1))
    title = f"{path.stem}: {configurations} configurations (sd {sd:.1f} points), {blocks} blocks (noise {noise:.1f})"
    return against_rivals(title, [reordered(scores, draws) for _ in range(number)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What racing saves, and what it loses.")
    parser.add_argument(
        "--quick", action="store_true", help="few factorials: half a minute, and percentages that are rough"
    )
    parser.add_argument("--recorded", type=Path, default=RECORDED, help="folder of recorded factorials (*.csv)")
    asked = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    console, began = Console(width=WIDTH), time.monotonic()
    few, many = (10, 30) if asked.quick else (150, 1000)
    for path in sorted(asked.recorded.glob("*.csv")):
        console.print(on_recorded(path, few))
    for blocks, sd in product(LENGTHS, (2,) if asked.quick else (1, 2, 4)):
        title = f"Plain factorials of 24 configurations (sd {sd} points), {blocks} blocks (noise 2)"
        console.print(against_rivals(title, drawn(plain, few, sd, 2, blocks)))
    for table in (over_noise, over_families, over_rungs):
        console.print(table(many))
    console.print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
