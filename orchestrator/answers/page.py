"""A comparison as one plain page of HTML: tables with captions and headings that a screen reader can follow."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.rows import Row
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
.word { text-align: left; white-space: normal; min-width: 14rem; }
thead, tbody { border-bottom: 1px solid; }
"""

LONGEST_NUMBER = 30
"""Letters of a cell: `+12.3 (−10.1 to 24.7)` has less."""

LABELS = ("complete", "incomplete", "floor")


def as_html(comparisons: Sequence[Comparison]) -> str:
    """All comparisons below one another; needs nothing beside itself."""
    heading = ", ".join(each.sweep for each in comparisons)
    return page(heading, STYLE, [line for each in comparisons for line in _body(each)])


def page(heading: str, style: str, body: Iterable[str]) -> str:
    """A whole page of HTML."""
    lines_of_body = "\n".join(body)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(heading)}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n{lines_of_body}\n</main>\n</body>\n</html>\n"
    )


def _body(comparison: Comparison) -> Iterator[str]:
    yield f"<h1>{escape(comparison.sweep)}</h1>"
    yield main_table(comparison)
    yield from notes([*reasons(comparison), *comparison.notes])
    for section in comparison.sections:
        yield from section_table(section)


def main_table(comparison: Comparison) -> str:
    """All configurations and floors with their scores."""
    headings = ["configuration", "valid UAR", "test", *places(comparison)]
    groups = [
        f"<tbody>\n{''.join(_entry(comparison, row, label) for row in part)}</tbody>"
        for label, part in zip(LABELS, parts(comparison), strict=True)
        if part
    ]
    return _table(title(comparison), headings, groups)


def _entry(comparison: Comparison, row: Row, label: str) -> str:
    """A row's lines; its name spans them."""
    said = "" if label == "complete" else f"{label}: "
    first, *others = lines(comparison, row)
    span = f' rowspan="{1 + len(others)}"' if others else ""
    head = f'<th scope="rowgroup"{span}>{escape(said + first[0])}</th><td{span}>{escape(first[1])}</td>'
    return f"<tr>{head}{_cells(first[2:])}</tr>\n" + "".join(f"<tr>{_cells(line[2:])}</tr>\n" for line in others)


def section_table(section: Section, most: int | None = None) -> Iterator[str]:
    """A small table and what a reader must know of it; of its rows at most so many, and how many are left out."""
    shown = section.rows[:most]
    wordy = _wordy(shown)
    rows = [f'<tr><th scope="row">{escape(row[0])}</th>{_cells(row[1:], wordy[1:])}</tr>\n' for row in shown]
    yield _table(section.title, section.headings, [f"<tbody>\n{''.join(rows)}</tbody>"], wordy)
    left_out = len(section.rows) - len(shown)
    yield from notes([*([f"{left_out} more rows are not shown here"] if left_out else []), *section.notes])


def _table(caption: str, headings: Sequence[str], groups: Sequence[str], wordy: Sequence[bool] = ()) -> str:
    kinds = map(_kind, wordy or [False] * len(headings))
    head = "".join(
        f'<th scope="col"{kind}>{escape(heading)}</th>' for heading, kind in zip(headings, kinds, strict=True)
    )
    body = "\n".join(groups)
    return (
        f'<div class="wide" tabindex="0"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n{body}\n</table></div>"
    )


def notes(told: Sequence[str]) -> Iterator[str]:
    """A list of lines; nothing where there is none."""
    if told:
        yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in told) + "</ul>"


def _cells(words: Sequence[str], wordy: Sequence[bool] = ()) -> str:
    kinds = map(_kind, wordy or [False] * len(words))
    return "".join(f"<td{kind}>{escape(word)}</td>" for word, kind in zip(words, kinds, strict=True))


def _wordy(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold sentences: numbers stand to the right, what is longer than any of them is read from the
    left."""
    return [max(map(len, column)) > LONGEST_NUMBER for column in zip(*rows, strict=True)]


def _kind(is_wordy: bool) -> str:
    return ' class="word"' if is_wordy else ""
