"""Tests of significance, each against scipy, scikit-learn, an enumeration by loops, or arithmetic by hand."""

from itertools import combinations, product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from orchestrator.answers.statistics import (
    DRAWS,
    block_means,
    corrected_t,
    f1_resampled,
    flip_width,
    half_width,
    holm,
    interval,
    macro_f1,
    repeat_of,
    sign_flip_p,
    smallest_flip_p,
    spearman,
)

DRAW = np.random.default_rng(0)


# --- folds as blocks


def test_seeds_are_averaged_then_languages_and_neither_enters_n() -> None:
    differences = np.array([[[1.0, 3.0], [5.0, 5.0]], [[0.0, 0.0], [2.0, 4.0]]])  # 2 languages, 2 folds, 2 seeds
    assert block_means(differences).tolist() == [1.0, 4.0]


def test_a_fold_number_goes_on_through_repeats() -> None:
    assert [repeat_of(fold, 5) for fold in (0, 4, 5, 12)] == [(0, 0), (0, 4), (1, 0), (2, 2)]
    assert repeat_of(4, 4) == (1, 0)


def test_the_corrected_t_by_hand() -> None:
    """Mean 3, s² = 10/4, error √(2.5 · (1/5 + 1/4)) = √1.125; t = 2.8284 with 4 degrees of freedom."""
    found = corrected_t([[2.0, 5.0, 3.0, 1.0, 4.0]], 5)
    error = sqrt(1.125)
    assert found.mean[0] == pytest.approx(3)
    assert found.sd[0] == pytest.approx(sqrt(2.5))
    assert found.p[0] == pytest.approx(2 * stats.t.sf(3 / error, 4))
    assert (found.low[0], found.high[0]) == (pytest.approx(3 - 2.7764451 * error), pytest.approx(3 + 2.7764451 * error))


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (5, 3), (4, 2), (10, 1)])
def test_the_corrected_t_is_the_plain_one_with_a_wider_error(folds: int, repeats: int) -> None:
    blocks = DRAW.normal(0.02, 0.03, (50, folds * repeats))
    plain = stats.ttest_1samp(blocks, 0, axis=1).statistic
    wider = sqrt((1 / blocks.shape[1] + 1 / (folds - 1)) * blocks.shape[1])
    expected = 2 * stats.t.sf(np.abs(plain) / wider, blocks.shape[1] - 1)
    found = corrected_t(blocks, folds)
    assert found.p == pytest.approx(expected)
    covers = (found.low > 0) | (found.high < 0)
    assert (covers == (found.p < 0.05)).all(), "the interval leaves out 0 just where p < .05"


@pytest.mark.parametrize(("folds", "repeats", "times_sd"), [(5, 1, 1.86), (5, 3, 1.21), (3, 1, 3.93)])
def test_half_widths_are_those_that_the_validity_page_has(folds: int, repeats: int, times_sd: float) -> None:
    assert half_width(1.0, folds * repeats, folds) == pytest.approx(times_sd, abs=0.005)


def test_ever_more_repeats_leave_a_floor() -> None:
    assert half_width(1.0, 5 * 10**6, 5) == pytest.approx(1.96 / sqrt(4), abs=1e-4)


def test_one_block_has_no_test_and_equal_blocks_are_certain() -> None:
    one = corrected_t([[0.1]], 5)
    assert one.mean[0] == 0.1
    assert np.isnan([one.p[0], one.low[0], one.sd[0]]).all()
    assert half_width(0.1, 1, 1) == np.inf
    assert corrected_t([[0.0] * 5, [0.5] * 5], 5).p.tolist() == [1.0, 0.0]


# --- speakers


def test_sign_flips_by_hand() -> None:
    """Of 3 ± 1 ± 1 and its opposites, two of eight sums are as far from 0 as 5, six of eight as far as 3."""
    assert sign_flip_p([[3.0, 1.0, 1.0], [3.0, -1.0, 1.0], [0.0, 0.0, 0.0]]) == pytest.approx([2 / 8, 6 / 8, 1])


@pytest.mark.parametrize("units", [2, 5, 9])
def test_sign_flips_are_those_of_an_enumeration_and_of_scipy(units: int) -> None:
    differences = DRAW.normal(0.3, 1, (6, units)).round(1)
    flips = np.array(list(product([1, -1], repeat=units)))
    for own, p in zip(differences, sign_flip_p(differences), strict=True):
        sums = np.abs(flips @ own)
        assert p == pytest.approx(np.mean(sums >= abs(own.sum()) - 1e-12))
        tested = stats.permutation_test(
            (own,), lambda x, axis: np.abs(np.sum(x, axis=axis)).round(9), permutation_type="samples",
            alternative="greater", n_resamples=np.inf, vectorized=True,
        )  # fmt: skip
        assert p == pytest.approx(tested.pvalue)


def test_with_more_speakers_the_draws_come_near_the_enumeration_and_are_always_the_same() -> None:
    differences = DRAW.normal(0.25, 1, (4, 16))
    flips = np.array(list(product([1.0, -1.0], repeat=16)))
    exact = (np.abs(flips @ differences.T) >= np.abs(differences.sum(1)) - 1e-12).mean(0)
    found = sign_flip_p(differences)
    assert (np.abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / DRAWS) + 1 / DRAWS).all()
    assert sign_flip_p(differences).tolist() == found.tolist()


def test_a_hundred_comparisons_at_once_are_a_hundred_single_ones() -> None:
    differences = DRAW.normal(0, 1, (100, 15))
    assert sign_flip_p(differences).tolist() == [sign_flip_p(own[None])[0] for own in differences]


@pytest.mark.parametrize("units", [2, 5, 14, 16])
def test_the_least_p_is_that_of_differences_with_one_sign(units: int) -> None:
    least = sign_flip_p(np.ones((1, units)))[0]
    assert smallest_flip_p(units) == pytest.approx(least, abs=4 / DRAWS if units > 14 else 1e-12)
    assert smallest_flip_p(5) == 0.0625, "five folds can show nothing by their signs"


def test_the_width_of_flips_is_near_the_sum_that_they_reject() -> None:
    differences = DRAW.normal(0.2, 1, (5, 13))
    flips = np.array(list(product([1.0, -1.0], repeat=13)))
    rejected = np.quantile(np.abs(flips @ differences.T), [0.95, 0.99], axis=0)
    assert flip_width(differences) == pytest.approx(rejected[0], rel=0.1)
    assert flip_width(differences, 0.01) == pytest.approx(rejected[1], rel=0.1)


# --- families


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    """Adjusted p of one hypothesis: the largest Bonferroni p of all sets of hypotheses that it belongs to."""
    places = range(len(p))
    sets = [chosen for size in range(1, len(p) + 1) for chosen in combinations(places, size)]
    bonferroni = {chosen: min(1.0, len(chosen) * min(p[place] for place in chosen)) for chosen in sets}
    expected = [max(value for chosen, value in bonferroni.items() if place in chosen) for place in places]
    assert holm(p) == pytest.approx(expected)


def test_a_test_that_could_not_be_made_counts_in_its_family() -> None:
    adjusted = holm([0.02, np.nan, 0.01])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.03])
    assert np.isnan(adjusted[1])


# --- macro-F1


def counted(truth: np.ndarray, predicted: np.ndarray, speaker: np.ndarray, speakers: int) -> np.ndarray:
    counts = np.zeros((speakers, 4, 4))
    np.add.at(counts, (speaker, truth, predicted), 1)
    return counts


def test_macro_f1_is_scikit_learns_of_all_clips_and_of_every_resample() -> None:
    truth, speaker = DRAW.integers(0, 4, 300), DRAW.integers(0, 3, 300)
    predicted = np.where(DRAW.random(300) < 0.6, truth, DRAW.integers(0, 4, 300))
    counts = counted(truth, predicted, speaker, 3)
    assert macro_f1(counts.sum(0)) == pytest.approx(f1_score(truth, predicted, average="macro"))
    every = f1_resampled(counts[None], draws=20_000)
    assert every[0] == pytest.approx(f1_score(truth, predicted, average="macro"))
    clips = [np.flatnonzero(speaker == each) for each in range(3)]
    exact = []
    for taken in product(range(3), repeat=3):  # all 27 resamples of three speakers, each as likely
        of = np.concatenate([clips[each] for each in taken])
        exact.append(f1_score(truth[of], predicted[of], average="macro"))
    assert set(every[1:].round(9)) == set(np.round(exact, 9))
    assert every[1:].mean() == pytest.approx(np.mean(exact), abs=4 * np.std(exact) / sqrt(20_000))
    assert interval(every[1:]) == pytest.approx((min(exact), max(exact))), "each of 27 is as likely as 3.7 %"


def test_runs_are_scored_apart_and_averaged() -> None:
    runs = DRAW.integers(0, 9, (2, 5, 4, 4))
    assert f1_resampled(runs)[0] == pytest.approx(np.mean([macro_f1(run.sum(0)) for run in runs]))


def test_resamples_that_lack_a_class_have_no_f1() -> None:
    only_sad, others = np.zeros((4, 4)), np.ones((4, 4))
    only_sad[3, 3], others[3] = 5, 0
    resampled = f1_resampled(np.stack([only_sad, others])[None])[1:]
    assert np.isnan(resampled).mean() == pytest.approx(0.5, abs=0.05), "both speakers the same one"
    low, high = interval(resampled)
    assert low == high == pytest.approx(f1_resampled(np.stack([only_sad, others])[None])[0])
    assert np.isnan(interval(np.full(3, np.nan))).all()


# --- ranks


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_spearman_is_scipys_with_ties(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert np.isnan(spearman(one, other))
    else:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
