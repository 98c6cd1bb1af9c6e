"""Scores of groups of test clips: of women and men, and of each speaker; and how far such a score is about the group.

A gender's score is also about the emotions that its clips happen to have: where nearly all of them are of one emotion,
it is that emotion's recall. What that comes to is found from the counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.heard import Cells
from trainers.corpora.utterance import EMOTIONS, GENDERS

Floats = NDArray[np.float64]

FEWEST_CLIPS = 5
"""Of an emotion that a gender must have for its recall to be compared (VALIDITY §7, rule 1)."""

FEWEST_SHARED = 3
"""Emotions that both genders must have for a gender to be told from an emotion (VALIDITY §7, rule 1)."""

FEWEST_OF_SPEAKER = 10
"""Speakers with fewer test clips are in no worst-speaker score."""

MOSTLY = 0.5
"""An emotion that is more than this share of a gender's clips makes most of its accuracy."""

PEOPLE = {"female": "women", "male": "men"}


def by_speaker(cells: Cells, language: str, times: int) -> dict[str, Floats]:
    """Speaker -> (truth, prediction): test clips of all folds together; `times`: how often each clip was tested (once
    for each seed and partition), so that counts are of clips."""
    found: dict[str, Floats] = {}
    for (target, _, _), cell in cells.items():
        if target in (language, None):
            names, matrices = cell.speakers(language)
            for name, matrix in zip(names, matrices, strict=True):
                found[name] = found.get(name, np.zeros(matrix.shape)) + matrix / times
    return dict(sorted(found.items()))


def by_gender(speakers: Mapping[str, Floats], genders: Mapping[str, str]) -> Floats:
    """(genders, truth, prediction): the clips of speakers of each of `GENDERS`; others are in none."""
    counts = np.zeros((len(GENDERS), len(EMOTIONS), len(EMOTIONS)))
    for name, matrix in speakers.items():
        if genders.get(name) in GENDERS:
            counts[GENDERS.index(genders[name])] += matrix
    return counts


def uar(matrix: Floats) -> float:
    """Mean recall over the emotions that have clips; NaN where none has."""
    own = recalls(matrix)
    there = own[~np.isnan(own)]
    return float(there.mean()) if len(there) else float("nan")


def recalls(matrix: Floats) -> Floats:
    """(classes,) share that is right; NaN where there is no clip."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diag(matrix) / matrix.sum(1))


def accuracy(matrix: Floats) -> float:
    """Share that is right; NaN where there is no clip."""
    return float(np.trace(matrix) / matrix.sum()) if matrix.sum() else float("nan")


@dataclass(frozen=True)
class Slice:
    """Scores of one configuration in one language, as shares of 1; NaN where they are not defined.

    `uar`, `accuracy`: of women and of men. `gap`: women's UAR less men's. `gap_alike`: mean over the emotions that both
    have at least five clips of, of women's recall less men's, which no difference in emotions can make. `worst`: the
    speaker with the least UAR of those with at least ten clips, "" where there is none.
    """

    of_all: float
    uar: tuple[float, float]
    accuracy: tuple[float, float]
    gap: float
    gap_alike: float
    worst: str
    worst_uar: float
    speakers: Mapping[str, float]


def sliced(speakers: Mapping[str, Floats], genders: Mapping[str, str]) -> Slice:
    """The scores of a configuration whose counts are `speakers`."""
    matrices = by_gender(speakers, genders)
    women, men = (uar(matrix) for matrix in matrices)
    shared = [place for place, clips in enumerate(matrices.sum(2).min(0)) if clips >= FEWEST_CLIPS]
    alike = recalls(matrices[0])[shared] - recalls(matrices[1])[shared]
    own = {name: uar(matrix) for name, matrix in speakers.items() if matrix.sum() >= FEWEST_OF_SPEAKER}
    worst = min(own, key=lambda name: own[name], default="")
    return Slice(
        of_all=uar(np.sum(list(speakers.values()), axis=0)) if speakers else float("nan"),
        uar=(women, men),
        accuracy=(accuracy(matrices[0]), accuracy(matrices[1])),
        gap=women - men,
        gap_alike=float(alike.mean()) if len(alike) else float("nan"),
        worst=worst,
        worst_uar=own.get(worst, float("nan")),
        speakers=own,
    )


def confounds(clips: Floats) -> Iterator[str]:
    """What the counts say of scores by gender, in sentences; `clips` (genders, emotions)."""
    totals = clips.sum(1)
    for group, count in zip(GENDERS, totals, strict=True):
        if not count:
            yield f"there are no clips of {PEOPLE[group]}, so nothing can be said of gender"
    if not totals.all():
        return
    for place, emotion in enumerate(EMOTIONS):
        yield from _one_sided(emotion, clips[:, place])
    for group, own in zip(GENDERS, clips, strict=True):
        most = int(own.argmax())
        if own[most] > MOSTLY * own.sum():
            yield (
                f"{100 * own[most] / own.sum():.0f} % of the {own.sum():.0f} clips of {PEOPLE[group]} are "
                f"{EMOTIONS[most]}: the accuracy of {PEOPLE[group]} is mostly the recall of {EMOTIONS[most]}"
            )
    shared = [EMOTIONS[place] for place, least in enumerate(clips.min(0)) if least >= FEWEST_CLIPS]
    if len(shared) < FEWEST_SHARED:
        told = f"only {_listed(shared)}" if shared else "no emotion"
        verb = "have" if len(shared) > 1 else "has"
        yield f"{told} {verb} at least {FEWEST_CLIPS} clips of both: here gender cannot be told from emotion"


def _one_sided(emotion: str, clips: Floats) -> Iterator[str]:
    """Of an emotion that one gender has hardly any clip of."""
    if clips.min() >= FEWEST_CLIPS or clips.max() < FEWEST_CLIPS:
        return
    most = int(clips.argmax())
    amount = "all" if not clips.min() else "nearly all"
    of_others = f"{clips.min():.0f} of {PEOPLE[GENDERS[1 - most]]}"
    yield f"{emotion} is {amount} of {PEOPLE[GENDERS[most]]} ({clips.max():.0f} clips, {of_others})"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(words)
