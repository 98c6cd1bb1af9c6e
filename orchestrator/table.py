"""A comparison for the eye: a table for the terminal, plain text for a log, Markdown for an artifact."""

from collections.abc import Iterator, Sequence
from io import StringIO
from math import isnan

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from orchestrator.compare import Comparison
from orchestrator.rows import MEASURES, Mean, Measures, Row
from orchestrator.section import Section

TITLE = "UAR, macro-F1 and accuracy in %, mean (sd) over folds"
MEASURE_NAMES = {"uar": "UAR", "macro_f1": "F1", "accuracy": "acc"}
ABSENT = "–"


def percent(value: Mean | None) -> str:
    """`54.3 (2.1)`; the sd of one fold is n/a; † marks a score pooled over folds."""
    if value is None:
        return ABSENT
    if isnan(value.mean):
        return "n/a"
    spread = "†" if value.pooled else " (n/a)" if isnan(value.sd) else f" ({100 * value.sd:.1f})"
    return f"{100 * value.mean:.1f}{spread}"


def render(comparison: Comparison) -> Group:
    """For a rich console: one entry of three lines (UAR, F1, accuracy) per configuration, notes below."""
    table = Table(title=f"{comparison.sweep}: {TITLE}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("configuration", no_wrap=True)
    table.add_column("valid UAR", justify="right")
    table.add_column("test", justify="right", no_wrap=True)
    for heading in _places(comparison):  # on a narrow terminal a mean stands above its sd, and nothing is cut off
        table.add_column(heading, justify="right")
    for part in _parts(comparison):
        for row in part:
            for line in _cells(comparison, row):
                table.add_row(*line)
        table.add_section()
    reasons = [f"{row.name}: incomplete, {row.reason}" for row in _incomplete(comparison)]
    lines = (Text(f"· {line}") for line in (*reasons, *comparison.notes))
    return Group(table, *lines, *(part for section in comparison.sections for part in _section(section)))


def _section(section: Section) -> Iterator[Table | Text]:
    table = Table(title=section.title, box=box.SIMPLE_HEAD, title_justify="left")
    for place, heading in enumerate(section.headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in section.rows:
        table.add_row(*(Text(word) for word in row))
    yield from (Text(""), table)
    yield from (Text(f"· {line}") for line in section.notes)


def as_text(comparison: Comparison) -> str:
    """The same without colours, as wide as it needs to be."""
    console = Console(file=StringIO(), width=400, color_system=None)
    with console.capture() as captured:
        console.print(render(comparison))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """One line per configuration, a column for each score of each language."""
    headings = ["configuration", "valid UAR"]
    headings += [f"{place} {MEASURE_NAMES[name]}" for place in _places(comparison) for name in MEASURES]
    lines = [f"**{comparison.sweep}**: {TITLE}", "", _line(headings), _line(["---"] * len(headings))]
    for label, part in zip(("", "incomplete: ", "floor: "), _parts(comparison), strict=True):
        lines += [_line([f"{label}{row.name}", percent(row.valid), *_flat(comparison, row)]) for row in part]
    reasons = [f"{row.name}: incomplete, {row.reason}" for row in _incomplete(comparison)]
    below = [line for section in comparison.sections for line in _section_lines(section)]
    return "\n".join([*lines, "", *(f"- {line}" for line in (*reasons, *comparison.notes)), *below]) + "\n"


def _section_lines(section: Section) -> list[str]:
    rows = [_line(row) for row in (section.headings, ["---"] * len(section.headings), *section.rows)]
    notes = ["", *(f"- {line}" for line in section.notes)] if section.notes else []
    return ["", f"**{section.title}**", "", *rows, *notes]


def _parts(comparison: Comparison) -> tuple[Sequence[Row], ...]:
    return comparison.rows, comparison.unfinished, comparison.floors


def _incomplete(comparison: Comparison) -> Iterator[Row]:
    return (row for part in _parts(comparison) for row in part if not row.complete)


def _places(comparison: Comparison) -> list[str]:
    return [*comparison.languages, "macro", *(f"{name} (held out)" for name in comparison.held_out)]


def _measured(comparison: Comparison, row: Row) -> list[Measures | None]:
    tested = [row.test.get(name) for name in comparison.languages]
    return [*tested, row.macro, *(row.test.get(name) for name in comparison.held_out)]


def _cells(comparison: Comparison, row: Row) -> Iterator[list[str | Text]]:
    """A line for each score; the first one also names the configuration and its validation UAR."""
    chosen = comparison.verdict is not None and row is comparison.verdict.winner
    name = f"{row.name} ◄ chosen" if chosen else row.name if row.complete else f"{row.name} ({row.done}/{row.planned})"
    for key in MEASURES:
        scores = [percent(_pick(place, key)) for place in _measured(comparison, row)]
        heads = key == MEASURES[0]
        yield [Text(name if heads else ""), percent(row.valid) if heads else "", MEASURE_NAMES[key], *scores]


def _flat(comparison: Comparison, row: Row) -> list[str]:
    return [percent(_pick(place, name)) for place in _measured(comparison, row) for name in MEASURES]


def _pick(measures: Measures | None, name: str) -> Mean | None:
    picked: Mean | None = getattr(measures, name, None)
    return picked


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
