"""Failures that test scores tell (VALIDITY §7), so only `compare` may look for them, once it has opened these.

Each rule is a pure function of the results of a configuration, and of the reference's where it compares.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isnan, sqrt
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.claims import Claim, points
from orchestrator.answers.finding import Finding
from orchestrator.answers.notes import chance_sd
from orchestrator.answers.rows import Folds, Place, by_fold, measures
from trainers.corpora.utterance import EMOTIONS
from trainers.result import Result
from trainers.scores import Score

Found = Mapping[Place, Result]
Counts = NDArray[np.float64]

GENDERS = ("female", "male")
GENDER_SHIFT, GENDER_GAP, GENDER_CLIPS = 0.05, 0.10, 5
GENDER_CLASSES = 3
"""With fewer emotions that both genders have clips of, gender is not separable from emotion (URDU has two)."""

HOLDS, GAIN, GAIN_BOUND = 0.02, 0.01, 0.03
SD, CHANCE_TIMES = 0.05, 1.5
RECALL_CLIPS, GUESSED_SHARE = 10, 0.01
UNEVEN, FLOOR_MARGIN, REGRET = 0.25, 0.03, 0.03

NO_SEPARATION = "gender not separable from emotion"


def gender_regression(found: Found, reference: Found, languages: Sequence[str]) -> Iterator[Finding]:
    """Rule 1: against the reference women lose 5 points of accuracy and men gain 5, and of the emotions that both have
    five clips of, each weighing the same, women's recall changes by 10 points less than men's."""
    for language in languages:
        own, other = by_gender(found, language), by_gender(reference, language)
        clips = np.minimum(own.sum(2), other.sum(2))
        if not clips.sum(1).all():
            continue
        female, male = _accuracy(own) - _accuracy(other)
        if female > -GENDER_SHIFT or male < GENDER_SHIFT:
            continue
        moved = f"women {points(female, signed=True)}, men {points(male, signed=True)} points of accuracy"
        shared = [place for place in range(len(EMOTIONS)) if clips[:, place].min() >= GENDER_CLIPS]
        if len(shared) < GENDER_CLASSES:
            told = ", ".join(
                f"{EMOTIONS[place]} {clips[0, place]:g}/{clips[1, place]:g}" for place in range(len(EMOTIONS))
            )
            what = f"{moved}, but {NO_SEPARATION} (clips of women/men: {told})"
            yield Finding(
                "gender regression", language, what, "a corpus with both genders in each emotion", certain=False
            )
            continue
        gap = float(np.subtract(*(_recalls(own) - _recalls(other))[:, shared].mean(1)))
        if gap <= -GENDER_GAP:
            what = f"{moved}; at equal emotions women {points(-gap)} points behind men"
            yield Finding("gender regression", language, what, "class_weights=gender; CL: balance=gender")


def by_gender(found: Found, language: str) -> Counts:
    """(genders, truth, prediction): test clips of all folds together, mean over seeds."""
    part = f"test/{language}"
    clips = Counter(
        (row["gender"], row["emotion"], row["predicted"])
        for place in _places(found, language)
        for row in found[place].predictions
        if row.get("part") == part
    )
    counts = np.zeros((len(GENDERS), len(EMOTIONS), len(EMOTIONS)))
    for (gender, emotion, predicted), count in clips.items():
        if gender in GENDERS:
            counts[GENDERS.index(gender), EMOTIONS.index(emotion), predicted] = count
    return counts / max(1, len({seed for _, _, seed in found}))


def _accuracy(counts: Counts) -> Counts:
    return np.asarray(np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2)))


def _recalls(counts: Counts) -> Counts:
    """(genders, emotions); NaN where a gender has no clip of an emotion."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diagonal(counts, axis1=1, axis2=2) / counts.sum(2))


def non_transfer(found: Found, reference: Found, held_out: Sequence[str], claim: Claim | None) -> Iterator[Finding]:
    """Rule 6: held-out high-resource speech is within 2 points of the reference's or above, but the target languages
    gain less than one point on the mean, with an interval below 3; a wider one leaves it undecided.

    `claim`: of this configuration against the reference, on the mean of the languages.
    """
    both = [(_mean_uar(found, name), _mean_uar(reference, name)) for name in held_out]
    told = [(own, other) for own, other in both if not isnan(own + other)]
    if not told or claim is None:
        return
    high = fmean(own - other for own, other in told)
    if high < -HOLDS or claim.difference >= GAIN:
        return
    decided = claim.high < GAIN_BOUND
    bound = "no interval" if isnan(claim.high) else f"95 % CI to {points(claim.high, signed=True)}"
    what = (
        f"{', '.join(held_out)} {points(high, signed=True)} points against {claim.reference}, "
        f"{claim.place} {points(claim.difference, signed=True)} ({bound}){'' if decided else ': undecided'}"
    )
    try_next = "lambda up, adapt_share up (a longer first stage)" if decided else "more folds, repeats or seeds"
    yield Finding("non-transfer", "", what, try_next, certain=decided)


def high_variance(found: Found, languages: Sequence[str]) -> Iterator[Finding]:
    """Rule 7: UAR's sd over folds is above 5 points and above 1.5 times what so many clips have by chance alone,
    √(Σ_y r_y (1 − r_y) / (C² n_y)) of recalls r_y; below that the size of the folds explains it."""
    for language in languages:
        folds = _tested(found, language)
        blocks = [fmean(score.uar for _, score in cells) for cells in folds.values()]
        if len(blocks) < 2 or not (sd := stdev(blocks)) > SD:
            continue
        chance = sqrt(fmean(chance_sd(score) ** 2 for cells in folds.values() for _, score in cells))
        what = f"sd of UAR over folds {points(sd)} points, by chance alone {points(chance)}"
        if sd > CHANCE_TIMES * chance:
            yield Finding("high variance", language, what, "more seeds; look at the folds one by one")
        else:
            yield Finding("high variance", language, f"{what}: explained by fold size", "repeats", certain=False)


def class_never_predicted(found: Found, languages: Sequence[str]) -> Iterator[Finding]:
    """Rule 8: an emotion of ten clips or more, all folds together, with recall 0 or below 1 % of the predictions."""
    for language in languages:
        counts = sum((np.array(score.confusion) for score in _scores(found, language)), np.zeros((len(EMOTIONS),) * 2))
        seeds = max(1, len({seed for _, _, seed in found}))
        for place, emotion in enumerate(EMOTIONS):
            clips, guesses = counts[place].sum() / seeds, counts[:, place].sum() / max(1, counts.sum())
            if clips >= RECALL_CLIPS and (not counts[place, place] or guesses < GUESSED_SHARE):
                recall = counts[place, place] / counts[place].sum()
                what = f"{emotion}: recall {100 * recall:.1f}, {100 * guesses:.1f} % of predictions, {clips:g} clips"
                yield Finding(
                    "class never predicted", language, what, "look at level and silence of that emotion; views"
                )


def uneven_transfer(found: Found, languages: Sequence[str]) -> Iterator[Finding]:
    """Rule 11: more than 25 points of UAR between the best and the worst target language."""
    uars = {name: uar for name in languages if not isnan(uar := _mean_uar(found, name))}
    if len(uars) > 1 and max(uars.values()) - min(uars.values()) > UNEVEN:
        best, worst = max(uars, key=uars.__getitem__), min(uars, key=uars.__getitem__)
        what = f"UAR {points(uars[best])} in {best}, {points(uars[worst])} in {worst}"
        yield Finding("uneven transfer", "", what, "choose by the worst: --objective worst --select-on other-languages")


def nuisance_floor(found: Found, nuisance: Found, languages: Sequence[str]) -> Iterator[Finding]:
    """Rule 11: UAR at most 3 points above what level, silence and duration alone reach."""
    for language in languages:
        own, floor = _mean_uar(found, language), _mean_uar(nuisance, language)
        if own <= floor + FLOOR_MARGIN:
            what = f"UAR {points(own)}, level, silence and duration alone {points(floor)}"
            yield Finding("nuisance floor", language, what, "trim_db and rms_db on; more steps; another encoder")


def selector_failure(spearman: float | None, regret: float | None) -> Iterator[Finding]:
    """Rule 11: validation ranks configurations no better than chance (Spearman ≤ 0), or costs more than 3 points."""
    weak, dear = spearman is not None and spearman <= 0, regret is not None and regret > REGRET
    if weak or dear:
        rho = "n/a" if spearman is None else f"{spearman:.2f}".replace("-", "−")
        cost = "n/a" if regret is None else f"{points(regret)} points"
        try_next = "--select-on other-languages, or no choice at all: read the whole table"
        yield Finding("selector failure", "", f"Spearman of validation and test {rho}, regret {cost}", try_next)


def _places(found: Found, language: str) -> list[Place]:
    """The cells that speak of a target language."""
    return [place for place in found if place[0] in (language, None)]


def _tested(found: Found, language: str) -> Folds:
    return by_fold(_places(found, language), found, language)


def _scores(found: Found, language: str) -> list[Score]:
    return [found[place].test[language] for place in _places(found, language) if language in found[place].test]


def _mean_uar(found: Found, language: str) -> float:
    """Of a target, or of held-out speech, which every cell has; NaN where it was not tested."""
    own = _tested(found, language) or by_fold(list(found), found, language)
    return measures(own).uar.mean if own else float("nan")
