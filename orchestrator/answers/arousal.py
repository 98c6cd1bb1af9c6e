"""Where a gain comes from: arousal (anger and happiness against neutral and sadness), or valence within it.

Loudness tells arousal, so a front end or a confound can raise it without an emotion being understood.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from orchestrator.answers.claims import points
from orchestrator.answers.heard import Cells
from orchestrator.answers.section import Section, share
from orchestrator.answers.statistics import Floats
from trainers.corpora.utterance import EMOTIONS

HIGH = ("angry", "happy")
ALIKE = (("angry", "happy"), ("neutral", "sad"))
"""Emotions of the same arousal."""

LEAST_GAIN = 0.01
"""Of smaller gains no share is told."""


def origins(cells: Mapping[str, Cells], languages: Sequence[str], reference: str, listed: Collection[str]) -> Section:
    """Of each listed configuration and language its arousal and valence, and where its gain over the reference ("" for
    none) comes from."""
    before = {language: rates(cells.get(reference, {}), language) for language in languages}
    rows = []
    for name in cells:
        if name in listed:
            for language in languages:
                found = rates(cells[name], language)
                gain = _gain(found, before[language]) if name != reference else ()
                scores = (share(arousal_uar(found)), share(valence_accuracy(found)))
                rows.append((name, language, *scores, *(gain or _NONE)))
    headings = (f"against {reference}" if reference else "configuration", "on", "arousal UAR", "valence acc")
    parts = ("UAR gained", "angry↔happy", "neutral↔sad", "across arousal", "within, %")
    notes = (
        "arousal UAR: mean recall of angry or happy against neutral or sad, in %; chance is 50",
        "valence acc: of the clips whose arousal is right, the share whose emotion is, each emotion weighing the same",
        "UAR gained, in points, is the sum of the confusions that went: between angry and happy, between neutral and "
        "sad (valence), and across arousal; within: the share of the first two, of gains of a point or more",
    )
    return Section("arousal and valence", (*headings, *parts), tuple(rows), notes)


_NONE = ("–",) * 5


def rates(cells: Cells, language: str) -> Floats:
    """(truth, prediction): share of a class's clips, of all folds together and mean over seeds, that were taken for a
    class; a row of NaN where there is no clip of the class."""
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    for (target, _, _), cell in cells.items():
        if target in (language, None) and language in cell.test:
            counts += np.array(cell.test[language].confusion)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(1, keepdims=True))


def arousal_uar(found: Floats) -> float:
    """Mean recall of high and of low arousal, an arousal's emotions weighing the same."""
    high = np.array([emotion in HIGH for emotion in EMOTIONS])
    return float(np.mean([_mean(found[np.ix_(own, own)].sum(1)) for own in (high, ~high)]))


def valence_accuracy(found: Floats) -> float:
    """Mean over emotions of the share that is right among the clips whose arousal is."""
    right = np.diagonal(found)
    alike = np.array([found[k, _other(k)] for k in range(len(EMOTIONS))])
    with np.errstate(invalid="ignore"):
        return _mean(right / (right + alike))


def _other(emotion: int) -> int:
    """The emotion of the same arousal."""
    pair = next(pair for pair in ALIKE if EMOTIONS[emotion] in pair)
    return EMOTIONS.index(pair[1 - pair.index(EMOTIONS[emotion])])


def gains(found: Floats, before: Floats) -> tuple[float, float, float, float]:
    """UAR gained, and the parts that it is the sum of: fewer confusions of angry and happy, of neutral and sad, and of
    emotions of different arousal. A class that is absent counts in none."""
    classes = int(np.count_nonzero(~np.isnan(found).all(1)))
    fewer = (before - found) / (classes or 1)
    np.fill_diagonal(fewer, 0.0)
    within = [sum(fewer[EMOTIONS.index(one), EMOTIONS.index(other)] for one, other in _both(pair)) for pair in ALIKE]
    whole = float(np.nansum(fewer))
    parts = [float(np.nan_to_num(part)) for part in within]
    return whole, parts[0], parts[1], whole - sum(parts)


def _both(pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield pair
    yield pair[::-1]


def _gain(found: Floats, before: Floats) -> tuple[str, ...]:
    if np.isnan(before).all() or np.isnan(found).all():
        return ()
    whole, *parts = gains(found, before)
    within = share((parts[0] + parts[1]) / whole, 0).replace("-", "−") if whole >= LEAST_GAIN else "–"
    return (*(points(part, signed=True) for part in (whole, *parts)), within)


def _mean(values: Floats) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
