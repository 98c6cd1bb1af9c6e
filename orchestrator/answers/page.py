"""A comparison as one plain page of HTML: tables with captions and headings that a screen reader can follow."""

from collections.abc import Iterator, Sequence
from html import escape

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.rows import MEASURES, Row
from orchestrator.answers.section import Section
from orchestrator.answers.table import lines, parts, places, reasons, title

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; font-weight: bold; padding: .5rem 0; }
th, td { padding: .15rem .6rem; text-align: right; vertical-align: top; white-space: nowrap; }
th[scope=row], th[scope=rowgroup] { text-align: left; font-weight: normal; }
thead th:first-child { text-align: left; }
thead, tbody { border-bottom: 1px solid; }
"""

LABELS = ("complete", "incomplete", "floor")


def as_html(comparisons: Sequence[Comparison]) -> str:
    """All comparisons below one another; needs nothing beside itself."""
    heading = ", ".join(each.sweep for each in comparisons)
    body = "\n".join(line for each in comparisons for line in _body(each))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(heading)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(comparison: Comparison) -> Iterator[str]:
    yield f"<h1>{escape(comparison.sweep)}</h1>"
    headings = ["configuration", "valid UAR", "test", *places(comparison)]
    groups = [
        f"<tbody>\n{''.join(_entry(comparison, row, label) for row in part)}</tbody>"
        for label, part in zip(LABELS, parts(comparison), strict=True)
        if part
    ]
    yield _table(title(comparison), headings, groups)
    yield from _notes([*reasons(comparison), *comparison.notes])
    for section in comparison.sections:
        yield from _section(section)


def _entry(comparison: Comparison, row: Row, label: str) -> str:
    """A row's three lines; its name spans them."""
    said = "" if label == "complete" else f"{label}: "
    first, *others = lines(comparison, row)
    span = f' rowspan="{len(MEASURES)}"'
    head = f'<th scope="rowgroup"{span}>{escape(said + first[0])}</th><td{span}>{escape(first[1])}</td>'
    return f"<tr>{head}{_cells(first[2:])}</tr>\n" + "".join(f"<tr>{_cells(line[2:])}</tr>\n" for line in others)


def _section(section: Section) -> Iterator[str]:
    rows = [f'<tr><th scope="row">{escape(row[0])}</th>{_cells(row[1:])}</tr>\n' for row in section.rows]
    yield _table(section.title, section.headings, [f"<tbody>\n{''.join(rows)}</tbody>"])
    yield from _notes(section.notes)


def _table(caption: str, headings: Sequence[str], groups: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "\n".join(groups)
    return (
        f'<div class="wide" tabindex="0"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n{body}\n</table></div>"
    )


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _cells(words: Sequence[str]) -> str:
    return "".join(f"<td>{escape(word)}</td>" for word in words)
