"""A comparison for the eye: a table for the terminal, plain text for a log, Markdown for an artifact."""

from collections.abc import Iterator, Sequence
from io import StringIO
from math import isnan

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.rows import MEASURES, Mean, Measures, Row
from orchestrator.answers.section import Section

MEASURE_NAMES = {"uar": "UAR", "macro_f1": "F1", "accuracy": "acc"}
ABSENT = "–"
SHARED = "‡"
"""Marks a language whose folds are not speaker-disjoint."""


def title(comparison: Comparison) -> str:
    """What the numbers are; how many folds they are means over, where that is the same for all."""
    usual = comparison.usual_folds
    folds = f"n = {usual} fold{'s' if usual > 1 else ''}" if usual else "folds"
    shared = f"; {SHARED}: folds not speaker-disjoint" if comparison.shared_speakers else ""
    return f"{comparison.sweep}: UAR, macro-F1 and accuracy in %, mean (sd) over {folds}{shared}"


def percent(value: Mean | None, usual: int | None = None) -> str:
    """`54.3 (2.1)`; the sd of one fold is n/a; † marks a score pooled over folds. `(2.1, n 3)` where the number of
    folds is not the table's `usual` one."""
    if value is None:
        return ABSENT
    if isnan(value.mean):
        return "n/a"
    count = "" if usual in (None, value.n) else f", n {value.n}"
    spread = f"†{f' ({count[2:]})' if count else ''}" if value.pooled else f" ({_sd(value)}{count})"
    return f"{100 * value.mean:.1f}{spread}"


def _sd(value: Mean) -> str:
    return "n/a" if isnan(value.sd) else f"{100 * value.sd:.1f}"


def render(comparison: Comparison) -> Group:
    """For a rich console: one entry of three lines (UAR, F1, accuracy) per configuration, notes below."""
    table = Table(title=title(comparison), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("configuration", no_wrap=True)
    table.add_column("valid UAR", justify="right")
    table.add_column("test", justify="right", no_wrap=True)
    for heading in places(comparison):  # on a narrow terminal a mean stands above its sd, and nothing is cut off
        table.add_column(heading, justify="right")
    shown = [row for row in comparison.rows if row.name in comparison.listed]
    for part in (shown, *parts(comparison)[1:]):
        for row in part:
            for line in lines(comparison, row):
                table.add_row(*map(Text, line))
        table.add_section()
    below = (Text(f"· {line}") for line in (*_left_out(comparison), *reasons(comparison), *comparison.notes))
    return Group(table, *below, *(part for section in comparison.sections for part in _section(section)))


def _left_out(comparison: Comparison) -> Iterator[str]:
    more = len(comparison.rows) - len(comparison.listed)
    if more:
        yield (
            f"{more} more configurations: here are the reference, the chosen one and the best by validation; "
            "--format markdown, latex, csv and html have all"
        )


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
    usual = comparison.usual_folds
    headings = ["configuration", "valid UAR"]
    headings += [f"{place} {MEASURE_NAMES[name]}" for place in places(comparison) for name in MEASURES]
    told = [f"**{title(comparison)}**", "", _line(headings), _line(["---"] * len(headings))]
    for label, part in zip(("", "incomplete: ", "floor: "), parts(comparison), strict=True):
        for row in part:
            scores = [percent(_pick(at, name), usual) for at in measured(comparison, row) for name in MEASURES]
            told.append(_line([f"{label}{row.name}", validation(row), *scores]))
    below = [line for section in comparison.sections for line in _section_lines(section)]
    return "\n".join([*told, "", *(f"- {line}" for line in (*reasons(comparison), *comparison.notes)), *below]) + "\n"


def _section_lines(section: Section) -> list[str]:
    rows = [_line(row) for row in (section.headings, ["---"] * len(section.headings), *section.rows)]
    notes = ["", *(f"- {line}" for line in section.notes)] if section.notes else []
    return ["", f"**{section.title}**", "", *rows, *notes]


def parts(comparison: Comparison) -> tuple[Sequence[Row], ...]:
    """Complete rows, those that are not, and floors."""
    return comparison.rows, comparison.unfinished, comparison.floors


def reasons(comparison: Comparison) -> Iterator[str]:
    """Why rows are not complete, one line each."""
    for row in (row for part in parts(comparison) for row in part if not row.complete):
        yield f"{row.name}: {'' if row.reason.startswith('dropped') else 'incomplete, '}{row.reason}"


def places(comparison: Comparison) -> list[str]:
    """Headings of the columns of test scores."""
    marked = [f"{name} {SHARED}" if name in comparison.shared_speakers else name for name in comparison.languages]
    return [*marked, "macro", *(f"{name} (held out)" for name in comparison.held_out)]


def measured(comparison: Comparison, row: Row) -> list[Measures | None]:
    """A row's scores in these columns."""
    tested = [row.test.get(name) for name in comparison.languages]
    return [*tested, row.macro, *(row.test.get(name) for name in comparison.held_out)]


def lines(comparison: Comparison, row: Row) -> Iterator[list[str]]:
    """A line for each score; the first one also names the configuration and its validation UAR. A row without any
    test score has one line alone."""
    usual, tested = comparison.usual_folds, measured(comparison, row)
    if not any(tested):
        yield [called(comparison, row), validation(row), ABSENT, *(ABSENT for _ in tested)]
        return
    for key in MEASURES:
        scores = [percent(_pick(place, key), usual) for place in tested]
        heads = [called(comparison, row), validation(row)] if key == MEASURES[0] else ["", ""]
        yield [*heads, MEASURE_NAMES[key], *scores]


def validation(row: Row) -> str:
    """Its validation UAR; of a row that is not complete none: a mean over fewer folds would pass for that of all."""
    return percent(row.valid) if row.complete else ABSENT


def called(comparison: Comparison, row: Row) -> str:
    """A row's name, with a mark where it is the chosen one, or how many of its cells are done."""
    chosen = comparison.verdict is not None and row is comparison.verdict.winner
    return f"{row.name} ◄ chosen" if chosen else row.name if row.complete else f"{row.name} ({row.done}/{row.planned})"


def _pick(measures: Measures | None, name: str) -> Mean | None:
    picked: Mean | None = getattr(measures, name, None)
    return picked


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
