"""Does anything that was heard in training share clips, speakers or recordings with what was tested?

    python -m orchestrator.audit NAME [--store runs]              every cell of a sweep that was run
    python -m orchestrator.audit --splits FILE.csv --data ROOT    anybody's folds: columns fold, part, path[, speaker]

A sweep's cells are checked by the clips that their results name as tested and by those that their training heard, of
which the hash in the result's key is proof. It imports neither ray nor mlflow. Exit code 0: nothing is shared, 1:
something is, or could not be checked, 2: bad input.
"""

import csv
import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path, PurePosixPath

from orchestrator.asked import Asked, named
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import Ledger
from trainers import stores
from trainers.corpora.copies import copies_among, fingerprint, twins
from trainers.corpora.prepared import Prepared, open_prepared
from trainers.corpora.recordings import UnreadableError, decode
from trainers.errors import UserError, unknown
from trainers.leakage import Known, Leaks, leaks
from trainers.protocols import protocol_named
from trainers.result import Result
from trainers.spec import CellSpec
from trainers.split import Split, joined
from trainers.splits import Splits

PARTS = ("train", "valid", "test")
COLUMNS = ("fold", "part", "path")

MOST_VERSIONS = 64
"""Of prepared audio, corpus by corpus, that are tried for the one that a cell was trained on."""

SHOWN = 3


@dataclass
class Verdict:
    """Of a group of tests: how many there were, how many share something, and what, by kind."""

    checked: int = 0
    leaking: int = 0
    found: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, found: Leaks, *, speakers_allowed: bool) -> None:
        told = {
            "clips": found.clips,
            "speakers": () if speakers_allowed else found.speakers,
            "same audio": [" = ".join(pair) for pair in found.audio],
            "same recording": [" ~ ".join(pair) for pair in found.copies],
        }
        self.checked += 1
        self.leaking += any(map(len, told.values()))
        for kind, names in told.items():
            self.found[kind].update(names)

    def lines(self, name: str, of: str) -> Iterator[str]:
        """`urdu: 15 cells, nothing shared`, or what is, the first of each kind by name."""
        tests = f"{self.checked} {of}{'' if self.checked == 1 else 's'}"
        if not self.leaking:
            yield f"✓ {name}: {tests}, nothing of what is tested was heard"
            return
        yield f"✗ {name}: {self.leaking} of {tests} heard something of what is tested"
        for kind, names in self.found.items():
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                yield f"    {kind}: {', '.join(sorted(names)[:SHOWN])}{more}"


def main(words: Sequence[str] | None = None) -> int:
    """Exit codes as the file's head tells them."""
    try:
        asked = _parser().parse_args(words)
        if bool(asked.name) == bool(asked.splits):
            raise UserError("name a sweep, or give --splits FILE.csv with --data ROOT")
        return _of_splits(asked.splits, asked.data) if asked.splits else _of_sweep(asked.store.expanduser(), asked.name)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    parser = Parser(
        prog="python -m orchestrator.audit",
        description="Does what was heard in training share clips, speakers or recordings with what was tested?",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a sweep that was run; NAME/DIGEST an earlier one")
    add_store(parser)
    parser.add_argument(
        "--splits", type=Path, metavar="FILE.csv", help="folds: columns fold, part, path and, if told, speaker"
    )
    parser.add_argument("--data", type=Path, metavar="ROOT", help="with --splits: the folder that its paths begin in")
    return parser


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


# --- a sweep that was run


def _of_sweep(store: Path, name: str) -> int:
    asked = named(store, name)[0]
    keys = asked.keys
    stores.bring_all(store / "prepared")
    Ledger(store).bring(keys)
    ledger, speech = Ledger(store), Speech(store / "prepared")
    verdicts: dict[str, Verdict] = defaultdict(Verdict)
    missing, unknown_speech, untold = 0, 0, 0
    for key in sorted(keys):
        result = ledger.read(key)
        if result is None:
            missing += 1
        elif (found := speech.of(result.spec)) is None:
            unknown_speech += 1
        elif not result.predictions:
            untold += 1
        else:
            _check(asked, result, *found, verdicts)
    for language in sorted(verdicts):
        _say(verdicts[language].lines(language, "cell"))
    if missing:
        print(f"· {missing} of {len(keys)} cells have no result")
    if unknown_speech:
        print(f"✗ {unknown_speech} of {len(keys)} cells cannot be checked: what they heard is not prepared in {store}")
    if untold:
        print(f"✗ {untold} of {len(keys)} cells cannot be checked: their results do not name what they were tested on")
    return 1 if unknown_speech or untold or not verdicts or any(each.leaking for each in verdicts.values()) else 0


def _check(asked: Asked, result: Result, prepared: Prepared, split: Split, verdicts: Mapping[str, Verdict]) -> None:
    """A cell's tests, language by language: what its result says it was tested on, against all that it heard."""
    known = Known(
        {clip.id: clip.speaker for clip in prepared.utterances}, prepared.fingerprints, twins(prepared.copies)
    )
    heard = heard_by(split)
    tested: dict[str, set[str]] = defaultdict(set)
    for row in result.predictions:
        tested[row["part"].partition("/")[2]].add(row["id"])
    for language, ids in tested.items():
        verdicts[language].add(leaks(heard, ids, known), speakers_allowed=language in asked.shared_speakers)


def heard_by(split: Split) -> set[str]:
    """All clips that a cell's training, its stage and the choice of its weights hear; not those of other languages that
    only configurations are chosen by."""
    chosen_by = split.valid.get("hrl", split.valid.get("target", ()))
    return {*split.labelled, *joined(split.unlabelled.values()), *joined(split.stage.values()), *chosen_by}


class Speech:
    """Prepared audio below `home`, found again by what a cell's key is a hash of."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._opened: dict[tuple[Path, ...], Prepared] = {}
        self._splits: dict[tuple[tuple[Path, ...], str, str], Splits] = {}

    def of(self, spec: CellSpec) -> tuple[Prepared, Split] | None:
        """The corpora that a cell was trained on and its split; None where they are not here any more. A cell that was
        trained before copies were left out has its split as it was then."""
        for folders in self._versions(spec):
            with suppress(UserError):  # damaged, or it lacks a language: another version may be the one
                splits = self._splits_of(folders, spec)
                kept = splits.twins
                try:
                    for splits.twins in (kept, {}):
                        split = splits.of(spec.target, spec.fold, spec.config)
                        if split.fingerprint(self._opened[folders]) == spec.data_fingerprint:
                            return self._opened[folders], split
                finally:
                    splits.twins = kept
        return None

    def _versions(self, spec: CellSpec) -> Iterable[tuple[Path, ...]]:
        """Each corpus's prepared folders, the newest first; a corpus that was never prepared was not heard."""
        corpora = dict.fromkeys(protocol_named(spec.protocol).corpora)
        there = [sorted(self.home.glob(f"{name}-????????????????"), key=_age, reverse=True) for name in corpora]
        return islice((each for each in product(*filter(None, there)) if each), MOST_VERSIONS)

    def _splits_of(self, folders: tuple[Path, ...], spec: CellSpec) -> Splits:
        if folders not in self._opened:
            self._opened[folders] = open_prepared(folders)
        name = (folders, spec.protocol, spec.folds_by)
        if name not in self._splits:
            self._splits[name] = Splits(protocol_named(spec.protocol), self._opened[folders], spec.folds_by)
        return self._splits[name]


def _age(folder: Path) -> float:
    return folder.stat().st_mtime


# --- anybody's folds


@dataclass(frozen=True)
class Dealt:
    """A line of somebody's split."""

    fold: str
    part: str
    path: str
    speaker: str


def _of_splits(file: Path, data: Path | None) -> int:
    if data is None or not data.is_dir():
        raise UserError(f"--splits needs --data ROOT, a folder that its paths begin in; it is {str(data)!r}")
    dealt = read_splits(file)
    known = _heard(dealt, data)
    clean = True
    for fold in dict.fromkeys(line.fold for line in dealt):
        heard, tested = (_ids(dealt, fold, parts) for parts in (("train", "valid"), ("test",)))
        if not heard or not tested:
            print(f"✗ fold {fold}: nothing is {'trained on' if tested else 'tested'}, so there is nothing to compare")
            clean = False
            continue
        verdict = Verdict()
        verdict.add(leaks(heard, tested, known), speakers_allowed=False)
        clean &= not verdict.leaking
        _say(verdict.lines(f"fold {fold}", "test part"))
    if not known.speakers:
        print("· no column speaker: speakers were not compared")
    elif lacking := {line.path for line in dealt} - known.speakers.keys():
        print(f"· {len(lacking)} clips have no speaker and were compared by their sound alone, {min(lacking)} first")
    return 0 if clean else 1


def _ids(dealt: Sequence[Dealt], fold: str, parts: Sequence[str]) -> list[str]:
    return [line.path for line in dealt if line.fold == fold and line.part in parts]


def read_splits(file: Path) -> list[Dealt]:
    """The lines of a CSV file; UserError with the line that is wrong."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if lacking:
                raise UserError(f"{file} lacks the column {lacking[0]!r}; it must have {', '.join(COLUMNS)}")
            lines = [_dealt(file, number, row) for number, row in enumerate(rows, 2)]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not lines:
        raise UserError(f"{file} has no line below its heading")
    speakers: dict[str, str] = {}
    for line in lines:
        if line.speaker and speakers.setdefault(line.path, line.speaker) != line.speaker:
            raise UserError(f"{file} tells two speakers of {line.path!r}: {speakers[line.path]!r}, {line.speaker!r}")
    return lines


def _dealt(file: Path, number: int, row: Mapping[str, str | None]) -> Dealt:
    fold, part, path = ((row[name] or "").strip() for name in COLUMNS)
    if part not in PARTS:
        raise unknown(f"part in line {number} of {file}:", part, PARTS)
    if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
        raise UserError(f"path in line {number} of {file} is {path!r}; it must lie below --data")
    return Dealt(fold, part, PurePosixPath(path).as_posix(), (row.get("speaker") or "").strip())


def _heard(dealt: Sequence[Dealt], data: Path) -> Known:
    """Every file's audio and fingerprint; UserError for one that cannot be read."""
    paths = sorted({line.path for line in dealt})
    hashes, prints = {}, []
    for path in paths:
        try:
            samples = decode(data / path)
        except UnreadableError as error:
            raise UserError(f"{data / path} cannot be read: {error}") from error
        hashes[path] = hashlib.sha256(samples.tobytes()).hexdigest()
        prints.append(fingerprint(samples))
    speakers = {line.path: line.speaker for line in dealt if line.speaker}
    return Known(speakers, hashes, twins(copies_among(paths, prints)))


if __name__ == "__main__":
    sys.exit(main())
