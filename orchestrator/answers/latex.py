r"""A comparison as LaTeX, to be read with \input; the tables need \usepackage{booktabs}, the letters nothing else."""

import unicodedata
from collections.abc import Sequence
from itertools import chain

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.section import Section
from orchestrator.answers.table import lines, parts, places, reasons, title

SPECIAL = {
    "§": r"\S{}",
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "—": "---",
    "−": r"$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≠": r"$\neq$",
    "√": r"$\surd$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "↔": r"$\leftrightarrow$",
    "Δ": r"$\Delta$",
    "Σ": r"$\Sigma$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "…": r"\ldots{}",
    "’": "'",
    "²": r"\textsuperscript{2}",
    "◄": r"$\triangleleft$",
}


SIZES = ((r"\footnotesize", 4.3, 6), (r"\scriptsize", 4.0, 3), (r"\tiny", 3.4, 2))
"""How a table may be set, the largest first: size, about how many points a letter takes, points beside each column."""

TEXT_WIDTH = 345
"""Points, of LaTeX's article on A4 or letter paper."""


def as_latex(comparison: Comparison) -> str:
    """The main table, the notes as a list, and a table for each section."""
    headings = ["configuration", "valid UAR", "test", *places(comparison)]
    groups = [[line for row in part for line in lines(comparison, row)] for part in parts(comparison) if part]
    told = [line for section in comparison.sections for line in _section(section)]
    notes = [*reasons(comparison), *comparison.notes]
    return "\n".join([*_table(title(comparison), headings, groups), *_items(notes), *told]) + "\n"


def _section(section: Section) -> list[str]:
    return ["", *_table(section.title, section.headings, [section.rows]), *_items(section.notes)]


def _table(caption: str, headings: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    body = ["\\midrule\n" + "\n".join(map(_line, rows)) for rows in groups if rows]
    columns = "l" + "r" * (len(headings) - 1)
    size, beside = _size([[max(each.split(), key=len, default="") for each in headings], *chain(*groups)])
    return [
        r"\begin{table}",
        rf"\centering{size}\setlength{{\tabcolsep}}{{{beside}pt}}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(_stacked(heading, "r" if place else "l") for place, heading in enumerate(headings)) + r" \\",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _stacked(heading: str, side: str) -> str:
    """A heading word below word, as narrow as it can be."""
    words = r"\\ ".join(_guarded(escaped(word)) for word in heading.split())
    return rf"\shortstack[{side}]{{{words}}}"


def _size(rows: Sequence[Sequence[str]]) -> tuple[str, int]:
    """The largest size in which the rows fit between the margins, else the smallest, and what is beside each column."""
    letters = sum(max(map(len, column)) for column in zip(*rows, strict=True))
    fitting = [each for each in SIZES if letters * each[1] + 2 * each[2] * len(rows[0]) <= TEXT_WIDTH]
    size, _, beside = (fitting or SIZES[-1:])[0]
    return size, beside


def _items(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return [r"\begin{itemize}\sloppy", *(rf"\item {_guarded(escaped(note))}" for note in notes), r"\end{itemize}"]


def _line(cells: Sequence[str]) -> str:
    first, *others = map(escaped, cells)
    return " & ".join([_guarded(first), *others]) + r" \\"


def _guarded(text: str) -> str:
    r"""A bracket that begins a row or an item would be read as the option of \\ or \item."""
    return "{}" + text if text.startswith(("[", "*")) else text


def escaped(text: str) -> str:
    """Plain text as LaTeX in ASCII: what is special is escaped, Greek is set as mathematics, accents as ASCII."""
    return "".join(_letter(letter) for letter in " ".join(text.split()))


def _letter(letter: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    if letter.isascii():
        return letter
    name = unicodedata.name(letter, "").split()
    if name[:3] == ["GREEK", "SMALL", "LETTER"] and len(name) == 4:
        return rf"$\{_GREEK.get(name[3], name[3].lower())}$"
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return "".join(SPECIAL.get(each, each) for each in plain) or f"(U+{ord(letter):04X})"


_GREEK = {"LAMDA": "lambda", "OMICRON": "mathrm{o}", "FINAL": "varsigma"}
"""Letters that Unicode calls otherwise than TeX."""
