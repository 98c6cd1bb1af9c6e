"""Means over folds: a fold is one number, however many seeds it has, and a pooled score where a fold lacks a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isnan, sqrt
from typing import Protocol

import numpy as np

NAN = float("nan")


class Scored(Protocol):
    """A score: of a result, or of its tally."""

    @property
    def n(self) -> int: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def macro_f1(self) -> float: ...
    @property
    def uar(self) -> float: ...
    @property
    def recall(self) -> dict[str, float]: ...
    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]: ...


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


Folds = Mapping[int, Sequence[tuple[object, Scored]]]
"""Fold -> (run, score) of each of its cells; cells of the same run in different folds have different clips."""


def measures(folds: Folds) -> Measures:
    """Mean over folds of each score.

    Where a fold lacks a class macro-F1 is that of all folds' clips together, and a fold's UAR is its contribution to
    the UAR of all clips together (VALIDITY §5), so that the mean is that UAR.
    """
    return summed_up(Blocks.of(folds), folds)


def summed_up(blocks: "Blocks", folds: Folds) -> Measures:
    return Measures(
        uar=mean(list(blocks.uar.values())),
        macro_f1=_pooled(folds) if blocks.lacks_a_class else mean(list(blocks.macro_f1.values())),
        accuracy=mean(list(blocks.accuracy.values())),
    )


@dataclass(frozen=True)
class Blocks:
    """A language's scores, fold -> one number, averaged over the fold's cells."""

    uar: Mapping[int, float]
    macro_f1: Mapping[int, float]
    accuracy: Mapping[int, float]
    lacks_a_class: bool

    @classmethod
    def of(cls, folds: Folds) -> "Blocks":
        macro_f1 = {fold: average([score.macro_f1 for _, score in cells]) for fold, cells in folds.items()}
        lacks = any(isnan(value) for value in macro_f1.values())
        uar = {fold: average([score.uar for _, score in cells]) for fold, cells in folds.items()}
        accuracy = {fold: average([score.accuracy for _, score in cells]) for fold, cells in folds.items()}
        return cls(_contributions(folds) if lacks else uar, macro_f1, accuracy, lacks)


def average(values: Sequence[float]) -> float:
    """Quicker than `statistics.fmean`, which counts a thousand configurations' numbers for half a second."""
    return values[0] if len(values) == 1 else fsum(values) / len(values)


def _contributions(folds: Folds) -> dict[int, float]:
    """Each fold's K · Σ_classes hits / (classes · clips of the class in all K folds), averaged over its cells."""
    firsts = [cells[0][1].confusion for cells in folds.values()]
    clips = [sum(sum(confusion[emotion]) for confusion in firsts) for emotion in range(len(firsts[0]))]
    present = [emotion for emotion, n in enumerate(clips) if n]
    return {
        fold: len(folds) * average([_contribution(score.confusion, clips, present) for _, score in cells])
        for fold, cells in folds.items()
    }


def _contribution(confusion: Sequence[Sequence[int]], clips: Sequence[int], present: Sequence[int]) -> float:
    return average([confusion[emotion][emotion] / clips[emotion] for emotion in present])


def mean(blocks: Sequence[float]) -> Mean:
    """Mean and sd of one number per fold."""
    centre = average(blocks)
    if len(blocks) < 2:
        return Mean(centre, NAN, len(blocks))
    return Mean(centre, sqrt(fsum([(block - centre) ** 2 for block in blocks]) / (len(blocks) - 1)), len(blocks))


def pooled_macro_f1(scores: Sequence[Scored]) -> float:
    """Macro-F1 of all clips of several scores together, NaN where even then a class is absent."""
    matrix = np.sum([score.confusion for score in scores], axis=0)
    truths = matrix.sum(1)
    if not truths.all():
        return NAN
    return float(np.mean(2 * np.diag(matrix) / (truths + matrix.sum(0))))


def _pooled(folds: Folds) -> Mean:
    runs: dict[object, list[Scored]] = {}
    for cells in folds.values():
        for run, score in cells:
            runs.setdefault(run, []).append(score)
    return Mean(average([pooled_macro_f1(scores) for scores in runs.values()]), NAN, len(folds), pooled=True)


def macro(blocks: Sequence[Blocks], summed: Sequence[Measures]) -> Measures | None:
    if not blocks or len(summed) < len(blocks):
        return None
    shared = sorted(set.intersection(*(set(own.uar) for own in blocks)))
    return Measures(**{name: _macro_of(name, blocks, summed, shared) for name in MEASURES})


def _macro_of(name: str, blocks: Sequence[Blocks], summed: Sequence[Measures], shared: Sequence[int]) -> Mean:
    parts: list[Mean] = [getattr(part, name) for part in summed]
    if any(part.pooled for part in parts):
        return Mean(average([part.mean for part in parts]), NAN, len(shared), pooled=True)
    own: list[Mapping[int, float]] = [getattr(each, name) for each in blocks]
    return mean([average([each[fold] for each in own]) for fold in shared])
