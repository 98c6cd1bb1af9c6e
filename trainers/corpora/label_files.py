"""Label files: text read line by line or row by row, with everything that is wrong in it said at once."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from trainers.errors import UserError, unknown

SHOWN = 50
"""How many errors a refusal lists; it counts the rest."""


def lines_of(path: Path, problems: list[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, of a UTF-8 file; a line that is not UTF-8 is noted in `problems`, not given.

    UserError: the file cannot be read.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if _is_utf8(line):
                yield number, line.rstrip("\r\n")
            else:
                problems.append(f"{path.name} line {number}: it is not UTF-8")


def rows_of(
    path: Path,
    columns: Sequence[str],
    problems: list[str],
    *,
    optional: Sequence[str] = (),
    others: bool = True,
    tabs: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """The line's number and the values of `columns` and `optional` (stripped, "" where absent), row by row.

    Comma-separated with quotes, or with `tabs` tab-separated without any quoting (Common Voice has bare quotes in its
    sentences). A row that is not UTF-8 or has another number of fields than the header is noted in `problems`.
    UserError: the file cannot be read, lacks a column, has one twice, or has `others` where they are not allowed.
    """
    with _opened(path) as file:
        reader = csv.reader(file, "excel-tab", quoting=csv.QUOTE_NONE) if tabs else csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            require_columns(path, header, columns, optional, others=others)
            places = {name: header.index(name) if name in header else None for name in (*columns, *optional)}
            for row in reader:
                wrong = _wrong(row, len(header))
                if wrong:
                    problems.append(f"{path.name} line {reader.line_num}: {wrong}")
                elif row:
                    yield reader.line_num, {name: _at(row, place) for name, place in places.items()}
        except csv.Error as error:
            raise UserError(f"{path} line {reader.line_num}: {error}") from error


def require_columns(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str] = (), *, others: bool = True
) -> None:
    """UserError where a column is missing or there twice, or, without `others`, where one is not known."""
    missing = [name for name in columns if name not in header]
    if missing:
        raise UserError(f"{path} lacks column {', '.join(missing)}; it must have {', '.join(columns)}")
    twice = sorted({name for name in (*columns, *optional) if list(header).count(name) > 1})
    if twice:
        raise UserError(f"{path} has column {', '.join(twice)} twice")
    strange = [name for name in header if name not in (*columns, *optional)]
    if strange and not others:
        raise unknown(f"column in {path}", ", ".join(strange), (*columns, *optional))


def refuse(problems: Sequence[str], what: str) -> None:
    """UserError with one line a problem, after one that counts them; fine where there is none."""
    if not problems:
        return
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    raise UserError("\n".join([f"{what} has {count}:", *problems[:SHOWN], *more]))


def gender_of(told: str) -> str:
    """Female and male in any spelling that begins so (`Female`, `male_masculine`); all else is "" (not known)."""
    spelt = told.strip().lower()
    return next((gender for gender in ("female", "male") if spelt.startswith(gender)), "")


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """As UTF-8, a byte-order mark allowed; bytes that are none become lone surrogates, so that their line is known."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _at(row: list[str], place: int | None) -> str:
    return "" if place is None else row[place].strip()


def _wrong(row: list[str], width: int) -> str | None:
    if row and len(row) != width:
        return f"it has {len(row)} fields, the header {width}"
    return None if all(map(_is_utf8, row)) else "it is not UTF-8"
