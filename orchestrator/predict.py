"""What a model hears in recordings.

    python -m orchestrator.predict MODEL file.wav … [--format table|csv|json] [--store runs] [--tracking-uri URI]

MODEL is a registered name (`foldwise-byol_tau-urdu`, its newest version), a version or alias of it (`…/3`, `…@best`,
`models:/…`), or a model's folder (`runs/models/KEY`), which takes no MLflow.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from orchestrator.command_line import Parser, add_store
from orchestrator.tracking import default_uri
from trainers import model_files, stores
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError, unknown
from trainers.predictor import Predictor, Samples, listen

AT_ONCE = 64
"""Recordings that are in memory together."""


@dataclass(frozen=True)
class Heard:
    """A recording and the probability of each emotion."""

    path: str
    probabilities: Mapping[str, float]

    @property
    def emotion(self) -> str:
        """The likeliest."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


def main(words: Sequence[str] | None = None) -> int:
    """0: all are told; 1: some recordings could not be heard, each told in a line; 2: bad input."""
    try:
        asked = _parser().parse_args(words)
        if asked.format not in FORMATS:
            raise unknown("format", asked.format, FORMATS)
        predictor = _predictor(asked)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bad: list[str] = []
    FORMATS[asked.format](list(_heard(predictor, asked.files, bad)))
    for line in bad:
        print(f"error: {line}", file=sys.stderr)
    return 1 if bad else 0


def _parser() -> Parser:
    parser = Parser(prog="python -m orchestrator.predict", description="Tell the emotions that a model hears.")
    parser.add_argument("model", metavar="MODEL", help="registered name, NAME/VERSION, NAME@ALIAS, or a model's folder")
    parser.add_argument("files", metavar="FILE", nargs="+", help="recordings of any length and rate")
    parser.add_argument("--format", default="table", metavar="KIND", help=f"{' | '.join(FORMATS)} (table)")
    add_store(parser)
    parser.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    return parser


def _predictor(asked: argparse.Namespace) -> Predictor:
    store, folder = asked.store.expanduser().resolve(), Path(asked.model).expanduser()
    if re.fullmatch("[0-9a-f]{64}", asked.model):
        stores.bring(store / "models" / asked.model)
    for place in (folder, store / "models" / asked.model):
        if model_files.is_model(place):
            return Predictor(place)
    if not asked.tracking_uri and not (store / "mlflow.db").is_file():
        raise _unknown(asked.model, [], store)
    try:
        return _registered(asked.model, asked.tracking_uri or default_uri(store), store)
    except UserError:
        raise
    except Exception as error:  # MLflow's, the database's, the network's
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise UserError(f"MLflow at {asked.tracking_uri or default_uri(store)}: {reason}") from error


def _registered(model: str, uri: str, store: Path) -> Predictor:
    from orchestrator import registry

    told = model.removeprefix("models:/")
    name, slash, version = told.partition("/")
    name, at, alias = name.partition("@")
    known = registry.versions(uri, name)
    if not known:
        raise _unknown(model, registry.names(uri), store)
    if at:
        version = registry.aliased(uri, name, alias) or ""
    chosen = version if slash or at else known[-1]
    chosen = known[-1] if chosen == "latest" else chosen
    if chosen not in known:
        raise unknown(f"version of {name}", alias if at else version, known)
    with TemporaryDirectory() as home:
        return Predictor(registry.located(uri, name, chosen, Path(home)))


def _unknown(model: str, names: Sequence[str], store: Path) -> UserError:
    """With all that there is, in the registry and in the store."""
    stored = [f"models/{one.name}" for one in sorted((store / "models").glob("*")) if model_files.is_model(one)]
    return unknown("model", model, [*names, *(str(store / one) for one in stored)])


def _heard(predictor: Predictor, files: Sequence[str], bad: list[str]) -> Iterator[Heard]:
    """Those that can be heard, in their order; of the others `bad` gets a line each."""
    for first in range(0, len(files), AT_ONCE):
        clips: dict[int, Samples] = {}
        for place in range(first, min(first + AT_ONCE, len(files))):
            try:
                clips[place] = listen(files[place])
            except UserError as error:
                bad.append(str(error))
        found = predictor.probabilities(list(clips.values()))
        yield from (Heard(files[place], _named(row)) for place, row in zip(clips, found, strict=True))


def _named(row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    return dict(zip(EMOTIONS, map(float, row), strict=True))


def _print_table(found: Sequence[Heard]) -> None:
    """In shares of 1; a file or a pipe is as wide as it needs to be."""
    head = ("path", "emotion", *EMOTIONS)
    rows = [(one.path, one.emotion, *(f"{share:.3f}" for share in one.probabilities.values())) for one in found]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        print("  ".join([*left, *right]))


def _print_csv(found: Sequence[Heard]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "emotion", *EMOTIONS))
    writer.writerows((one.path, one.emotion, *one.probabilities.values()) for one in found)


def _print_json(found: Sequence[Heard]) -> None:
    told = [{"path": one.path, "emotion": one.emotion, "probabilities": dict(one.probabilities)} for one in found]
    print(json.dumps(told, indent=1, ensure_ascii=False))


FORMATS: Mapping[str, Callable[[Sequence[Heard]], None]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}


if __name__ == "__main__":
    sys.exit(main())
