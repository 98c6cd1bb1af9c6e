"""Scores of predicted emotions: accuracy, macro-F1 and UAR over the four fixed classes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.corpora.utterance import EMOTIONS

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """How well one set of clips was classified. Recalls and F1 are shares (0 to 1); NaN where a class is absent.

    `uar` is the mean recall over the classes that are present, `macro_f1` is NaN where a class is absent
    (claims then rest on scores pooled over the folds). `confusion[truth][prediction]` counts clips.
    """

    n: int
    accuracy: float
    macro_f1: float
    uar: float
    recall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    accuracy_by_gender: dict[str, float]
    n_by_gender: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Score":
        confusion = tuple(tuple(int(count) for count in row) for row in values["confusion"])
        return cls(**{**values, "confusion": confusion})


def confusion_matrix(truth: Labels, predicted: Labels) -> NDArray[np.int64]:
    """Counts, rows the truth, columns the prediction: (4, 4)."""
    matrix = np.zeros((len(EMOTIONS), len(EMOTIONS)), dtype=np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix


def score(truth: Labels, predicted: Labels, genders: Sequence[str]) -> Score:
    """Score n predictions (class numbers) against n truths; `genders` names each clip's speaker's gender or ""."""
    matrix = confusion_matrix(truth, predicted)
    hits, truths, guesses = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(truths > 0, hits / truths, np.nan)
        f1 = 2 * hits / (truths + guesses)
    present = truths > 0
    correct, gender = truth == predicted, np.asarray(genders)
    named = sorted(set(genders) - {""})
    return Score(
        n=len(truth),
        accuracy=float(correct.mean()) if len(truth) else float("nan"),
        macro_f1=float(f1.mean()) if present.all() else float("nan"),
        uar=float(recall[present].mean()) if present.any() else float("nan"),
        recall={emotion: float(value) for emotion, value in zip(EMOTIONS, recall, strict=True)},
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        accuracy_by_gender={name: float(correct[gender == name].mean()) for name in named},
        n_by_gender={name: int((gender == name).sum()) for name in named},
    )
