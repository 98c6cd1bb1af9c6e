"""The answer of a sweep as one page to read, send and print, with its pictures as files for a paper.

    python -m orchestrator.report NAME [--store runs] [--out FOLDER] [--reference CONFIG]

`FOLDER/report.html` needs nothing beside itself; `FOLDER/pictures` has each picture as SVG and PNG. It imports neither
ray nor mlflow.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.diagnosis import SWEEP
from orchestrator.answers.page import main_table, notes, page, section_table
from orchestrator.answers.rows import Row
from orchestrator.answers.shown import answered
from orchestrator.answers.table import reasons
from orchestrator.asked import Asked, named, report_folder
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import Ledger
from orchestrator.pictures import confusions, curves, distances, embeddings, parallel, slices, swept, views
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import Picture, inlined
from orchestrator.pictures.material import Material
from orchestrator.pictures.style import STYLE
from orchestrator.records import publish
from trainers import stores
from trainers.errors import UserError, unknown

CHAPTERS: tuple[Callable[[Material], Chapter], ...] = (
    swept.chapter,
    slices.chapter,
    confusions.chapter,
    embeddings.chapter,
    curves.chapter,
    parallel.chapter,
    distances.chapter,
    views.chapter,
)
"""What comes below the tables, in this order."""

MOST_UNFINISHED, MOST_ROWS, MOST_SECTIONS = 30, 150, 30
"""Of rows that are not complete, of rows of a further table, and of further tables: more would make no page to read."""


def main(words: Sequence[str] | None = None) -> int:
    """0: written; 2: bad input, told in one line."""
    try:
        asked = _parser().parse_args(words)
        print(_written(asked))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m orchestrator.report",
        description="Write a sweep's answer as one page with pictures. Opens test scores, counted.",
    )
    parser.add_argument("name", metavar="NAME", help="a sweep that was run; NAME/DIGEST an earlier one")
    add_store(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (STORE/reports/NAME-DIGEST)")
    parser.add_argument("--reference", metavar="CONFIG", help="compare with this configuration (the sweep's own)")
    return parser


def _written(words: argparse.Namespace) -> Path:
    """All bad input is refused before any test score is opened."""
    store = words.store.expanduser()
    asked = named(store, words.name)[0]
    folder = words.out.expanduser() if words.out else report_folder(store, asked)
    if words.reference is not None:
        names = [one.name for one in asked.configurations]
        if words.reference not in names:
            raise unknown(f"configuration of {asked.sweep}", words.reference, names)
        asked = replace(asked, reference=words.reference)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    ledger = Ledger(store)
    ledger.bring(asked.keys)
    page = write_report(ledger, asked, answered(ledger, asked), folder)
    if words.out is None:
        share(store, asked)
    return page


def share(store: Path, asked: Asked) -> None:
    """Send a sweep's report to the bucket behind its store, where there is one."""
    stores.push(store, report_folder(store, asked).relative_to(store).as_posix())


def write_report(ledger: Ledger, asked: Asked, comparison: Comparison, folder: Path) -> Path:
    """Write `report.html` and `pictures/` into a folder; returns the page's path.

    `comparison` is what was opened already: no further opening is made or counted. A chapter that fails says so in its
    place, so that one fault does not cost the others. Raises UserError or OSError, where the store cannot be read or
    the folder cannot be written.
    """
    material = Material(ledger, asked, comparison)
    chapters = [_guarded(each, material) for each in CHAPTERS]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for one in _pictures(chapters):
        (folder / "pictures" / f"{one.name}.svg").write_text(one.svg, encoding="utf-8")
        (folder / "pictures" / f"{one.name}.png").write_bytes(one.png)
    path = folder / "report.html"
    publish(path, page(f"{asked.sweep}: report", STYLE, _body(material, chapters)).encode())
    return path


def _guarded(made: Callable[[Material], Chapter], material: Material) -> Chapter:
    try:
        return made(material)
    except (UserError, OSError):
        raise
    except Exception as error:
        what = made.__module__.rpartition(".")[2]
        return Chapter(what, (f"This part could not be made: {type(error).__name__}: {error}",))


def _pictures(chapters: Iterable[Chapter]) -> Iterator[Picture]:
    return (one for chapter in chapters for group in chapter.groups for one in group.pictures)


# --- the page


def _body(material: Material, chapters: Sequence[Chapter]) -> Iterator[str]:
    yield from _head(material)
    yield from _tables(material)
    for sentence in material.left_out():
        yield f"<p>{escape(sentence)}</p>"
    key = material.key()
    if key:
        yield from section_table(key)
    for chapter in chapters:
        yield from _chapter(chapter)


def _head(material: Material) -> Iterator[str]:
    """What was asked, how, and what may be claimed; the demo's note before everything else."""
    asked, comparison = material.asked, material.comparison
    yield "<header>"
    if asked.note:
        yield f'<p class="warning" role="note"><strong>{escape(asked.note)}</strong></p>'
    yield f"<h1>{escape(asked.sweep)}</h1>\n<p><strong>{escape(asked.question)}</strong></p>"
    yield _facts(asked, comparison)
    yield "</header>\n<h2>What may be claimed</h2>"
    yield from notes([note for note in comparison.notes if note not in (asked.note, f"question: {asked.question}")])
    if comparison.diagnoses:
        yield "<h3>Failures that were found</h3>"
        told = {
            name: found for name, found in comparison.diagnoses.items() if name in (*material.few_and_chosen, SWEEP)
        }
        more = len(comparison.diagnoses) - len(told)
        others = [f"{more} further configurations: see the table"] if more else []
        yield from notes([*(f"{name}: {found}" for name, found in told.items()), *others])
        yield "<p>The table called diagnosis below has their numbers and what to try next.</p>"


def _facts(asked: Asked, comparison: Comparison) -> str:
    facts = {
        "asked": asked.at,
        "commit": asked.commit or "not known",
        "command": asked.command,
        "protocol": f"{asked.protocol}, folds by {asked.folds_by}",
        "languages": ", ".join(comparison.languages),
        "chosen by": f"validation ({comparison.selector})",
        "reference": comparison.reference or "none",
        **asked.conditions,
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>\n" for name, value in facts.items())
    return f"<dl>\n{rows}</dl>"


def _tables(material: Material) -> Iterator[str]:
    comparison = material.comparison
    shown = replace(
        comparison,
        rows=tuple(row for row in comparison.rows if row.name in comparison.listed),
        unfinished=comparison.unfinished[:MOST_UNFINISHED],
    )
    yield "<h2>The table</h2>"
    yield (
        "<p>Three lines for each configuration. Validation chose; test was opened afterwards, and its best value is "
        "not marked. Floors are reached without any such training: a method that is not above them has shown "
        "nothing.</p>"
    )
    yield main_table(shown)
    yield from notes([*_left_out(comparison, shown), *reasons(shown)])
    yield "<h2>Further tables</h2>"
    for section in comparison.sections[:MOST_SECTIONS]:
        yield from section_table(section, MOST_ROWS)
    more = len(comparison.sections) - MOST_SECTIONS
    if more > 0:
        yield f"<p>{more} more tables: orchestrator.compare {escape(comparison.sweep)} has them.</p>"


def _left_out(comparison: Comparison, shown: Comparison) -> Iterator[str]:
    for what, every, some in (
        ("complete", comparison.rows, shown.rows),
        ("incomplete or dropped", comparison.unfinished, shown.unfinished),
    ):
        counted: tuple[Sequence[Row], Sequence[Row]] = (every, some)
        more = len(counted[0]) - len(counted[1])
        if more:
            yield f"{more} more {what} configurations: orchestrator.compare {comparison.sweep} --format html has all"


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f"<section>\n<h2>{escape(chapter.title)}</h2>"
    for sentence in chapter.read:
        yield f"<p>{escape(sentence)}</p>"
    for section in chapter.sections:
        yield from section_table(section, MOST_ROWS)
    for group in chapter.groups:
        yield from _group(group)
    yield "</section>"


def _group(group: Group) -> Iterator[str]:
    yield f'<figure>\n<figcaption>{escape(group.caption)}</figcaption>\n<div class="panels">'
    for one in group.pictures:
        kind = "panel broad" if one.is_wide else "panel"
        yield f'<div class="{kind}">{inlined(one)}</div>'
    yield "</div>\n</figure>"


if __name__ == "__main__":
    sys.exit(main())
