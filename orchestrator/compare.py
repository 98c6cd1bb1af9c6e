"""The command that answers sweeps, from the ledger and the records of what was asked.

    python -m orchestrator.compare NAME [NAME …] [--format table|markdown|latex|csv|html] [--reference CONFIG]
        [--against gong2025] [--store runs]

It imports neither ray nor mlflow, so it works wherever the store lies.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked, named
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import Ledger
from trainers.errors import UserError, unknown

SEVERAL = 20
"""Of more configurations an error names only those that are called alike."""


def main(words: Sequence[str] | None = None) -> int:
    """0: told; 2: bad input, told in one line."""
    gc.disable()  # a look makes many small things, drops none of them, and is over in seconds
    try:
        asked = _parser().parse_args(words)
        _tell(asked)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m orchestrator.compare",
        description="Lay a sweep's configurations side by side, from its stored results. Opens test scores, counted.",
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="a sweep that was run; NAME/DIGEST an earlier one with other settings"
    )
    parser.add_argument("--format", default="table", metavar="KIND", help=f"{' | '.join(FORMATS)} (table)")
    parser.add_argument("--reference", metavar="CONFIG", help="compare with this configuration (the sweep's own)")
    parser.add_argument("--against", metavar="PAPER", help="put published figures beside ours: gong2025")
    add_store(parser)
    return parser


@dataclass(frozen=True)
class _Told:
    """The record that was asked for, others of the same sweep, and the reference that the sweep declares."""

    asked: Asked
    others: tuple[Asked, ...]
    declared: str


def _tell(asked: argparse.Namespace) -> None:
    """All bad input is refused before any test score is opened."""
    if asked.format not in FORMATS:
        raise unknown("format", asked.format, FORMATS)
    store = asked.store.expanduser()
    found = [_found(store, name, asked.reference) for name in asked.names]
    if asked.against:
        from orchestrator.answers.published import paper_named

        paper_named(asked.against)
    ledger = Ledger(store)
    FORMATS[asked.format]([_compared(ledger, one, asked.against) for one in found])


def _found(store: Path, name: str, reference: str | None) -> _Told:
    newest, *others = named(store, name)
    if reference is None:
        return _Told(newest, tuple(others), newest.reference)
    names = [one.name for one in newest.configurations]
    if reference not in names:
        near = get_close_matches(reference, names, SEVERAL, 0.0) if len(names) > SEVERAL else names
        raise unknown(f"configuration of {newest.sweep}", reference, near)
    return _Told(replace(newest, reference=reference), tuple(others), newest.reference)


def _compared(ledger: Ledger, told: _Told, against: str | None) -> Comparison:
    asked = told.asked
    ledger.bring(asked.keys)
    comparison = answered(ledger, asked)
    sections = comparison.sections
    if against:
        from orchestrator.answers.published import beside, paper_named

        sections = (beside(paper_named(against), asked, comparison), *sections)
    notes = (*([asked.note] if asked.note else []), *comparison.notes, *_provenance(told))
    return replace(comparison, notes=notes, sections=sections)


def _provenance(told: _Told) -> Iterator[str]:
    """Where the numbers are from, so that nobody takes one run for another."""
    asked = told.asked
    if asked.reference != told.declared:
        declared = told.declared or "none"
        yield f"compared with {asked.reference}, as this command line asks; the sweep declares {declared}"
    yield f"question: {asked.question}"
    commit = f", commit {asked.commit}" if asked.commit else ""
    yield f"protocol {asked.protocol}, folds by {asked.folds_by}; asked {asked.at}{commit}: {asked.command}"
    for other in told.others:
        yield f"another run of {other.sweep}, {other.sweep}/{other.digest}: asked {other.at}: {other.command}"


def _print_tables(comparisons: Sequence[Comparison]) -> None:
    from rich.console import Console

    from orchestrator.answers.table import as_text, render

    console = Console()
    for comparison in comparisons:
        if console.is_terminal:
            console.print(render(comparison))
        else:  # a file or a pipe is as wide as it needs to be
            sys.stdout.write(as_text(comparison))


def _print_markdown(comparisons: Sequence[Comparison]) -> None:
    from orchestrator.answers.table import as_markdown

    sys.stdout.write("\n".join(map(as_markdown, comparisons)))


def _print_latex(comparisons: Sequence[Comparison]) -> None:
    from orchestrator.answers.latex import as_latex

    sys.stdout.write("\n".join(map(as_latex, comparisons)))


def _print_csv(comparisons: Sequence[Comparison]) -> None:
    from orchestrator.answers.long import as_csv

    sys.stdout.write(as_csv(comparisons))


def _print_html(comparisons: Sequence[Comparison]) -> None:
    from orchestrator.answers.page import as_html

    sys.stdout.write(as_html(comparisons))


FORMATS: Mapping[str, Callable[[Sequence[Comparison]], None]] = {
    "table": _print_tables,
    "markdown": _print_markdown,
    "latex": _print_latex,
    "csv": _print_csv,
    "html": _print_html,
}


if __name__ == "__main__":
    sys.exit(main())
