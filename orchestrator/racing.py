"""Racing: which configurations need no more cells, since others beat them on the cells that all of them have.

A block is one seed's fold over all languages, and its score the mean over its cells. Round b compares the
configurations that are still in the race on blocks 0 to b − 1 of B, once all of them have these. What is sought is the
winner of the finite grid, so only the blocks still to come are uncertain, and configuration i is dropped where

    mean(leader) − mean(i) > q · √(2 · MS · (1/b − 1/B)).

MS is the configuration × block residual mean square of the better half, with (C' − 1)(b − 1) degrees of freedom for its
C' configurations: poor ones may be noisier, or all alike at chance level. q is Dunnett's (1955) one-sided constant, by
which Gupta (1965) selects the subset that holds the best, for the leader against all others that are in the race.
Its alpha is that of a round; what a whole race risks is measured in tests/benchmarks/racing.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from math import ceil, inf, isnan, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainers.errors import require

Table = Mapping[int, Mapping[int, float]]
"""Configuration -> block -> its score, for every configuration of the race; only complete blocks stand here.

Blocks are numbered from 0 in the plan's order. NaN: the configuration diverged or collapsed there.
"""

FAR_BEHIND = 0.10
"""After one block, which does not tell its own noise, only a configuration that is further behind is dropped …"""

FAR_BEHIND_SDS = 5.0
"""… and further than so many standard deviations of the better half (three of all, were they normal): in a fold of few
clips the best one may well be 10 points behind."""

FEWEST_FOR_NOISE = 4
"""Of small grids more than half tell the noise: two configurations would tell it too badly …"""

LEAST_FREEDOM = 3
"""… and with fewer degrees of freedom than this nobody is dropped: UAR comes in steps of a clip, so that a residual may
be zero by chance."""

ROUNDING = 1e-9
"""Scores this close are equal."""


@dataclass(frozen=True)
class Drop:
    """Why a configuration left the race: after `blocks` blocks it was further `behind` the leader than `margin`.

    Both are differences of means over these blocks, as shares of 1; NaN where it diverged in the last of them.
    """

    configuration: int
    blocks: int
    behind: float
    margin: float
    why: Literal["beaten", "far behind", "diverged"]


@dataclass(frozen=True)
class Standing:
    """A race so far: who was dropped, how many rounds were judged, and who may still complete all blocks and win."""

    drops: dict[int, Drop]
    rounds: int
    survivors: tuple[int, ...]


@dataclass(frozen=True)
class Race:
    """A race over `blocks` planned blocks; `alpha` is the risk, per round, of dropping the grid's winner."""

    blocks: int
    alpha: float = 0.05

    def __post_init__(self) -> None:
        require(0 < self.alpha < 0.5, "race alpha", self.alpha, "above 0 and below 0.5")

    def run(self, table: Table, out: Collection[int] = ()) -> Standing:
        """Replay all rounds that the table allows. It alone decides, and blocks that come later undo no drop.

        `out`: configurations that will never be complete, since a cell failed for another reason than divergence. Like
        one that diverges they count in the rounds that they have all blocks for, so that what is decided stays decided;
        then they leave, not dropped, and no round waits for them. After the last block there is nothing to save.
        """
        diverged = {one: block for one, scores in table.items() if (block := _divergence(scores)) is not None}
        ends = {one: _unbroken(table[one]) for one in table if one in out} | diverged
        drops = {one: Drop(one, block + 1, nan, nan, "diverged") for one, block in diverged.items()}
        racing, rounds = sorted(table), 0
        for blocks in range(1, self.blocks):
            racing = [one for one in racing if ends.get(one, blocks) >= blocks]
            if not racing or any(_unbroken(table[one]) < blocks for one in racing):
                break
            judged = self._judge(racing, np.array([[table[one][block] for block in range(blocks)] for one in racing]))
            drops |= judged
            racing, rounds = [one for one in racing if one not in judged], blocks
        return Standing(drops, rounds, tuple(one for one in sorted(table) if one not in drops and one not in out))

    def _judge(self, racing: Sequence[int], scores: NDArray[np.float64]) -> dict[int, Drop]:
        """Whom a round drops; `scores` has a row for each configuration that races, a column for each block."""
        blocks, means = scores.shape[1], scores.mean(axis=1)
        behind, margin = means.max() - means, self._margin(scores)
        why: Literal["beaten", "far behind"] = "beaten" if blocks > 1 else "far behind"
        return {
            one: Drop(one, blocks, float(gap), margin, why)
            for one, gap in zip(racing, behind, strict=True)
            if gap > margin + ROUNDING
        }

    def _margin(self, scores: NDArray[np.float64]) -> float:
        """How far behind the leader a configuration may be by chance and still win once all blocks are there."""
        racing, blocks = scores.shape
        if racing == 1:
            return inf
        if blocks == 1:
            return max(FAR_BEHIND, FAR_BEHIND_SDS * float(better_half(scores, 2).std(ddof=1)))
        better = better_half(scores, FEWEST_FOR_NOISE)
        freedom = (len(better) - 1) * (blocks - 1)
        if freedom < LEAST_FREEDOM:
            return inf
        noise = 2 * residual_mean_square(better) * (1 / blocks - 1 / self.blocks)
        return dunnett(racing - 1, freedom, self.alpha) * sqrt(noise)


def better_half(scores: NDArray[np.float64], fewest: int) -> NDArray[np.float64]:
    """The rows with the higher means: half of them, at least `fewest`, and whoever ties with the last of these."""
    means = scores.mean(axis=1)
    last = np.sort(means)[-min(len(means), max(fewest, ceil(len(means) / 2)))]
    better: NDArray[np.float64] = scores[means >= last - ROUNDING]
    return better


def residual_mean_square(scores: NDArray[np.float64]) -> float:
    """What is left of scores (configurations, blocks) beyond the means of both, per degree of freedom."""
    rows, columns = scores.mean(axis=1, keepdims=True), scores.mean(axis=0, keepdims=True)
    squares = (scores - rows - columns + scores.mean()) ** 2
    return float(squares.sum() / ((scores.shape[0] - 1) * (scores.shape[1] - 1)))


@lru_cache(maxsize=4096)
def dunnett(comparisons: int, freedom: int, alpha: float) -> float:
    """The one-sided constant of Dunnett (1955) for that many comparisons with one, correlated by ½.

    P(max_j (X_j − X_0) / (√2 s) ≤ q) = E[Φ(X_0 + √2 q s)^k] = 1 − alpha, with s² a χ² of `freedom` degrees over them.
    """
    from scipy.optimize import brentq  # not above: these take a second to import, and few sweeps race
    from scipy.special import ndtr
    from scipy.stats import chi2

    normal = np.linspace(-8.0, 8.0, 49)
    low, high = np.log(chi2.ppf(1e-12, freedom)), np.log(chi2.isf(1e-12, freedom))
    squares = np.exp(np.linspace(low, high, 121))
    weights = np.outer(chi2.pdf(squares, freedom) * squares, np.exp(-(normal**2) / 2))
    weights /= weights.sum()
    scales = np.sqrt(2 * squares / freedom)[:, None]

    def excess(q: float) -> float:
        return float((weights * ndtr(normal + q * scales) ** comparisons).sum()) - (1 - alpha)

    upper = 4.0
    while excess(upper) < 0:
        upper *= 2
    return float(brentq(excess, 0.0, upper))


def _unbroken(scores: Mapping[int, float]) -> int:
    """How many of blocks 0, 1, 2, … are there before the first that is not."""
    return next(block for block in count() if block not in scores)


def _divergence(scores: Mapping[int, float]) -> int | None:
    """The first block that came out NaN, once all before it are there: a round that needs these waits for them."""
    return next((block for block in range(_unbroken(scores)) if isnan(scores[block])), None)
