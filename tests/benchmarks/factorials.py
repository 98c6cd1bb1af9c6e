"""Complete factorials for the racing benchmark: every configuration on every block, recorded or drawn.

A recorded one is a file in `factorials/`: a line per cell, such as

    configuration,language,fold,seed,valid_uar
    head_lr=0.001 pooling=mean,german,0,0,0.5125
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

Scores = NDArray[np.float64]
"""In UAR points, (configurations, blocks)."""

CONFIGURATIONS = 24
LANGUAGES = 3
FOLDS = 5


@dataclass(frozen=True)
class Factorial:
    """What each configuration scores on each block, and, where it was drawn, what it is truly worth."""

    scores: Scores
    truth: NDArray[np.float64] | None = None


Family = Callable[[np.random.Generator, float, float, int], Factorial]
"""Draws a factorial: (draws, sd of the configurations, sd of a block's noise, blocks)."""


def recorded(path: Path) -> Scores:
    """Blocks (the means over languages) seed by seed, as a sweep plans them. ValueError where a cell is missing."""
    cells = pd.read_csv(path).pivot_table("valid_uar", ["configuration"], ["seed", "fold", "language"], dropna=False)
    if cells.isna().to_numpy().any():
        raise ValueError(f"{path.name} is not complete")
    return np.asarray(100 * cells.T.groupby(level=["seed", "fold"]).mean().T, dtype=np.float64)


def reordered(scores: Scores, draws: np.random.Generator) -> Factorial:
    """The same cells with folds (the order is the same for every seed) and configurations in another order."""
    folds = draws.permutation(min(FOLDS, scores.shape[1]))
    order = [seed + fold for seed in range(0, scores.shape[1], len(folds)) for fold in folds]
    return Factorial(draws.permutation(scores)[:, order])


def residuals(scores: Scores) -> Scores:
    """What configurations and blocks do not explain."""
    rows, columns = scores.mean(axis=1, keepdims=True), scores.mean(axis=0, keepdims=True)
    return np.asarray(scores - rows - columns + scores.mean())


def plain(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """Normal configurations, folds (3 points) and noise."""
    return _built(draws, draws.normal(0, sd, CONFIGURATIONS), draws.normal(0, noise, (CONFIGURATIONS, blocks)))


def languages(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """Three languages, of which each likes other configurations (by 2 points); half of the noise is the fold's."""
    likings = draws.normal(0, 2, (CONFIGURATIONS, LANGUAGES)).mean(axis=1)
    own = draws.normal(0, noise * np.sqrt(LANGUAGES / 2), (CONFIGURATIONS, blocks, LANGUAGES)).mean(axis=2)
    shared = draws.normal(0, noise / np.sqrt(2), (CONFIGURATIONS, blocks))
    return _built(draws, draws.normal(0, sd, CONFIGURATIONS) + likings, own + shared)


def heavy_tails(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """Noise of Student's t with 3 degrees of freedom."""
    drawn = t.rvs(3, size=(CONFIGURATIONS, blocks), random_state=draws) * noise / np.sqrt(3)
    return _built(draws, draws.normal(0, sd, CONFIGURATIONS), drawn)


def failures(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """In one block of fifty a configuration learns little: 15 points less."""
    lost = 15 * (draws.random((CONFIGURATIONS, blocks)) < 0.02)
    return _built(draws, draws.normal(0, sd, CONFIGURATIONS), draws.normal(0, noise, (CONFIGURATIONS, blocks)) - lost)


def ties(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """Every configuration there four times, and scores in steps of the clips: 80 in each of three languages."""
    levels = np.repeat(draws.normal(0, sd, CONFIGURATIONS // 4), 4)
    drawn = _built(draws, levels, draws.normal(0, noise, (CONFIGURATIONS, blocks)))
    step = 100 / 80 / LANGUAGES
    return Factorial(np.round(drawn.scores / step) * step, levels)


def noisy_losers(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """The worse half is twice as noisy."""
    levels = draws.normal(0, sd, CONFIGURATIONS)
    scale = np.where(levels < np.median(levels), 2 * noise, noise)[:, None]
    return _built(draws, levels, draws.normal(0, scale, (CONFIGURATIONS, blocks)))


def seeds(draws: np.random.Generator, sd: float, noise: float, blocks: int) -> Factorial:
    """Half of the noise's variance is the fold's, which a second seed does not change."""
    fold = np.tile(draws.normal(0, noise / np.sqrt(2), (CONFIGURATIONS, FOLDS)), blocks // FOLDS)
    own = draws.normal(0, noise / np.sqrt(2), (CONFIGURATIONS, blocks))
    return _built(draws, draws.normal(0, sd, CONFIGURATIONS), fold + own)


FAMILIES: dict[str, Family] = {
    "plain": plain,
    "languages": languages,
    "heavy tails": heavy_tails,
    "failures": failures,
    "ties": ties,
    "noisy losers": noisy_losers,
    "folds × seeds": seeds,
}


def drawn(family: Family, number: int, sd: float, noise: float, blocks: int) -> list[Factorial]:
    """`number` factorials, the same at every call."""
    draws = np.random.default_rng(0)
    return [family(draws, sd, noise, blocks) for _ in range(number)]


def at_a_third(scores: Scores, correlation: float) -> Scores:
    """What validation curves may show at a third of the steps: configurations that learn slowly (by 2 points) and, of
    each block, a deviation that is so correlated with the final one. The same at every call."""
    draws, final = np.random.default_rng(1), residuals(scores)
    other = draws.normal(0, final.std(), scores.shape)
    slow = draws.normal(0, 2, (len(scores), 1))
    return np.asarray(scores - final - slow + correlation * final + np.sqrt(1 - correlation**2) * other)


def _built(draws: np.random.Generator, levels: NDArray[np.float64], noise: Scores) -> Factorial:
    folds = draws.normal(60, 3, noise.shape[1])
    return Factorial(levels[:, None] + folds + noise, levels)
