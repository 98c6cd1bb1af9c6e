"""Does a cell, trained once more, come to what is recorded of it?

    python -m orchestrator.replay KEY [--store runs] [--encoder DIR_OR_NAME]       the first digits of its key will do
    python -m orchestrator.replay NAME CONFIGURATION LANGUAGE FOLD                 by its place in a sweep that was run

The cell, and the stage that it begins with, are trained in this process, without Ray, in a scratch folder: the store
is only read. On a CPU, with as many threads and the torch that the record names, every figure must be the same to the
bit; on a GPU, or under other circumstances, within `TOLERANCE`, and the report says so. What is told of a difference
in test speech is where it lies, never a score. Exit code 0: the same, 1: not the same, 2: bad input.
"""

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from orchestrator.asked import named
from orchestrator.audit import Speech
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import KEY, Ledger
from trainers import cell, encoders, stores
from trainers.embeddings import unpack
from trainers.encoder_files import DEFAULT_ENCODER
from trainers.errors import UserError, unknown
from trainers.health import CollapsedError
from trainers.protocols import protocol_named
from trainers.result import Result
from trainers.spec import CellSpec

PARTS = ("predictions", "valid", "test", "whole", "secondary", "history", "facts", "embeddings")
"""Of a result, in the order in which they are told: all but where and how fast it ran."""

SEALED = ("predictions", "test", "whole", "secondary")
"""Of these no figure is printed: a replay is no opening of test scores."""

TOLERANCE = 0.05
"""Where bits cannot be asked for: the share of clips that may be told otherwise, and of each part's figures that may
differ by more than this (relative where a figure is above 1). Embeddings, whose axes may turn, are compared by the
products of all pairs of clips: their relative difference in the Frobenius norm."""

SHOWN = 6


@dataclass(frozen=True)
class Compared:
    """One part of a result, recorded and replayed. `differing` of `figures` are not the same; `first` tells the first.

    `lacking`: names that only the replay has, since the record is of an older version.
    """

    part: str
    figures: int
    differing: int
    first: str
    lacking: int
    holds: bool

    def line(self) -> str:
        older = f"; {self.lacking} that the record has not are not compared" if self.lacking else ""
        if not self.differing:
            return f"✓ {self.part}: {self.figures} figures are the same{older}"
        mark = "✓" if self.holds else "✗"
        return f"{mark} {self.part}: {self.differing} of {self.figures} figures differ, first {self.first}{older}"


def main(words: Sequence[str] | None = None) -> int:
    """Exit codes as the file's head tells them."""
    try:
        asked = _parser().parse_args(words)
        return _replayed(asked.store.expanduser().resolve(), asked.cell, asked.encoder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    parser = Parser(prog="python -m orchestrator.replay", description="Train one cell again and compare the figures.")
    parser.add_argument(
        "cell", nargs="+", metavar="CELL", help="first digits of its key, or NAME CONFIGURATION LANGUAGE FOLD"
    )
    add_store(parser)
    parser.add_argument("--encoder", metavar="DIR_OR_NAME", help="its checkpoint (default: the demo's, or as a sweep)")
    return parser


def _replayed(store: Path, told: Sequence[str], encoder: str | None) -> int:
    ledger = Ledger(store)
    key = _key(ledger, told)
    recorded = ledger.read(key)
    if recorded is None:
        raise UserError(f"cell {key[:12]} has no result in store {str(store)!r}")
    spec = recorded.spec
    print(f"{key[:12]}: {spec.method}, {spec.target or 'all languages'}, fold {spec.fold}, seed {spec.seed}")
    device, reasons = circumstances(recorded.versions)
    try:
        with TemporaryDirectory(prefix="foldwise-replay-") as scratch, _threads(recorded.versions):
            again = cell.run(spec, _workspace(store, spec, encoder, Path(scratch), device), progress=_progress())
    except (FloatingPointError, CollapsedError, torch.OutOfMemoryError) as error:
        print(f"✗ the training failed this time: {error}")
        return 1
    compared = list(comparison(recorded, again, exact=not reasons))
    for line in (*(f"· {reason}" for reason in reasons), *(one.line() for one in compared)):
        print(line)
    if reasons:
        print(
            f"· so bits are not compared, but figures within {TOLERANCE:g} ({100 * TOLERANCE:g} % of them may differ)"
        )
    return 0 if all(one.holds for one in compared) else 1


def _key(ledger: Ledger, told: Sequence[str]) -> str:
    """The key of the cell that a user means; UserError where that is none or several."""
    if len(told) == 4:
        return _placed(ledger.store, *told)
    if len(told) != 1:
        raise UserError(f"a cell is told by a key or by NAME CONFIGURATION LANGUAGE FOLD, not by {len(told)} words")
    digits = told[0].lower()
    found = sorted(key for key in ledger.stored() if key.startswith(digits)) if digits else []
    return _only(found, f"cells whose keys begin with {told[0]!r} in store {str(ledger.store)!r}")


def _placed(store: Path, name: str, configuration: str, language: str, fold: str) -> str:
    asked = named(store, name)[0]
    every = {one.name: one for one in (*asked.floors, *asked.configurations)}
    if configuration not in every:
        raise unknown(f"configuration of {asked.sweep}", configuration, every)
    cells = every[configuration].cells
    spoken = {target for target, _, _ in cells if target is not None} or set(asked.languages)
    if language not in spoken:
        raise unknown("language", language, spoken)
    there = {number for target, number, _ in cells if target in (None, language)}
    if fold not in map(str, there):
        raise unknown("fold", fold, there)
    found = [key for (target, number, _), key in cells.items() if str(number) == fold and target in (None, language)]
    return _only(found, f"cells at {configuration!r} {language} fold {fold}")


def _only(found: Sequence[str], what: str) -> str:
    if len(found) == 1 and KEY.fullmatch(found[0]):
        return found[0]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    listed = f"there are {', '.join(key[:12] for key in found[:SHOWN])}{more}; give the key's digits"
    raise UserError(f"{'several' if found else 'no'} {what}{'; ' + listed if found else ''}")


def circumstances(versions: Mapping[str, str]) -> tuple[torch.device, list[str]]:
    """Where to train, and why the bits of a result on these `versions` cannot be asked for; nothing where they can."""
    kind = versions.get("device", "cpu")
    here = kind if kind == "cpu" or torch.cuda.is_available() else "cpu"
    reasons = []
    if kind != "cpu":
        where = "" if here == kind else ", and this machine has none"
        reasons.append(f"the record is of a GPU ({versions.get('processor', kind)}){where}")
    if not versions.get("cores", "").isdigit() and kind == "cpu":
        reasons.append("the record does not tell how many threads it was computed with")
    now = {"torch": torch.__version__, "processor": platform.machine()}
    for name, value in now.items():
        if kind == "cpu" and versions.get(name) != value:
            reasons.append(f"the record is of {name} {versions.get(name, 'unknown')}, this is {value}")
    return torch.device(here), reasons


@contextmanager
def _threads(versions: Mapping[str, str]) -> Iterator[None]:
    """With as many threads as the record tells: sums of floats depend on it."""
    before, cores = torch.get_num_threads(), versions.get("cores", "")
    torch.set_num_threads(max(1, int(cores)) if cores.isdigit() else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _workspace(store: Path, spec: CellSpec, encoder: str | None, scratch: Path, device: torch.device) -> cell.Workspace:
    stores.bring_all(store / "prepared")
    found = Speech(store / "prepared").of(spec)
    if found is None:
        raise UserError(f"what cell {spec.key()[:12]} heard is not prepared in {store / 'prepared'}")
    own = store / "demo" / "encoder"
    stores.bring(own)
    asked = encoder or (str(own) if protocol_named(spec.protocol).is_demo and own.is_dir() else DEFAULT_ENCODER)
    workspace = cell.Workspace(found[0], encoders.locate(asked), scratch, device)
    splits = workspace.splits(spec)
    if splits.of(spec.target, spec.fold, spec.config).fingerprint(found[0]) != spec.data_fingerprint:
        splits.twins = {}  # the cell is older than the rule that copies of tested clips are left out
    return workspace


def _progress() -> Any:
    """A line whenever a tenth is done, for whoever waits."""
    last: list[tuple[str, int]] = []

    def tell(step: int, steps: int, phase: str) -> None:
        mark = (phase, 10 * step // max(1, steps))
        if last[-1:] != [mark]:
            last[:] = [mark]
            print(f"{phase} {step}/{steps}", file=sys.stderr)

    return tell


def comparison(recorded: Result, again: Result, *, exact: bool) -> Iterator[Compared]:
    """Part by part, what is the same in two results of one cell: to the bit where `exact`, else within `TOLERANCE`."""
    old, new = recorded.as_dict(), again.as_dict()
    for part in PARTS:
        if part == "embeddings" and not exact and old[part] != new[part]:
            yield _turned(recorded.embeddings, again.embeddings)
        else:
            yield _part(part, dict(_leaves(old[part])), dict(_leaves(new[part])), exact)


def _part(part: str, old: Mapping[str, Any], new: Mapping[str, Any], exact: bool) -> Compared:
    wrong = [name for name, value in old.items() if name not in new or not same_bits(value, new[name])]
    far = [name for name in wrong if name not in new or not near(old[name], new[name])]
    first = _difference(part, (far or wrong)[0], old, new) if wrong else ""
    lacking = len(set(new) - set(old))
    holds = not wrong if exact else len(far) <= TOLERANCE * len(old)
    return Compared(part, len(old), len(wrong), first, lacking, holds)


def _difference(part: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if part in SEALED or part == "embeddings" or "test" in name or "whole" in name:
        return name
    return f"{name}: {old[name]!r} recorded, {new.get(name, 'nothing')!r} now"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure and text of nested lists and objects, with the names and numbers that lead to it, and how many rows
    there are."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name} {key}".strip())
    elif isinstance(value, list | tuple):
        yield f"{name} rows".strip(), len(value)
        for number, each in enumerate(value):
            yield from _leaves(each, f"{name} {number}".strip())
    else:
        yield name, value


def same_bits(one: Any, other: Any) -> bool:
    """Equal values, where NaN equals NaN and 0.0 is not -0.0."""
    if isinstance(one, float) and isinstance(other, int | float):
        return one.hex() == float(other).hex() or (one != one and other != other)
    return bool(one == other)


def near(one: Any, other: Any) -> bool:
    """Numbers within the tolerance; texts must be equal."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return bool(np.isclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    return bool(one == other)


def _turned(old: Mapping[str, str], new: Mapping[str, str]) -> Compared:
    """Embeddings whose axes may point elsewhere, by the products of all pairs of clips."""
    wrong = [name for name in old if name not in new or not _alike(unpack(old[name]), unpack(new[name]))]
    return Compared("embeddings", len(old), len(wrong), wrong[0] if wrong else "", len(set(new) - set(old)), not wrong)


def _alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if len(one) != len(other):
        return False
    products = [(each - each.mean(0)) @ (each - each.mean(0)).T for each in (one, other)]
    return bool(np.linalg.norm(products[0] - products[1]) <= TOLERANCE * np.linalg.norm(products[0]))


if __name__ == "__main__":
    sys.exit(main())
