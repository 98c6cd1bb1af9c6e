"""How embeddings lie, by others' reckoning: closed forms, numpy, scikit-learn."""

from math import sqrt

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from trainers.geometry import between_share, knn_uar, rankme, spread

DRAWS = np.random.default_rng(0)


def test_spread_of_a_constant_is_0_and_of_every_axis_once_is_its_closed_form() -> None:
    assert spread(torch.full((7, 5), 3.0)) == pytest.approx(0, abs=1e-12)
    for d in (2, 8, 64):  # a unit in each dimension: variance 1/d − 1/d² in each
        assert spread(torch.eye(d)) == pytest.approx(sqrt(d * (1 / d - 1 / d**2)))


def test_spread_knows_directions_alone() -> None:
    rows = torch.from_numpy(DRAWS.normal(size=(40, 6)))
    lengths = torch.from_numpy(DRAWS.uniform(0.1, 10, size=(40, 1)))
    assert spread(rows * lengths) == pytest.approx(spread(rows))


def test_spread_is_the_standard_deviation_that_numpy_finds_dimension_by_dimension() -> None:
    rows = DRAWS.normal(1.0, 1.0, size=(50, 9))
    units = np.array([row / sqrt(sum(value**2 for value in row)) for row in rows])
    by_hand = np.mean([np.std(units[:, column]) for column in range(9)]) * 3
    assert spread(torch.from_numpy(rows)) == pytest.approx(by_hand)


@pytest.mark.parametrize(("n", "d"), [(30, 12), (12, 30), (20, 20)])
def test_rankme_is_that_of_the_gram_matrix_s_eigenvalues(n: int, d: int) -> None:
    rows = DRAWS.normal(0.5, 1.0, size=(n, d)) * np.linspace(0.1, 3, d)
    lengths = np.sqrt(np.clip(np.linalg.eigvalsh(rows @ rows.T), 0, None))
    shares = lengths[lengths > 0] / lengths.sum()
    assert rankme(torch.from_numpy(rows)) == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())))


def test_rankme_counts_directions() -> None:
    assert rankme(torch.full((9, 4), 2.0)) == pytest.approx(1)
    assert rankme(torch.eye(6).repeat(3, 1)) == pytest.approx(6)
    assert rankme(torch.zeros(4, 4)) != rankme(torch.zeros(4, 4))  # NaN: there is no direction at all


def test_between_share_is_the_ratio_of_sums_of_squares_reckoned_clip_by_clip() -> None:
    one, other = DRAWS.normal(0, 1, size=(20, 3)), DRAWS.normal(1, 2, size=(35, 3))
    everything = [*one, *other]
    centre = sum(everything) / len(everything)
    total = sum(float(((row - centre) ** 2).sum()) for row in everything)
    between = sum(len(part) * float(((part.mean(0) - centre) ** 2).sum()) for part in (one, other))
    assert between_share([torch.from_numpy(one), torch.from_numpy(other)]) == pytest.approx(between / total)


def test_between_share_of_two_points_is_1_of_one_cloud_0_and_of_one_corpus_nothing() -> None:
    points = [torch.zeros(5, 3), torch.ones(9, 3)]
    assert between_share(points) == pytest.approx(1)
    cloud = torch.from_numpy(DRAWS.normal(size=(10, 3)))
    assert between_share([cloud, cloud]) == pytest.approx(0, abs=1e-12)
    assert between_share([cloud]) != between_share([cloud])


@pytest.mark.parametrize("labels", [(0, 1), (1, 3)])
def test_neighbours_elect_as_scikit_learn_s_do(labels: tuple[int, int]) -> None:
    known, asked = DRAWS.normal(size=(60, 5)), DRAWS.normal(size=(41, 5))
    known_labels, asked_labels = (np.where(rows[:, 0] + rows[:, 1] > 0.4, *labels) for rows in (known, asked))
    theirs = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(known, known_labels).predict(asked)
    found = knn_uar(torch.from_numpy(known), known_labels, torch.from_numpy(asked), asked_labels)
    assert found == pytest.approx(balanced_accuracy_score(asked_labels, theirs))
    assert 0.5 < found < 1


def test_fewer_than_five_known_clips_are_all_neighbours() -> None:
    known, asked = torch.eye(3), torch.eye(3)
    assert knn_uar(known, np.array([2, 2, 1]), asked, np.array([2, 1, 1])) == pytest.approx(0.5)  # all elect 2
