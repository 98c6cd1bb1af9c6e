"""How surely the winner leads on validation, and what more partitions of the folds would tell (`--until-ci WIDTH`).

The interval is that of the winner's lead over the runner-up, on the folds that all have, by the corrected t (VALIDITY
§5). Both were chosen by looking, the winner up and the runner-up down the scale, and that cancels out: in simulations
of 2 to 12 configurations the interval held the winner's true lead over the best of the rest in 95 to 99 % of the runs.
Against a rival that is further behind but noisier it would be wider, and so cost repeats that the question does not
need.

Whoever stops at a width stops more readily at a standard deviation that came out small: of two equal configurations the
interval then held the truth in 93 % of all runs or more, but in about 80 to 90 % of those that ended narrow enough for
a width near the floor. It tells how well the lead is known; who beats whom is for tests on test speech.

One configuration alone has the interval of its own mean, which holds how folds differ too. The last one in a race is
not alone in this sense: the race has settled its lead, and nothing is left to ask here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, sqrt
from statistics import fmean, stdev
from typing import Literal

from scipy.special import ndtri

from orchestrator.answers.statistics import ALPHA, half_width, repeat_of
from trainers.errors import require

Scores = Mapping[int, Mapping[int, float]]
"""Configuration -> fold, through all repeats -> validation score, a share of 1: over seeds and languages already."""


@dataclass(frozen=True)
class Lead:
    """The winner's lead in UAR points: mean and sd over `repeats` partitions, of `folds` folds each.

    `runner_up` is None where the winner is alone; mean and sd are then those of its own scores.
    """

    winner: int
    runner_up: int | None
    mean_points: float
    sd_points: float
    folds: int
    repeats: int

    @property
    def width_points(self) -> float:
        """From the lower to the upper end of the 95 % interval."""
        return self.width_after(self.repeats)

    @property
    def floor_points(self) -> float:
        """The width that is left after ever more repeats, if the sd stays: trainings go on sharing their speech."""
        return 2 * float(-ndtri(ALPHA / 2)) * self.sd_points / sqrt(self.folds - 1) if self.folds > 1 else inf

    def width_after(self, repeats: int) -> float:
        """The width after so many repeats in all, if the sd stays; infinite for a single fold."""
        return 2 * float(half_width(self.sd_points, self.folds * repeats, self.folds))


@dataclass(frozen=True)
class Outlook:
    """What may be hoped for of a wanted width: `repeats`, in all, that are about enough; None where none are."""

    verdict: Literal["narrow enough", "repeats needed", "not reachable"]
    repeats: int | None


def lead(scores: Scores, partition: int) -> Lead:
    """The lead among configurations that are still in the race, on the whole partitions that all of them have.

    `partition`: folds of a partition, so that fold f is of repeat f // partition. Where only some of its folds are run,
    a repeat that has the same ones is whole. A configuration with a NaN has diverged and takes no part. ValueError
    where nobody takes part, or without a fold that all have.
    """
    sound = [one for one, own in scores.items() if not any(map(isnan, own.values()))]
    shared = set.intersection(*(set(scores[one]) for one in sound)) if sound else set()
    folds = _whole(sorted(shared), partition)
    if not folds:
        raise ValueError(f"configurations {', '.join(map(str, scores))} have no fold in common")
    ranked = sorted(sound, key=lambda one: (-fmean(scores[one][fold] for fold in folds), one))
    winner, runner_up = ranked[0], ranked[1] if len(ranked) > 1 else None
    rival = scores[runner_up] if runner_up is not None else dict.fromkeys(folds, 0.0)
    ahead = [100 * (scores[winner][fold] - rival[fold]) for fold in folds]
    repeats = len({repeat_of(fold, partition)[0] for fold in folds})
    sd = stdev(ahead) if len(ahead) > 1 else inf
    return Lead(winner, runner_up, fmean(ahead), sd, len(folds) // repeats, repeats)


def outlook(found: Lead, width_points: float, most_repeats: int) -> Outlook:
    """Whether the interval is narrow enough, or how many repeats would make it so; `most_repeats`: all there are.

    A forecast by the present sd, and five folds tell an sd badly: the true one may be .6 or 2.9 times that. UserError:
    a width that is not above 0.
    """
    require(width_points > 0, "until-ci", width_points, "above 0: the width of an interval in UAR points")
    if found.width_points <= width_points:
        return Outlook("narrow enough", found.repeats)
    for repeats in range(found.repeats + 1, most_repeats + 1):
        if found.width_after(repeats) <= width_points:
            return Outlook("repeats needed", repeats)
    return Outlook("not reachable", None)


def told(found: Lead, width_points: float, most_repeats: int, names: Sequence[str]) -> str:
    """The outlook in a line; `names`: of the configurations, by number."""
    winner = names[found.winner]
    ahead = f"{winner} leads {names[found.runner_up]} by" if found.runner_up is not None else f"{winner} alone has"
    if found.folds == 1:
        return f"{ahead} {found.mean_points:.1f} points, of which one fold tells no interval"
    interval = f"{found.mean_points:.1f} ± {found.width_points / 2:.1f} points, {found.width_points:.1f} wide"
    many = f"{found.repeats} partition{'s' if found.repeats > 1 else ''} of {found.folds} folds"
    return f"{ahead} {interval} after {many}: {_verdict(found, width_points, most_repeats)}"


def _verdict(found: Lead, width_points: float, most_repeats: int) -> str:
    ahead = outlook(found, width_points, most_repeats)
    if ahead.verdict == "narrow enough":
        return f"narrow enough for {width_points:.1f}"
    if ahead.verdict == "repeats needed":
        return f"about {ahead.repeats} partitions needed for {width_points:.1f}"
    if found.floor_points < width_points:
        least = f"all {most_repeats} partitions there are would make it {found.width_after(most_repeats):.1f}"
        return f"{width_points:.1f} is not reachable, {least}"
    return f"{width_points:.1f} is not reachable, the floor is {found.floor_points:.1f}"


def _whole(folds: Sequence[int], partition: int) -> list[int]:
    """The folds of those repeats that have the same ones as the first has."""
    own: dict[int, set[int]] = {}
    for fold in folds:
        repeat, number = repeat_of(fold, partition)
        own.setdefault(repeat, set()).add(number)
    first = next(iter(own.values()), set())
    return [fold for fold in folds if own[repeat_of(fold, partition)[0]] == first]
