"""What a difference between two configurations is worth (VALIDITY §5): folds as blocks, speakers, families of tests.

Pure functions of arrays. Scores and differences are shares of 1. The first axis is always that of the comparisons, so
that a thousand of them cost little more than one.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]

ALPHA = 0.05
EXACT_SPEAKERS = 14
"""Up to so many speakers all sign flips are enumerated."""

DRAWS = 20_000
RESAMPLES = 2_000
FEWEST_BLOCKS = 4
"""With fewer blocks an interval is descriptive: nothing is claimed from it."""

ROUNDING = 1e-9
"""Sums that differ by less than this share of all there is to sum are equal."""

AT_ONCE = 64
"""Comparisons whose flips are summed together: (20,000, 64) numbers are 10 MB."""


def repeat_of(fold: int, folds: int) -> tuple[int, int]:
    """Which partition a fold number belongs to, and which of its `folds` it is: 7 of 5 is fold 2 of repeat 1."""
    return divmod(fold, folds)


def block_means(differences: ArrayLike) -> Floats:
    """d[language, fold, seed] -> d[fold]: the mean over seeds, then over languages. Neither ever enters n."""
    return np.asarray(np.asarray(differences, np.float64).mean(axis=2).mean(axis=0))


@dataclass(frozen=True)
class FoldTest:
    """The corrected resampled t of each comparison, all (comparisons,): `low` to `high` is the 95 % interval."""

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    p: Floats


def corrected_t(blocks: ArrayLike, folds: int) -> FoldTest:
    """Nadeau & Bengio 2003: t = mean(d) / (s_d · √(1/J + 1/(K − 1))) with J − 1 degrees of freedom, two-sided.

    `blocks` (comparisons, J): one difference per fold, of all R repeated partitions of K = `folds` folds, J = K·R.
    Plain t takes the folds for independent, but any two share most of their training speech. All but the mean is NaN
    for fewer than two blocks. Differences that are the same in every block have p = 0, or 1 where they are 0.
    """
    values = np.asarray(blocks, np.float64)
    count = values.shape[-1]
    mean = values.mean(-1)
    if count < 2 or folds < 2:
        nan = np.full_like(mean, np.nan)
        return FoldTest(mean, nan, nan, nan, nan)
    sd = values.std(-1, ddof=1)
    error = sd * _correction(count, folds)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(count - 1, -np.abs(mean) / error)
    half = stdtrit(count - 1, 1 - ALPHA / 2) * error
    return FoldTest(mean, sd, mean - half, mean + half, np.where(np.isnan(p), 1.0, p))


def half_width(sd: ArrayLike, blocks: int, folds: int, alpha: float = ALPHA) -> Floats:
    """How far from 0 a mean of `blocks` differences with this sd must lie for the corrected t to reject at `alpha`."""
    if blocks < 2 or folds < 2:
        return np.full(np.shape(sd), np.inf)
    return np.asarray(stdtrit(blocks - 1, 1 - alpha / 2) * np.asarray(sd) * _correction(blocks, folds))


def _correction(blocks: int, folds: int) -> float:
    """√(1/J + n_test/n_train), where n_test/n_train of K folds is 1/(K − 1)."""
    return float(np.sqrt(1 / blocks + 1 / (folds - 1)))


def sign_flip_p(differences: ArrayLike) -> Floats:
    """Two-sided p of each comparison, from flipping the signs of units: (comparisons, units) -> (comparisons,).

    The units (speakers, or blocks) are what was sampled; under the null each difference is as likely to have the other
    sign. p is the share of flips whose sum is as far from 0: of all 2ⁿ for up to 14 units, else of 20,000 draws, which
    are always the same ones, the observed signs counted among them.
    """
    values = np.asarray(differences, np.float64)
    flips = _flips(values.shape[1])
    drawn = values.shape[1] > EXACT_SPEAKERS
    parts = [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
    counts = [_as_far(flips, part) for part in parts]
    hits = np.concatenate(counts) if counts else np.zeros(0)
    return np.asarray((hits + drawn) / (len(flips) + drawn))


def _as_far(flips: Floats, differences: Floats) -> Floats:
    sums = differences @ flips.T
    np.abs(sums, out=sums)
    limit = np.abs(differences.sum(1)) - ROUNDING * np.abs(differences).sum(1)
    return np.asarray(np.count_nonzero(sums >= limit[:, None], axis=1), np.float64)


@lru_cache(maxsize=16)
def _flips(units: int) -> Floats:
    """(flips, units) of 1 and −1. Of each flip and its opposite, whose sums are as far from 0, one is enough."""
    if units > EXACT_SPEAKERS:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, units))
    numbers = np.arange(2 ** max(units - 1, 0))[:, None]
    return np.asarray(1.0 - 2.0 * ((numbers >> np.arange(units)) & 1))


def smallest_flip_p(units: int) -> float:
    """The least p that flipping the signs of so many units (that differ at all) can give: .0625 for five."""
    exact = 2.0 ** (1 - units) if units else 1.0
    return max(exact, 1 / (DRAWS + 1)) if units > EXACT_SPEAKERS else exact


def flip_width(differences: ArrayLike, alpha: float = ALPHA) -> Floats:
    """About how far from 0 the sum of units must lie for sign flips to reject at `alpha`: (comparisons,).

    By the normal approximation: flips of d have the variance Σ d².
    """
    return np.asarray(-ndtri(alpha / 2) * np.sqrt(np.square(np.asarray(differences, np.float64)).sum(-1)))


def holm(p: ArrayLike) -> Floats:
    """Holm's (1979) adjusted p of a family: (tests,) -> (tests,). A NaN is a test that could not be made: it counts in
    the family and stays NaN."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(values[order] * np.arange(len(values), 0, -1), 1.0)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def macro_f1(matrices: ArrayLike) -> Floats:
    """Macro-F1 of counts (…, truth, prediction); NaN where a class has no clip."""
    counts = np.asarray(matrices, np.float64)
    truths = counts.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * np.diagonal(counts, axis1=-2, axis2=-1) / (truths + counts.sum(-2))
    return np.asarray(np.where((truths > 0).all(-1), f1.mean(-1), np.nan))


def f1_resampled(counts: ArrayLike, seed: int = 0, draws: int = RESAMPLES) -> Floats:
    """Pooled macro-F1 of all speakers, then of speakers resampled with replacement: (1 + draws,).

    `counts` (runs, speakers, truth, prediction); F1 is that of each run's clips together, averaged over runs. The same
    `seed` takes the same speakers, so that configurations are compared on the same resamples. One that lacks a class
    has no F1 and is NaN.
    """
    values = np.asarray(counts, np.float64)
    runs, speakers, classes, _ = values.shape
    pooled = _resamples(speakers, seed, draws) @ values.reshape(runs, speakers, classes * classes)
    return np.asarray(macro_f1(pooled.reshape(runs, draws + 1, classes, classes)).mean(0))


@lru_cache(maxsize=16)
def _resamples(speakers: int, seed: int, draws: int) -> Floats:
    """(1 + draws, speakers): how often each speaker is taken, in the first row once each."""
    picked = np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), size=draws)
    return np.concatenate([np.ones((1, speakers)), picked])


def interval(resamples: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of those resamples that are numbers; NaN where none is."""
    there = resamples[~np.isnan(resamples)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's ρ, ties sharing their mean rank; NaN where all values of one side are equal.

    Written out because scipy.stats takes longer to import than a thousand configurations take to compare.
    """
    x, y = _ranks(one), _ranks(other)
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size else float("nan")


def _ranks(values: ArrayLike) -> Floats:
    """Mean ranks, centred."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    return np.asarray(ranks - ranks.mean())
