"""Ways of choosing a configuration, each told a factorial's cells one by one until it needs no more.

Ours; Ray Tune's AsyncHyperBandScheduler (driven block by block in the order of our plan, on the mean so far); Optuna's
WilcoxonPruner (a study of its own, one configuration after the other); scikit-learn's HalvingGridSearchCV (with blocks
as its resource; a cell counts once, though it trains anew). Each chooses the best of those that it knows furthest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import ceil, sqrt
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import WilcoxonPruner
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

from orchestrator.racing import FEWEST_FOR_NOISE, LEAST_FREEDOM, Race, dunnett, residual_mean_square
from tests.benchmarks.factorials import Scores, at_a_third, residuals


@dataclass(frozen=True)
class Outcome:
    """Cells used, as a share of the factorial, and the chosen configuration."""

    cells: float
    winner: int


Way = Callable[[Scores], Outcome]


def exhaustive(scores: Scores) -> Outcome:
    return Outcome(1.0, int(scores.mean(axis=1).argmax()))


def race(scores: Scores, alpha: float = 0.05) -> Outcome:
    blocks = scores.shape[1]
    standing = Race(blocks, alpha).run(_table(scores))
    used = sum(drop.blocks for drop in standing.drops.values()) + blocks * len(standing.survivors)
    return Outcome(used / scores.size, _best(scores, standing.survivors))


def _table(scores: Scores) -> dict[int, dict[int, float]]:
    return {one: dict(enumerate(row)) for one, row in enumerate((scores / 100).tolist())}


def asha(scores: Scores, factor: float, grace: int = 1) -> Outcome:
    """Tune's scheduler itself, without a running Ray: it asks a trial for nothing but its name."""
    configurations, blocks = scores.shape
    scheduler = AsyncHyperBandScheduler(
        "blocks", "uar", "max", max_t=blocks, grace_period=grace, reduction_factor=factor
    )
    trials: dict[int, Any] = {one: SimpleNamespace(trial_id=str(one)) for one in range(configurations)}
    running, used = list(trials), 0
    for one in running:
        scheduler.on_trial_add(None, trials[one])
    for count in range(1, blocks + 1):
        finished = running
        used += len(running)
        reports = {one: {"blocks": count, "uar": float(scores[one, :count].mean())} for one in running}
        said = {one: scheduler.on_trial_result(None, trials[one], reports[one]) for one in running}
        running = [one for one in running if said[one] == TrialScheduler.CONTINUE]
    return Outcome(used / scores.size, _best(scores, finished))


def wilcoxon(scores: Scores, threshold: float) -> Outcome:
    study = optuna.create_study(direction="maximize", pruner=WilcoxonPruner(p_threshold=threshold))
    used = 0
    for row in scores.tolist():
        trial = study.ask()
        for block, score in enumerate(row):
            used += 1
            trial.report(score, block)
            if block + 1 < len(row) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(np.mean(row)))
    return Outcome(used / scores.size, study.best_trial.number)


class Known(BaseEstimator):
    """A configuration whose scores are known; what scikit-learn gives it as data is the factorial."""

    def __init__(self, configuration: int = 0, blocks: int = 1) -> None:
        self.configuration = configuration
        self.blocks = blocks

    def fit(self, scores: Scores, _: None = None) -> Self:
        del scores
        return self

    def score(self, scores: Scores, _: None = None) -> float:
        return float(scores[self.configuration, : self.blocks].mean())


def halving(scores: Scores, factor: float, least: int | str = "exhaust") -> Outcome:
    configurations, blocks = scores.shape
    every = np.arange(configurations)
    grid = {"configuration": every.tolist()}
    rounds = {"resource": "blocks", "min_resources": least, "max_resources": blocks, "factor": factor}
    search = HalvingGridSearchCV(Known(), grid, cv=[(every, every)], return_train_score=False, **rounds).fit(scores)
    results = search.cv_results_
    used = np.zeros(configurations)
    np.maximum.at(used, results["param_configuration"].astype(int), results["n_resources"])
    return Outcome(used.sum() / scores.size, int(search.best_params_["configuration"]))


def with_ranks(scores: Scores, alpha: float = 0.05) -> Outcome:
    """Our race that after one block also drops the worst by rank, so many that if nothing but noise told configurations
    apart the grid's winner were among them with probability alpha; where more does, it is so less often."""
    configurations, blocks = scores.shape
    worst = worst_by_rank(configurations, blocks, alpha)
    kept = np.argsort(scores[:, 0], stable=True)[worst:]
    outcome = race(scores[kept], alpha)
    return Outcome((outcome.cells * kept.size * blocks + worst) / scores.size, int(kept[outcome.winner]))


@cache
def worst_by_rank(configurations: int, blocks: int, alpha: float) -> int:
    """How many are worst after one block without the final winner among them, at 1 − alpha, in races of noise."""
    draws = np.random.default_rng(0)
    first = draws.normal(0, 1, (50_000, configurations))
    final = first + draws.normal(0, sqrt(blocks - 1), first.shape)
    reached = np.take_along_axis(first, final.argmax(axis=1)[:, None], axis=1)
    return int(np.quantile((first < reached).sum(axis=1), alpha, method="lower"))


def with_rung(scores: Scores, correlation: float) -> Outcome:
    """Our race with a second rung inside the cell: from block 3 on it judges at a third of each block's steps too."""
    blocks = scores.shape[1]
    curves = at_a_third(scores, correlation)
    racing, used = np.array(Race(blocks).run(_table(scores[:, :1])).survivors), float(len(scores))
    for count in range(2, blocks + 1):
        if count > 2:
            beaten = _beaten(scores[racing, : count - 1], curves[racing, :count], blocks)
            used, racing = used + beaten.sum() / 3, racing[~beaten]
        used += len(racing)
        if count < blocks:
            racing = racing[~_beaten(scores[racing, :count], None, blocks)]
    return Outcome(used / scores.size, _best(scores, racing.tolist()))


def _beaten(scores: Scores, curves: Scores | None, blocks: int) -> NDArray[np.bool_]:
    """Whom the rule drops on complete blocks, and on the curves of these and of one more.

    What a configuration will score there is predicted from how far its curve lies from its own in earlier blocks, so
    that slow learners lose nothing, by the regression over the better half; a share r² of its variance is known then.
    """
    (racing, count), means = scores.shape, scores.mean(axis=1)
    half = np.argsort(-means)[: max(FEWEST_FOR_NOISE, ceil(racing / 2))]
    freedom = (len(half) - 1) * (count - 1)
    if freedom < LEAST_FREEDOM:
        return np.zeros(racing, bool)
    unknown = 1 / count - 1 / blocks
    if curves is not None:
        final, early = residuals(scores[half]), residuals(curves[half, :count])
        slope = (final * early).sum() / (early**2).sum()
        means = means + slope * (curves[:, count] - curves[:, :count].mean(axis=1)) / (count + 1)
        unknown -= slope * (final * early).sum() / (final**2).sum() / (count * (count + 1))
    limit = dunnett(racing - 1, freedom, 0.05) * sqrt(2 * residual_mean_square(scores[half]) * unknown)
    beaten: NDArray[np.bool_] = means.max() - means > limit
    return beaten


def _best(scores: Scores, among: Sequence[int]) -> int:
    means = scores[list(among)].mean(axis=1)
    return among[int(means.argmax())]


RIVALS: dict[str, Way] = {
    "ASHA, factor 4": partial(asha, factor=4),
    "ASHA, factor 2": partial(asha, factor=2),
    "ASHA, factor 1.3": partial(asha, factor=1.3),
    "ASHA, factor 2, grace 2": partial(asha, factor=2, grace=2),
    "Wilcoxon, p < .1": partial(wilcoxon, threshold=0.1),
    "Wilcoxon, p < .2": partial(wilcoxon, threshold=0.2),
    "Wilcoxon, p < .3": partial(wilcoxon, threshold=0.3),
    "halving, factor 3": partial(halving, factor=3),
    "halving, factor 2": partial(halving, factor=2),
    "halving, factor 2, from 2": partial(halving, factor=2, least=2),
}

OURS: dict[str, Way] = {
    "race, alpha .05": race,
    "race, alpha .1": partial(race, alpha=0.1),
    "race and ranks": with_ranks,
}

RUNGS: dict[str, Way] = {f"rung, correlation {r}": partial(with_rung, correlation=r) for r in (0.5, 0.7, 0.9)}
