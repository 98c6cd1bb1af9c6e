"""Scores against scikit-learn, and what becomes of classes that are not there."""

import json
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from trainers.corpora.utterance import EMOTIONS
from trainers.scores import Score, score

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
