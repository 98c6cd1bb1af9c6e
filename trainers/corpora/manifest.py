"""Any corpus of your own: a folder below the data root with its recordings and one `manifest.csv` (or `.parquet`).

A row a recording; UTF-8, comma-separated, the first row names the columns:

path      where it lies below the folder, with forward slashes: `day1/anna_03.wav`
language  the same in every row, in small letters, digits and hyphens: `german`. Make a folder for each language
speaker   who speaks, any name
gender    female, male, or empty where it is not known
emotion   angry, happy, neutral or sad; one of the further ones (FURTHER_EMOTIONS), which only some methods hear; or
          empty where nobody has labelled it
text      optional: the sentence or its name, for folds by sentence
split     optional: train, valid or test, in all rows or in none
fold      optional: 0 to 4, the fold that tests the recording, in all rows or in none

    path,language,speaker,gender,emotion,text
    day1/anna_03.wav,german,anna,female,happy,Das Licht ist an.

Recordings may be of any format that libsndfile reads and of any rate; those shorter than 0.5 s or longer than 12 s are
left out and counted, as in every corpus. The folder's name is the corpus's name.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainers.corpora import CORPORA
from trainers.corpora.label_files import refuse, require_columns, rows_of
from trainers.corpora.recordings import SUFFIXES
from trainers.corpora.utterance import EMOTIONS, FURTHER_EMOTIONS, GENDERS, SPLITS, UNLABELLED, Corpus, Labels
from trainers.errors import UserError, require, unknown

FILES = ("manifest.csv", "manifest.parquet")
REQUIRED = ("path", "language", "speaker", "gender", "emotion")
OPTIONAL = ("text", "split", "fold")
FOLDS = ("0", "1", "2", "3", "4")
LANGUAGE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NAME = re.compile(r"\w[\w.-]*", re.ASCII)

Row = tuple[str, dict[str, str]]
"""How errors name it (`line 7`), and its values by column."""


def is_manifest(folder: Path) -> bool:
    """Whether a folder holds a corpus with a manifest."""
    return any((folder / name).is_file() for name in FILES)


def manifest_corpus(data_root: Path, folder: str) -> Corpus:
    """The corpus in `data_root/folder`, every row of its manifest checked.

    UserError lists all that is wrong, a line each: a value that breaks a rule above, a recording that is not there or
    not below the folder, a recording listed twice, a speaker of two genders, several languages.
    """
    require(NAME.fullmatch(folder) is not None, "folder", folder, "letters, digits, dots, hyphens and underscores")
    require(folder not in CORPORA, "folder", folder, "none of the known corpora's names")
    file = _manifest(data_root / folder)
    problems: list[str] = []
    rows = _rows(file, problems)
    problems += [f"{file.name} {where}: {wrong}" for where, row in rows for wrong in _wrong(row, file.parent)]
    problems += [f"{file.name} {wrong}" for wrong in (*_repeated(rows), *_uneven(rows))]
    if not rows and not problems:
        raise UserError(f"{file} lists no recording")
    refuse(problems, f"corpus {folder}")
    table = {_normal(row["path"]): _labels(row) for _, row in rows}
    found = {labels.emotion for labels in table.values()}
    return Corpus(
        name=folder,
        language=rows[0][1]["language"],
        folder=folder,
        parse=None,
        citation=f"the manifest {folder}/{file.name}",
        labels_in=lambda _: table,
        further_emotions=tuple(sorted(found - set(EMOTIONS))),
    )


def corpus_at(data_root: Path, name: str) -> Corpus:
    """The known corpus of that name, or the one whose manifest lies in that folder; UserError lists the choices."""
    if name in CORPORA:
        return CORPORA[name]
    if is_manifest(data_root / name):
        return manifest_corpus(data_root, name)
    own = [path.name for path in data_root.glob("*/") if is_manifest(path)] if data_root.is_dir() else []
    raise unknown("corpus", name, [*CORPORA, *own])


def _manifest(folder: Path) -> Path:
    there = [folder / name for name in FILES if (folder / name).is_file()]
    if not there:
        raise UserError(f"{folder} holds no {' or '.join(FILES)}")
    if len(there) > 1:
        raise UserError(f"{folder} holds both {' and '.join(FILES)}; keep one")
    return there[0]


def _rows(file: Path, problems: list[str]) -> list[Row]:
    if file.suffix == ".parquet":
        return _of_parquet(file)
    rows = rows_of(file, REQUIRED, problems, optional=OPTIONAL, others=False)
    return [(f"line {line}", row) for line, row in rows]


def _of_parquet(file: Path) -> list[Row]:
    """Rows from 1; numbers as they print, missing values as ""."""
    try:
        # threads of pyarrow's outlive the reading, and a process that soon ends may then abort
        table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
        columns, values = table.column_names, table.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no parquet that can be read: {str(error).splitlines()[0]}") from error
    require_columns(file, columns, REQUIRED, OPTIONAL, others=False)
    return [
        (f"row {number}", {name: _printed(row.get(name)) for name in (*REQUIRED, *OPTIONAL)})
        for number, row in enumerate(values, start=1)
    ]


def _printed(value: Any) -> str:
    """A column of whole numbers with gaps is one of floats to some writers: 3.0 is 3, NaN is a gap."""
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _wrong(row: dict[str, str], folder: Path) -> Iterator[str]:
    """What is wrong in a row by itself, with the value, the rule and the choices."""
    yield from _wrong_path(row["path"], folder)
    if not LANGUAGE.fullmatch(row["language"]):
        yield f"language is {row['language']!r}; it must be small letters, digits and hyphens"
    if not row["speaker"]:
        yield "speaker is empty"
    for column, choices in (
        ("gender", (*GENDERS, "")),
        ("emotion", (*EMOTIONS, *FURTHER_EMOTIONS, UNLABELLED)),
        ("split", (*SPLITS, "")),
        ("fold", (*FOLDS, "")),
    ):
        if row[column] not in choices:
            yield f"{column} is {row[column]!r}; it must be {', '.join(choices[:-1])} or empty"


def _wrong_path(told: str, folder: Path) -> Iterator[str]:
    if not told:
        yield "path is empty"
        return
    path, place = PurePosixPath(told), folder / told
    if path.is_absolute() or ".." in path.parts:
        yield f"path {told!r} leads out of the folder; it must lie below it"
    elif not _is_file(place):
        yield f"path {told!r} is no file"
    elif not place.resolve().is_relative_to(folder.resolve()):
        yield f"path {told!r} leads out of the folder by a link"
    elif any((folder / parent).is_symlink() for parent in path.parents[:-1]):
        yield f"path {told!r} lies in a linked folder, which is not entered"
    elif path.suffix.lower() not in SUFFIXES:
        yield f"path {told!r} has no suffix of a recording; there are: {', '.join(sorted(SUFFIXES))}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _repeated(rows: Iterable[Row]) -> Iterator[str]:
    """Recordings that are listed twice, and speakers of two genders."""
    first: dict[str, str] = {}
    told: dict[str, tuple[str, str]] = {}
    for where, row in rows:
        if row["path"] and first.setdefault(_normal(row["path"]), where) != where:
            yield f"{where}: path {row['path']!r} is listed in {first[_normal(row['path'])]} already"
        if row["speaker"] and row["gender"]:
            gender, before = told.setdefault(row["speaker"], (row["gender"], where))
            if gender != row["gender"]:
                yield f"{where}: speaker {row['speaker']!r} is {row['gender']}, but {gender} in {before}"


def _uneven(rows: Sequence[Row]) -> Iterator[str]:
    """Several languages, or a split or folds for some rows only."""
    languages = _places_of(rows, "language")
    if len(languages) > 1:
        told = ", ".join(f"{language!r} ({where})" for language, where in languages.items())
        yield f"has {len(languages)} languages: {told}; a manifest has one, make a folder for each"
    for column in ("split", "fold"):
        places = _places_of(rows, column)
        if "" in places and len(places) > 1:
            yield f"{places['']}: {column} is empty, in other rows it is not; give it in all rows or in none"


def _places_of(rows: Iterable[Row], column: str) -> dict[str, str]:
    """Value -> where it stands first."""
    places: dict[str, str] = {}
    for where, row in rows:
        places.setdefault(row[column], where)
    return places


def _normal(path: str) -> str:
    """`./a//b.wav` is `a/b.wav`."""
    return PurePosixPath(path).as_posix()


def _labels(row: dict[str, str]) -> Labels:
    fold = int(row["fold"]) if row["fold"] else None
    return Labels(row["speaker"], row["gender"], row["emotion"], row["text"], row["split"], fold)
