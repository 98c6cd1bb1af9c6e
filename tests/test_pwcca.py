"""PWCCA against the paper's formula, closed forms and its invariances."""

import math

import numpy as np
import pytest

from trainers.errors import UserError
from trainers.scores import Floats, pwcca, shuffled_pwcca


def noise(seed: int, n: int, d: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


def inverse_root(symmetric: Floats) -> Floats:
    values, vectors = np.linalg.eigh(symmetric)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def by_the_papers_formula(x: Floats, y: Floats) -> float:
    """Through Σxx^{-1/2} Σxy Σyy^{-1/2} = U S Vᵀ and h_i = (U' Σxx^{-1/2} X)_i, one weight after the other."""
    x, y = x - x.mean(0), y - y.mean(0)
    root = inverse_root(x.T @ x)
    u, rho, _ = np.linalg.svd(root @ x.T @ y @ inverse_root(y.T @ y))
    total, norm = 0.0, 0.0
    for i in range(len(rho)):
        h = x @ root @ u[:, i]
        alpha = sum(abs(float(h @ x[:, j])) for j in range(x.shape[1]))
        total, norm = total + alpha * rho[i], norm + alpha
    return total / norm


@pytest.mark.parametrize("d2", [4, 6])
def test_pwcca_is_the_papers_formula_weighted_by_the_side_with_fewer_directions(d2: int) -> None:
    x = noise(0, 80, 4) * [1, 5, 0.2, 3] + 7
    y = x @ noise(1, 4, d2) + 2 * noise(2, 80, d2)
    assert 0.2 < pwcca(x, y) < 0.95
    assert pwcca(x, y) == pytest.approx(by_the_papers_formula(x, y), abs=1e-9)
    if d2 > 4:
        assert pwcca(y, x) == pytest.approx(pwcca(x, y))


def test_between_sides_of_equally_many_directions_it_is_not_symmetric() -> None:
    x = noise(3, 100, 3) * [10, 1, 1]
    y = np.column_stack([x[:, 0], noise(4, 100, 2) * 10])
    assert pwcca(x, y) == pytest.approx(by_the_papers_formula(x, y))
    assert pwcca(y, x) == pytest.approx(by_the_papers_formula(y, x))
    assert pwcca(x, y) > pwcca(y, x) + 0.1


def test_in_one_dimension_it_is_the_correlation_without_its_sign() -> None:
    x, y = noise(5, 50, 1), noise(6, 50, 1) - 0.4 * noise(5, 50, 1)
    assert pwcca(x, y) == pytest.approx(abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]))


def test_a_shared_dimension_of_double_length_beside_one_at_right_angles_gives_two_thirds() -> None:
    columns = np.linalg.qr(np.column_stack([np.ones(20), noise(7, 20, 3)]))[0][:, 1:]  # at right angles, of mean 0
    x, y = columns[:, [0, 1]] * [2, 1], columns[:, [0, 2]]
    assert pwcca(x, y) == pytest.approx(2 / 3)


@pytest.mark.parametrize("d2", [8, 20])
def test_a_linear_map_that_loses_nothing_gives_one_from_both_sides(d2: int) -> None:
    x = noise(8, 200, 8)
    y = x @ noise(9, 8, d2) - 3
    assert pwcca(x, y) == pytest.approx(1)
    assert pwcca(y, x) == pytest.approx(1)


def test_no_invertible_map_of_the_other_side_changes_anything() -> None:
    x, y = noise(10, 100, 5), noise(11, 100, 7)
    y[:, :3] += x[:, :3]
    assert pwcca(x, y @ noise(12, 7, 7) + 100) == pytest.approx(pwcca(x, y))


def test_independent_noise_lies_well_below_one_and_where_its_shuffled_null_lies() -> None:
    x, y = noise(13, 500, 8), noise(14, 500, 8)
    null = shuffled_pwcca(x, y, seed=0, rounds=50)
    assert pwcca(x, y) < 0.2
    assert null.min() - 0.03 < pwcca(x, y) < null.max() + 0.03


def test_the_null_tells_what_few_clips_in_many_dimensions_reach_by_chance() -> None:
    x, y = noise(15, 60, 40), noise(16, 60, 40)
    assert shuffled_pwcca(x, y, seed=0, rounds=5).min() > 0.6
    shared = np.column_stack([x[:, :1] * 20, y])
    assert pwcca(x[:, :1], shared) > shuffled_pwcca(x[:, :1], shared, seed=0).max()


def test_the_null_is_pwcca_of_shuffled_clips_and_repeats_itself() -> None:
    x, y = noise(17, 30, 2), noise(18, 30, 2)
    draws = shuffled_pwcca(x, y, seed=4, rounds=200)
    assert np.array_equal(draws, shuffled_pwcca(x, y, seed=4, rounds=200))
    again = [pwcca(x, y[np.random.default_rng(number).permutation(30)]) for number in range(200)]
    assert draws.mean() == pytest.approx(np.mean(again), abs=4 * np.std(again) / math.sqrt(100))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copied_empty_and_combined_dimensions_add_no_direction(dtype: type) -> None:
    x, y = noise(19, 100, 3).astype(dtype), noise(20, 100, 4).astype(dtype)
    y[:, :2] += x[:, :2]
    padded = np.column_stack([y, y[:, 0], np.zeros(100), y[:, 1] + y[:, 2], np.full(100, 0.1)]).astype(dtype)
    assert pwcca(x, padded) == pytest.approx(pwcca(x, y), abs=1e-5)
    assert pwcca(padded[:, [0, 0, 0]], x) == pytest.approx(pwcca(y[:, :1], x), abs=1e-5)


def test_what_cannot_be_compared_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="pwcca of 9 clips in 8 directions is always 1; it needs at least 10 clips"):
        pwcca(noise(0, 9, 12), noise(1, 9, 2))
    with pytest.raises(UserError, match="pwcca compares 9 clips with 8"):
        pwcca(noise(0, 9, 2), noise(1, 8, 2))
    with pytest.raises(UserError, match="one is the same for all clips"):
        pwcca(noise(0, 9, 2), np.ones((9, 3)))
    with pytest.raises(UserError, match="there is a NaN or an infinity"):
        pwcca(noise(0, 9, 2), np.full((9, 3), np.nan))
