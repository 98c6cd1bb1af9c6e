"""Scores: of predicted emotions over the four fixed classes, and of embeddings without a classifier.

Of predictions accuracy, macro-F1 and UAR; of embeddings how well they tell speakers apart (equal-error rate, nearest
neighbours) and how alike two representations are (PWCCA).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.audio.draws import numpy_generator
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError, require

Labels = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

NULL_DIRECTION = 1e-6
"""Below this share of a representation's largest singular value a direction is rounding (fp32 ends at about 1e-7)."""


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


def equal_error_rate(similarities: Floats, same: NDArray[np.bool_]) -> float:
    """Speaker verification's error where as many pairs of different speakers are taken for one as of one for two.

    `similarities` (pairs,), higher for more alike, and whether each pair really is of the `same` speaker (pairs,).
    A share from 0 to 1 (0.5 is chance), by linear interpolation between the thresholds around the crossing; NaN where
    there is no pair of one speaker, or none of two.
    """
    if not 0 < same.sum() < len(same):
        return float("nan")
    thresholds, numbers = np.unique(-np.asarray(similarities), return_inverse=True)
    accepted = [np.bincount(numbers[of], minlength=len(thresholds)).cumsum() / of.sum() for of in (same, ~same)]
    false_rejects, false_accepts = np.append(1, 1 - accepted[0]), np.append(0, accepted[1])
    excess = false_rejects - false_accepts  # falls from 1 to -1 as the threshold falls
    after = int(np.argmax(excess <= 0))
    share = excess[after - 1] / (excess[after - 1] - excess[after])
    return float(false_accepts[after - 1] + share * (false_accepts[after] - false_accepts[after - 1]))


def knn_accuracy(train_x: Floats, train_y: Labels, test_x: Floats, test_y: Labels, k: int) -> float:
    """Share of test embeddings whose k nearest training embeddings by cosine elect their label.

    `train_x` (n, d), `train_y` (n,), `test_x` (m, d), `test_y` (m,). Of labels with equally many votes the one with
    the nearest voter wins. NaN without test embeddings; UserError where `k` is not from 1 to n.
    """
    require(1 <= k <= len(train_x), "k", k, f"from 1 to {len(train_x)}, the number of training embeddings")
    if not len(test_x):
        return float("nan")
    nearest = np.argsort(-_unit(test_x) @ _unit(train_x).T, axis=1, kind="stable")[:, :k]
    voters = np.asarray(train_y)[nearest]
    votes = (voters[:, :, None] == voters[:, None, :]).sum(2)
    elected = voters[np.arange(len(voters)), votes.argmax(1)]
    return float((elected == test_y).mean())


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny))


def pwcca(x: Floats, y: Floats) -> float:
    """How alike two representations of the same n clips are, `x` (n, d1) and `y` (n, d2): projection-weighted CCA.

    Morcos, Raghu & Bengio 2018, the paper's form: Σ_i α_i ρ_i / Σ_i α_i of the canonical correlations ρ_i, each
    weighted by how much of a representation its direction accounts for, α_i = Σ_j |<h_i, x_j>| over its dimensions.
    The measure is not symmetric: weights are those of the side with fewer directions (of `x` where both have equally
    many). From 0 to 1, where 1 means that this side is a linear map of the other; no invertible map of the other
    side changes anything. Directions below 1e-6 of a side's largest are dropped (our choice).

    Chance is far from 0 where n is not far above d, so report `shuffled_pwcca` beside it. UserError where a side is
    constant or not finite, the numbers of clips differ, or n is so small that all correlations are 1.
    """
    weighing, basis, other = _sides(x, y)
    return _projection_weighted(weighing, basis, other)


def shuffled_pwcca(x: Floats, y: Floats, seed: int, rounds: int = 20) -> Floats:
    """What `pwcca` says of the same representations when the clips of one are shuffled: (rounds,) draws of its null."""
    weighing, basis, other = _sides(x, y)
    orders = [numpy_generator(seed, "shuffled pwcca", number).permutation(len(other)) for number in range(rounds)]
    return np.array([_projection_weighted(weighing, basis, other[order]) for order in orders])


def _sides(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """The centred side that gives the weights, its orthonormal basis (n, directions), and the other side's basis."""
    if len(x) != len(y):
        raise UserError(f"pwcca compares {len(x)} clips with {len(y)}; it needs the same clips on both sides")
    sides = [np.asarray(side, dtype=np.float64) for side in (x, y)]
    centred = [side - side.mean(0) for side in sides]
    bases = [_basis(side) for side in centred]
    most = max(basis.shape[1] for basis in bases)
    if most >= len(x) - 1:
        raise UserError(f"pwcca of {len(x)} clips in {most} directions is always 1; it needs at least {most + 2} clips")
    first = int(bases[1].shape[1] < bases[0].shape[1])
    return centred[first], bases[first], bases[1 - first]


def _basis(centred: Floats) -> Floats:
    if not np.isfinite(centred).all():
        raise UserError("pwcca needs finite representations; there is a NaN or an infinity")
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    kept = lengths > NULL_DIRECTION * max(lengths.max(initial=0), np.finfo(np.float32).tiny)
    if not kept.any():
        raise UserError("pwcca needs representations that vary; one is the same for all clips")
    return np.asarray(left[:, kept], dtype=np.float64)


def _projection_weighted(weighing: Floats, basis: Floats, other: Floats) -> float:
    rotation, correlations, _ = np.linalg.svd(basis.T @ other, full_matrices=False)
    weights = np.abs((basis @ rotation).T @ weighing).sum(1)
    return float(weights @ correlations.clip(max=1) / weights.sum())
