"""Scores against scikit-learn, and what becomes of classes that are not there."""

import json
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier

from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError
from trainers.scores import Floats, Score, equal_error_rate, knn_accuracy, score

ALL = range(4)
labelled = st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(ALL)), min_size=1, max_size=60)


def of(pairs: list[tuple[int, int]], genders: list[str] | None = None) -> Score:
    truth, predicted = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return score(truth, predicted, genders or [""] * len(pairs))


@given(labelled)
@settings(deadline=None, max_examples=30)
def test_accuracy_recalls_and_confusion_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    found = of(pairs)
    assert found.n == len(pairs)
    assert found.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert np.array_equal(found.confusion, confusion_matrix(truth, predicted, labels=ALL))
    wanted = recall_score(truth, predicted, labels=ALL, average=None, zero_division=nan)
    assert list(found.recall) == list(EMOTIONS)
    assert np.allclose(list(found.recall.values()), wanted, equal_nan=True)


@given(labelled)
@settings(deadline=None, max_examples=30)
def test_uar_is_the_mean_recall_over_the_classes_that_are_there(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    wanted = recall_score(truth, predicted, labels=sorted(set(truth)), average="macro")
    assert of(pairs).uar == pytest.approx(wanted)


@given(labelled)
@settings(deadline=None, max_examples=30)
def test_macro_f1_is_scikit_learns_over_four_classes_and_nan_where_one_is_absent(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    if len(set(truth)) < 4:
        assert isnan(of(pairs).macro_f1)
    else:
        assert of(pairs).macro_f1 == pytest.approx(f1_score(truth, predicted, labels=ALL, average="macro"))


def test_a_class_that_is_never_predicted_counts_as_zero_and_not_as_absent() -> None:
    found = of([(0, 0), (1, 0), (2, 2), (3, 3)])
    assert found.recall["happy"] == 0.0
    assert found.uar == pytest.approx(3 / 4)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0 + 1 + 1) / 4)


def test_each_gender_has_its_own_accuracy_and_a_clip_without_gender_has_none() -> None:
    pairs = [(0, 0), (1, 1), (2, 3), (3, 3), (0, 1)]
    found = of(pairs, ["female", "female", "female", "male", ""])
    assert found.accuracy_by_gender == {"female": pytest.approx(2 / 3), "male": 1.0}
    assert found.n_by_gender == {"female": 3, "male": 1}
    assert found.n == 5


def test_no_clips_have_no_score() -> None:
    found = of([])
    assert found.n == 0
    assert isnan(found.accuracy)
    assert isnan(found.uar)
    assert isnan(found.macro_f1)


@given(labelled)
@settings(deadline=None, max_examples=30)
def test_the_order_of_the_clips_does_not_matter(pairs: list[tuple[int, int]]) -> None:
    assert str(of(pairs)) == str(of(pairs[::-1]))


def test_a_score_survives_json_with_its_absent_classes() -> None:
    found = of([(0, 0), (1, 0), (1, 1)], ["female", "male", "male"])
    again = Score.from_dict(json.loads(json.dumps(found.as_dict())))
    assert str(again) == str(found)  # NaN equals nothing, itself included
    assert isinstance(again.confusion[0], tuple)


def where_the_curve_crosses_the_diagonal(similarities: Floats, same: Floats) -> float:
    """The point on scikit-learn's ROC curve with false accepts = 1 − hits, by bisection along the curve."""
    false_accepts, hits, _ = roc_curve(same, similarities, drop_intermediate=False)
    along = np.arange(len(hits))
    low, high = 0.0, float(along[-1])
    for _ in range(60):
        middle = (low + high) / 2
        accepts, hit = np.interp(middle, along, false_accepts), np.interp(middle, along, hits)
        low, high = (middle, high) if accepts < 1 - hit else (low, middle)
    return float(np.interp(low, along, false_accepts))


@pytest.mark.parametrize("seed", range(10))
def test_the_equal_error_rate_is_where_scikit_learns_roc_curve_crosses_the_diagonal(seed: int) -> None:
    random = np.random.default_rng(seed)
    same = random.random(60) < 0.3
    similarities = np.round(random.normal(size=60) + same, int(seed % 3))  # rounded: with ties
    wanted = where_the_curve_crosses_the_diagonal(similarities, same)
    assert equal_error_rate(similarities, same) == pytest.approx(wanted, abs=1e-9)


def test_the_equal_error_rate_is_zero_apart_one_upside_down_half_without_a_difference_and_nan_without_a_pair() -> None:
    same = np.array([True, True, False, False, False])
    apart = np.array([0.9, 0.8, 0.1, 0.2, 0.3])
    assert equal_error_rate(apart, same) == 0
    assert equal_error_rate(-apart, same) == 1
    assert equal_error_rate(np.ones(5), same) == 0.5
    assert isnan(equal_error_rate(apart, np.ones(5, dtype=bool)))
    assert isnan(equal_error_rate(apart, np.zeros(5, dtype=bool)))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_neighbours_between_two_labels_are_those_of_scikit_learn_by_cosine(k: int) -> None:
    random = np.random.default_rng(k)
    train_y, test_y = random.integers(0, 2, 40), random.integers(0, 2, 25)
    train_x, test_x = (random.normal(size=(len(y), 5)) + y[:, None] for y in (train_y, test_y))
    reference = KNeighborsClassifier(k, metric="cosine").fit(train_x, train_y)
    wanted = reference.score(test_x, test_y)
    assert 0 < wanted < 1
    assert knn_accuracy(train_x, train_y, test_x, test_y, k) == pytest.approx(wanted)


def test_between_labels_of_equally_many_votes_the_nearest_neighbour_decides() -> None:
    angles = np.radians([10, 20, 30, 40, 50])
    train_x, train_y = np.column_stack([np.cos(angles), np.sin(angles)]), np.array([9, 4, 4, 9, 1])
    test_x = np.array([[5.0, 0.0]])
    elected = [next(y for y in (9, 4, 1) if knn_accuracy(train_x, train_y, test_x, [y], k) == 1) for k in range(1, 6)]
    assert elected == [9, 9, 4, 9, 9]


def test_neighbours_without_a_test_have_no_accuracy_and_more_neighbours_than_there_are_are_refused() -> None:
    x, y = np.eye(3), np.arange(3)
    assert isnan(knn_accuracy(x, y, x[:0], y[:0], 1))
    with pytest.raises(UserError, match="k is 4; it must be from 1 to 3"):
        knn_accuracy(x, y, x, y, 4)
