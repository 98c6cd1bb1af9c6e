"""Which files of a corpus are utterances, which are left out and why, and which cannot be read: nothing in silence."""

import filecmp
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trainers.corpora.recordings import SUFFIXES, Header, UnreadableError, decode, header
from trainers.corpora.utterance import Corpus, Labels, LeftOut, Table, Utterance
from trainers.errors import UserError

SHORTEST_S, LONGEST_S = 0.5, 12.0
"""Clips from 0.5 s to 12 s, both included, are kept (Gong et al. 2025 §3.1)."""

STRAY = "its name is not one of this corpus"
UNLISTED = "no label file lists it"
MISSING = "the label files list it, but it is not there"


@dataclass(frozen=True)
class Scan:
    """What lies in a corpus's folder: each audio file is in exactly one of three, by its path below the data root.

    `utterances`: sorted by path. `left_out`: path -> reason. `unreadable`: path -> cause; what label files list but is
    not there is among them.
    `headers`: path -> length and format, of each utterance.
    """

    corpus: Corpus
    utterances: tuple[Utterance, ...]
    left_out: dict[str, str]
    unreadable: dict[str, str]
    headers: dict[str, Header] = field(repr=False)


def scan(data_root: Path, corpus: Corpus, *, thorough: bool = False) -> Scan:
    """Look at every audio file below the corpus's folder; other files are none of our business.

    Headers are read, and with `thorough` the samples too, of those files only whose labels make them utterances.
    UserError: no such folder, no file in it that is one of this corpus, or label files with anything wrong in them.
    """
    folder = corpus_folder(data_root, corpus)
    table = None if corpus.labels_in is None else corpus.labels_in(folder)
    utterances: dict[str, Utterance] = {}
    found = Scan(corpus, (), {}, {}, {})
    first_of_name: dict[str, Path] = {}
    for path in sorted(_files(folder, found)):
        name = _id(corpus, folder, path)
        try:
            verdict = _verdict(path, name, folder, corpus, table, first_of_name, thorough)
        except UnreadableError as error:
            found.unreadable[name] = str(error)
            continue
        if isinstance(verdict, LeftOut):
            found.left_out[name] = verdict.reason
        else:
            utterances[name], found.headers[name] = verdict
    _note_missing(table or {}, found, utterances.keys())
    if not utterances and not found.unreadable and set(found.left_out.values()) <= {STRAY, UNLISTED}:
        raise UserError(f"no file below {folder} has a name of corpus {corpus.name}{_such_as(found.left_out)}")
    kept = tuple(utterances[name] for name in sorted(utterances))
    return Scan(corpus, kept, found.left_out, found.unreadable, found.headers)


def corpus_folder(data_root: Path, corpus: Corpus) -> Path:
    """Where the corpus lies; UserError names the folder expected."""
    if not data_root.is_dir():
        raise UserError(f"data root {str(data_root)!r} is not a folder")
    folder = data_root / corpus.folder
    if not folder.is_dir():
        raise UserError(f"corpus {corpus.name} is not here; its folder is expected at {folder}")
    return folder


def _files(folder: Path, found: Scan) -> Iterator[Path]:
    """Audio files below `folder`. A folder that cannot be listed is noted as unreadable, a linked one as left out."""

    def note(error: OSError) -> None:
        found.unreadable[_id(found.corpus, folder, Path(error.filename))] = error.strerror or str(error)

    for where, folders, files in os.walk(folder, onerror=note):
        for name in folders:
            if Path(where, name).is_symlink():
                found.left_out[_id(found.corpus, folder, Path(where, name))] = "a linked folder is not entered"
        yield from (Path(where, name) for name in files if Path(name).suffix.lower() in SUFFIXES)


def _id(corpus: Corpus, folder: Path, path: Path) -> str:
    """The path below the data root; bytes that are no UTF-8 are spelled out, so that every id can be printed."""
    name = (PurePosixPath(corpus.folder) / path.relative_to(folder).as_posix()).as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _note_missing(table: Table, found: Scan, utterances: Set[str]) -> None:
    """Of what the label files make utterances each must be a file; one that is not would lessen the corpus unseen."""
    seen = utterances | found.left_out.keys() | found.unreadable.keys()
    for below, told in table.items():
        name = f"{found.corpus.folder}/{below}"
        if name not in seen and isinstance(_admitted(told, found.corpus), Labels):
            found.unreadable[name] = MISSING


def _labels(below: PurePosixPath, corpus: Corpus, table: Table | None) -> Labels | LeftOut:
    """What is told of a file, or why it is none of the corpus's utterances."""
    if table is not None:
        return _admitted(table.get(below.as_posix()) or LeftOut(UNLISTED), corpus)
    return _admitted((corpus.parse and corpus.parse(below)) or LeftOut(STRAY), corpus)


def _admitted(labels: Labels | LeftOut, corpus: Corpus) -> Labels | LeftOut:
    if isinstance(labels, LeftOut) or labels.emotion in corpus.emotions:
        return labels
    return LeftOut(f"emotion {labels.emotion!r} is not one of the four classes")


def _verdict(
    path: Path,
    name: str,
    folder: Path,
    corpus: Corpus,
    table: Table | None,
    first_of_name: dict[str, Path],
    thorough: bool,
) -> tuple[Utterance, Header] | LeftOut:
    below = PurePosixPath(path.relative_to(folder).as_posix())
    labels = _labels(below, corpus, table)
    if isinstance(labels, LeftOut):
        return labels
    if not path.resolve().is_relative_to(folder.resolve()):
        return LeftOut("a link that leads out of the corpus's folder")
    if name != (PurePosixPath(corpus.folder) / below).as_posix():
        raise UnreadableError("its path is not UTF-8")
    told = header(path)
    reason = _wrong_length(told.duration_s) or _copy(path, first_of_name.setdefault(path.name, path))
    if reason:
        return LeftOut(reason)
    if thorough:
        decode(path)
    return _utterance(name, corpus, labels, told.duration_s), told


def _utterance(name: str, corpus: Corpus, labels: Labels, duration_s: float) -> Utterance:
    return Utterance(
        path=name,
        corpus=corpus.name,
        language=corpus.language,
        speaker=f"{corpus.name}:{labels.speaker}",
        gender=labels.gender,
        emotion=labels.emotion,
        duration_s=duration_s,
        text=labels.text,
        split=labels.split,
        fold=labels.fold,
    )


def _wrong_length(duration_s: float) -> str | None:
    if duration_s < SHORTEST_S:
        return f"shorter than {SHORTEST_S:g} s"
    return f"longer than {LONGEST_S:g} s" if duration_s > LONGEST_S else None


def _copy(path: Path, first: Path) -> str | None:
    """Some downloads hold a corpus twice, one copy in a folder of its own: the same name and the same bytes."""
    return "a copy of another file" if path != first and filecmp.cmp(path, first, shallow=False) else None


def _such_as(strays: dict[str, str]) -> str:
    return f" ({len(strays)} audio files there, such as {min(strays)!r})" if strays else " (no audio files there)"
