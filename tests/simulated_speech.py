"""Test speech as simulated configurations hear it, for asking how often what is not there is claimed."""

from collections.abc import Sequence

import numpy as np

from orchestrator.answers.heard import Heard

SPEAKERS = {"urdu": 20, "german": 10, "bangla": 20}
CLIPS = {"urdu": 5, "german": 8, "bangla": 20}
"""Of each speaker and class."""

FOLDS, SEEDS, CLASSES = 5, 5, 4


def simulated(gains: Sequence[float], draws: np.random.Generator) -> dict[str, Heard]:
    """Language -> what configurations heard that truly differ by `gains` (in log-odds of being right, 1 is large).

    A clip's odds depend on language, class and speaker, which all configurations share; and on what differs between
    two that are equally good: how each gets on with a speaker, what it learned in each fold's training (for all
    languages, and for this one), and its seed. What is learned in any two folds is alike to the degree that the
    corrected t takes them to be, 1/K.
    """
    shared = _learned(0.25, len(gains), draws)
    seeds = draws.normal(0, 0.3, (len(gains), FOLDS, SEEDS))
    return {language: _heard(language, gains, shared, seeds, draws) for language in SPEAKERS}


def _heard(
    language: str, gains: Sequence[float], shared: np.ndarray, seeds: np.ndarray, draws: np.random.Generator
) -> Heard:
    count, speakers = len(gains), SPEAKERS[language]
    learned = shared + _learned(0.2, count, draws)
    own = draws.normal(0, 0.4, (count, speakers))
    difficulty = draws.normal(0.3, 0.5, (speakers, 1)) + draws.normal(0, 0.4, (1, CLASSES))
    fold_of = np.arange(speakers) % FOLDS
    clips, hits = np.zeros((FOLDS, speakers, CLASSES)), np.zeros((count, FOLDS, speakers, CLASSES))
    for speaker, fold in enumerate(fold_of):
        clips[fold, speaker] = CLIPS[language]
        good = np.asarray(gains) + learned[:, fold] + own[:, speaker]
        odds = (good[:, None] + seeds[:, fold])[:, :, None] + difficulty[speaker]  # configurations, seeds, classes
        hits[:, fold, speaker] = draws.binomial(CLIPS[language], 1 / (1 + np.exp(-odds))).mean(1)
    names = tuple(f"c{number}" for number in range(count))
    return Heard(names, tuple(range(FOLDS)), FOLDS, tuple(f"{language}{k}" for k in range(speakers)), clips, hits)


def _learned(sd: float, count: int, draws: np.random.Generator) -> np.ndarray:
    """(configurations, folds), any two folds correlated by 1/K."""
    common, own = draws.normal(0, 1, (count, 1)), draws.normal(0, 1, (count, FOLDS))
    return np.asarray(sd * (np.sqrt(1 / FOLDS) * common + np.sqrt(1 - 1 / FOLDS) * own))
