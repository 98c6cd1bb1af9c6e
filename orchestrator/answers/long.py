"""A comparison as one long table of numbers, for whoever computes on: a row per cell, tested language and measure."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.means import MEASURES, Scored
from orchestrator.answers.rows import Place
from orchestrator.answers.tallies import Tally

HEADINGS = ("sweep", "configuration", "trained_for", "language", "fold", "seed", "measure", "value")
"""`trained_for`: the language whose speech the training heard, empty where it serves all. `language`: what was tested,
or "valid/SELECTOR" for validation speech. A measure that is not defined (a fold lacks a class) has no value."""


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """UAR, macro-F1 and accuracy as shares of 1, and the number of clips, under one heading."""
    told = StringIO()
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(HEADINGS)
    for comparison in comparisons:
        for name, cells in comparison.cells.items():
            writer.writerows((comparison.sweep, name, *row) for row in _rows(comparison, cells))
    return told.getvalue()


def _rows(comparison: Comparison, cells: Mapping[Place, Tally]) -> Iterator[tuple[object, ...]]:
    for (target, fold, seed), cell in cells.items():
        for language, score in _scores(comparison, target, cell):
            where = (target or "", language, fold, seed)
            for measure, value in zip(MEASURES, (score.uar, score.macro_f1, score.accuracy), strict=True):
                yield *where, measure, value if value == value else ""
            yield *where, "n", score.n


def _scores(comparison: Comparison, target: str | None, cell: Tally) -> Iterator[tuple[str, Scored]]:
    """As in the table: a target's score counts where the training was for it, or for all."""
    if comparison.selector in cell.valid:
        yield f"valid/{comparison.selector}", cell.valid[comparison.selector]
    counted = [name for name in comparison.languages if target in (name, None)]
    yield from ((name, cell.test[name]) for name in (*counted, *comparison.held_out) if name in cell.test)
