"""What one configuration came to: means over folds, or n/a where a cell is missing.

Within a fold a score is first averaged over its cells (seeds; for validation and held-out speech also target
languages). The fold is the block, so n and sd are those of the folds (VALIDITY §5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean, stdev
from typing import Any

import numpy as np

from trainers.result import Result
from trainers.scores import Score

Place = tuple[str | None, int, int]
"""Of a cell in its configuration: target language (None: it serves all languages), fold, seed."""

NAN = float("nan")


@dataclass(frozen=True)
class Candidate:
    """A configuration, or a floor, with the key of the cell at each of its places."""

    name: str
    cells: Mapping[Place, str]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation (n − 1) over `n` folds, as shares of 1; `sd` is NaN for one fold.

    `pooled`: no mean over folds but one score over all folds' clips together, because some fold lacks a class.
    """

    mean: float
    sd: float
    n: int
    pooled: bool = False


@dataclass(frozen=True)
class Measures:
    """The three scores that every table shows."""

    uar: Mean
    macro_f1: Mean
    accuracy: Mean


MEASURES = ("uar", "macro_f1", "accuracy")


@dataclass(frozen=True)
class Row:
    """One line of the comparison. A language stands in `test` only when all of its cells are there.

    `valid`: validation UAR over the folds that have all their cells, None where there is none. `macro`: mean over the
    languages, None unless all are in `test`. `reason`: why the row is not complete, else "".
    """

    name: str
    values: Mapping[str, Any]
    valid: Mean | None
    valid_by_language: Mapping[str, Mean]
    test: Mapping[str, Measures]
    macro: Measures | None
    done: int
    planned: int
    reason: str

    @property
    def complete(self) -> bool:
        return not self.reason


def row(
    candidate: Candidate,
    found: Mapping[Place, Result],
    languages: Sequence[str],
    *,
    held_out: Sequence[str] = (),
    selector: str = "hrl",
    failed: Mapping[str, str] | None = None,
) -> Row:
    """Sum up the results found for a candidate's cells; `failed` tells why cells (by key) have none."""
    tested = {name: _tested(candidate, found, name) for name in languages}
    test = {name: measures(scores) for name, scores in tested.items() if scores}
    beside = {name: _held_out(candidate, found, name) for name in held_out}
    return Row(
        name=candidate.name,
        values=candidate.values,
        valid=_valid(list(candidate.cells), found, selector),
        valid_by_language=_valid_by_language(candidate, found, languages, selector),
        test=test | {name: measures(scores) for name, scores in beside.items() if scores},
        macro=_macro([tested[name] for name in languages], [test[name] for name in languages if name in test]),
        done=len(found),
        planned=len(candidate.cells),
        reason=_reason(candidate, found, [name for name in languages if name not in test], failed or {}),
    )


Folds = Mapping[int, Sequence[tuple[object, Score]]]
"""Fold -> (run, score) of each of its cells; cells of the same run in different folds have different clips."""


def measures(folds: Folds) -> Measures:
    """Mean over folds of each score.

    Where a fold lacks a class macro-F1 is that of all folds' clips together, and a fold's UAR is its contribution to
    the UAR of all clips together (VALIDITY §5), so that the mean is that UAR.
    """
    pooled = _lacks_a_class(folds)
    return Measures(
        uar=mean(list(_blocks("uar", folds).values())),
        macro_f1=_pooled(folds) if pooled else mean(list(_blocks("macro_f1", folds).values())),
        accuracy=mean(list(_blocks("accuracy", folds).values())),
    )


def _lacks_a_class(folds: Folds) -> bool:
    return any(isnan(score.macro_f1) for cells in folds.values() for _, score in cells)


def _blocks(name: str, folds: Folds) -> dict[int, float]:
    """A measure's one number per fold, averaged over the fold's cells."""
    if name == "uar" and _lacks_a_class(folds):
        return _contributions(folds)
    return {fold: fmean(getattr(score, name) for _, score in cells) for fold, cells in folds.items()}


def _contributions(folds: Folds) -> dict[int, float]:
    """Each fold's K · Σ_classes hits / (classes · clips of the class in all K folds), averaged over its cells."""
    clips = np.sum([np.sum(cells[0][1].confusion, axis=1) for cells in folds.values()], axis=0)
    present = clips > 0
    hits = {fold: np.mean([np.diag(score.confusion) for _, score in cells], axis=0) for fold, cells in folds.items()}
    return {fold: len(folds) * float(np.mean(found[present] / clips[present])) for fold, found in hits.items()}


def mean(blocks: Sequence[float]) -> Mean:
    """Mean and sd of one number per fold."""
    return Mean(fmean(blocks), stdev(blocks) if len(blocks) > 1 else NAN, len(blocks))


def pooled_macro_f1(scores: Sequence[Score]) -> float:
    """Macro-F1 of all clips of several scores together, NaN where even then a class is absent."""
    matrix = np.sum([score.confusion for score in scores], axis=0)
    truths = matrix.sum(1)
    if not truths.all():
        return NAN
    return float(np.mean(2 * np.diag(matrix) / (truths + matrix.sum(0))))


def _pooled(folds: Folds) -> Mean:
    runs: dict[object, list[Score]] = {}
    for cells in folds.values():
        for run, score in cells:
            runs.setdefault(run, []).append(score)
    return Mean(fmean(pooled_macro_f1(scores) for scores in runs.values()), NAN, len(folds), pooled=True)


def _tested(candidate: Candidate, found: Mapping[Place, Result], language: str) -> Folds:
    """A language's test scores by fold; none at all unless every cell that speaks of it is there."""
    return by_fold(_places_of(candidate, language), found, language)


def _held_out(candidate: Candidate, found: Mapping[Place, Result], language: str) -> Folds:
    """Scores on speech that no target language trains on: every cell has its own."""
    return by_fold(list(candidate.cells), found, language)


def by_fold(places: Sequence[Place], found: Mapping[Place, Result], language: str) -> Folds:
    """Test scores of a language in the cells at these places, by their fold; nothing unless every one has them."""
    folds: dict[int, list[tuple[object, Score]]] = {}
    for target, fold, seed in places:
        result = found.get((target, fold, seed))
        if result is None or language not in result.test:
            return {}
        folds.setdefault(fold, []).append(((target, seed), result.test[language]))
    return folds


def _macro(tested: Sequence[Folds], summed: Sequence[Measures]) -> Measures | None:
    if not tested or len(summed) < len(tested):
        return None
    shared = sorted(set.intersection(*(set(folds) for folds in tested)))
    return Measures(**{name: _macro_of(name, tested, summed, shared) for name in MEASURES})


def _macro_of(name: str, tested: Sequence[Folds], summed: Sequence[Measures], shared: Sequence[int]) -> Mean:
    parts: list[Mean] = [getattr(part, name) for part in summed]
    if any(part.pooled for part in parts):
        return Mean(fmean(part.mean for part in parts), NAN, len(shared), pooled=True)
    blocks = [_blocks(name, folds) for folds in tested]
    return mean([fmean(each[fold] for each in blocks) for fold in shared])


def _valid(places: Sequence[Place], found: Mapping[Place, Result], selector: str) -> Mean | None:
    """Validation UAR over complete folds: mean over seeds, then target languages, then folds."""
    folds: dict[int, dict[str | None, list[float]]] = {}
    for target, fold, seed in places:
        result = found.get((target, fold, seed))
        uar = result.valid[selector].uar if result and selector in result.valid else NAN
        folds.setdefault(fold, {}).setdefault(target, []).append(uar)
    blocks = [fmean(fmean(seeds) for seeds in targets.values()) for targets in folds.values()]
    whole = [block for block in blocks if not isnan(block)]
    return mean(whole) if whole else None


def _valid_by_language(
    candidate: Candidate, found: Mapping[Place, Result], languages: Sequence[str], selector: str
) -> Mapping[str, Mean]:
    means = {name: _valid(_places_of(candidate, name), found, selector) for name in languages}
    return {name: value for name, value in means.items() if value is not None}


def _places_of(candidate: Candidate, language: str) -> list[Place]:
    return [place for place in candidate.cells if place[0] in (language, None)]


def _reason(
    candidate: Candidate, found: Mapping[Place, Result], untested: Sequence[str], failed: Mapping[str, str]
) -> str:
    missing = [place for place in candidate.cells if place not in found]
    if not missing:
        return f"no test scores of {', '.join(untested)}" if untested else ""
    told = "; ".join(f"{_named(place)}: {failed.get(candidate.cells[place], 'not run')}" for place in missing[:3])
    more = "" if len(missing) <= 3 else f"; and {len(missing) - 3} more"
    return f"{len(missing)} of {len(candidate.cells)} cells missing ({told}{more})"


def _named(place: Place) -> str:
    target, fold, seed = place
    return " ".join(part for part in (target or "", f"fold {fold}", f"seed {seed}") if part)
