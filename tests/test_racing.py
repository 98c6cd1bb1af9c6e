"""A race drops whom the complete blocks beat, as often in error as it says, and never because of when a result came."""

from itertools import combinations, product
from math import inf, isnan, nan, sqrt
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_t, t

from orchestrator.racing import Race, Table, dunnett
from trainers.errors import UserError

FINE = 1024
"""Scores of the property tests are multiples of 1/1024, so that adding to them is exact and a tie is a tie."""

unhurried = settings(deadline=None, max_examples=60)

Rows = list[list[float]]
"""A score for each configuration (row) and block."""

NOISY = [[0.60, 0.62, 0.61, 0.60], [0.58, 0.61, 0.60, 0.61], [0.55, 0.53, 0.56, 0.54], [0.52, 0.56, 0.51, 0.53]]


def table_of(rows: Rows, blocks: int | None = None) -> dict[int, dict[int, float]]:
    return {number: dict(enumerate(row[:blocks])) for number, row in enumerate(rows)}


def rows_of(scores: NDArray[np.float64]) -> Rows:
    return [[float(score) for score in row] for row in scores]


@st.composite
def grids(draw: st.DrawFn, with_nan: bool = False) -> Rows:
    """Two to seven configurations over two to five blocks, some spread over few points, some over many."""
    blocks, span = draw(st.integers(2, 5)), draw(st.sampled_from([2, 40, 400]))
    score: st.SearchStrategy[float] = st.integers(0, span).map(lambda number: number / FINE)
    row = st.lists(
        st.one_of(score, score, score, st.just(nan)) if with_nan else score, min_size=blocks, max_size=blocks
    )
    return draw(st.lists(row, min_size=2, max_size=7))


def decided(table: Table, blocks: int) -> dict[int, tuple[int, str]]:
    """Configuration -> after how many blocks it was dropped, and why."""
    drops = Race(blocks, alpha=0.2).run(table).drops
    return {one: (drop.blocks, drop.why) for one, drop in drops.items()}


@pytest.mark.parametrize(
    ("freedom", "alpha", "published"),
    [
        (5, 0.05, [2.02, 2.44, 2.68, 2.85, 2.98, 3.08, 3.16, 3.24, 3.30]),
        (10, 0.05, [1.81, 2.15, 2.34, 2.47, 2.56, 2.64, 2.70, 2.76, 2.81]),
        (20, 0.05, [1.72, 2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60]),
        (5, 0.01, [3.37, 3.90, 4.21, 4.43, 4.60, 4.73, 4.85, 4.94, 5.03]),
    ],
)
def test_the_constant_is_that_of_dunnetts_tables(freedom: int, alpha: float, published: list[float]) -> None:
    ours = [dunnett(comparisons, freedom, alpha) for comparisons in range(1, 10)]
    assert ours == pytest.approx(published, abs=0.0051)


@pytest.mark.parametrize(("freedom", "alpha"), [(1, 0.05), (1, 0.001), (2, 0.3), (7, 0.01), (900, 0.05)])
def test_for_one_comparison_the_constant_is_students(freedom: int, alpha: float) -> None:
    assert dunnett(1, freedom, alpha) == pytest.approx(t.isf(alpha, freedom), rel=1e-6)


@pytest.mark.parametrize(
    ("comparisons", "freedom", "alpha"), [(3, 1, 0.05), (11, 2, 0.1), (15, 30, 0.05), (7, 200, 0.2)]
)
def test_the_constant_holds_the_multivariate_t_to_its_probability(comparisons: int, freedom: int, alpha: float) -> None:
    shape = (np.eye(comparisons) + 1) / 2
    limits = np.full(comparisons, dunnett(comparisons, freedom, alpha))
    assert multivariate_t.cdf(limits, shape=shape, df=freedom, random_state=0) == pytest.approx(1 - alpha, abs=1e-3)


def test_of_equal_configurations_each_is_dropped_as_often_as_alpha_says() -> None:
    """Gupta's guarantee is exact where all are equal and, among endless blocks, those seen settle nothing for sure."""
    draws, dropped = np.random.default_rng(0), 0
    for _ in range(1500):
        table = table_of(rows_of(draws.normal(0.5, 0.001, (8, 2)) + draws.normal(0, 0.05, (1, 2))))
        dropped += 3 in Race(blocks=10**9, alpha=0.1).run(table).drops
    assert dropped / 1500 == pytest.approx(0.1, abs=3 * sqrt(0.1 * 0.9 / 1500))


def test_the_margin_is_that_of_loops_over_the_better_half() -> None:
    """Of nine the better five tell the noise, each with a residual per block, and eight are compared with one."""
    rows = rows_of(np.random.default_rng(0).normal(0, 0.02, (9, 2)) + np.arange(9)[:, None] / 50)
    drops = Race(blocks=6).run(table_of(rows)).drops
    squares, better = 0.0, sorted(rows, key=fmean)[-5:]
    for row, block in product(better, range(2)):
        in_block = fmean(other[block] for other in better)
        squares += (row[block] - fmean(row) - in_block + fmean(fmean(other) for other in better)) ** 2
    margin = drawn_constant(8, 4) * sqrt(2 * squares / 4 * (1 / 2 - 1 / 6))
    behind = {number: max(map(fmean, rows)) - fmean(row) for number, row in enumerate(rows)}
    assert {one: drop.behind for one, drop in drops.items()} == pytest.approx(
        {one: gap for one, gap in behind.items() if gap > margin}
    )
    assert [drop.margin for drop in drops.values()] == pytest.approx([margin] * len(drops), rel=3e-3)


def drawn_constant(comparisons: int, freedom: int) -> float:
    """The constant at .05 by drawing it: the quantile of the largest of correlated t's."""
    shape = (np.eye(comparisons) + 1) / 2
    drawn = multivariate_t.rvs(shape=shape, df=freedom, size=2_000_000, random_state=1)
    return float(np.quantile(drawn.max(axis=1), 0.95))


def test_after_one_block_only_those_more_than_ten_points_behind_are_dropped() -> None:
    table = table_of([[0.60], [0.59], [0.585], [0.51], [0.49]])
    assert decided(table, blocks=5) == {4: (1, "far behind")}


def test_where_a_block_scatters_even_its_best_ten_points_behind_drop_nobody() -> None:
    assert not decided(table_of([[0.80], [0.74], [0.67], [0.55], [0.50]]), blocks=5)


def test_a_round_waits_for_all_that_race_and_compares_the_same_blocks() -> None:
    table = table_of(NOISY, 3)
    del table[1][1]
    standing = Race(blocks=6).run(table)
    assert (standing.rounds, standing.drops, standing.survivors) == (1, {}, (0, 1, 2, 3))


def test_a_configuration_without_any_block_is_waited_for() -> None:
    assert Race(blocks=6).run(table_of(NOISY, 3) | {9: {}}).rounds == 0


def test_the_last_block_drops_nobody() -> None:
    """There is nothing left to save, and the margin would be zero."""
    rows = [[0.5, 0.5], [0.495, 0.5], [0.49, 0.5], [0.49, 0.5], [0.4, 0.5]]
    assert Race(blocks=2).run(table_of(rows)).drops == {}
    assert not Race(blocks=1).run(table_of([[0.9], [0.1]])).drops


def test_one_that_diverged_is_dropped_in_its_block_and_never_leads_beyond() -> None:
    rows = [[0.60, nan], [0.55, 0.56], [0.56, 0.55], [0.40, 0.41]]
    standing = Race(blocks=3).run(table_of(rows))
    diverged = standing.drops[0]
    assert (diverged.blocks, diverged.why) == (2, "diverged")
    assert isnan(diverged.behind)
    assert isnan(diverged.margin)
    assert (standing.drops[3].why, standing.survivors) == ("far behind", (1, 2))


def test_one_that_diverged_is_dropped_at_once_though_others_are_not_as_far() -> None:
    standing = Race(blocks=5).run({0: {0: 0.5, 1: nan}, 1: {0: 0.5}, 2: {}})
    assert (set(standing.drops), standing.rounds, standing.survivors) == ({0}, 0, (1, 2))


def test_one_that_diverged_in_the_last_block_is_dropped_too() -> None:
    assert decided(table_of([[0.5, nan], [0.5, 0.5]]), blocks=2) == {0: (2, "diverged")}


def test_one_that_is_out_is_neither_waited_for_nor_dropped_nor_a_leader_where_it_lacks_a_block() -> None:
    """It would beat all others in block 1, which it never completes, and did so in block 0."""
    table = {0: {0: 0.90, 2: 0.99}, 1: {0: 0.85, 1: 0.50}, 2: {0: 0.86, 1: 0.50}, 3: {0: 0.20, 1: 0.50}}
    assert Race(blocks=3).run(table).rounds == 1
    standing = Race(blocks=3).run(table, out=[0])
    assert (standing.rounds, set(standing.drops), standing.survivors) == (2, {3}, (1, 2))


def test_two_are_compared_once_they_tell_their_noise() -> None:
    """Two configurations over two blocks differ by the same in both every now and then, however noisy they are."""
    assert decided(table_of([[0.50] * 4, [0.49] * 4]), blocks=6) == {1: (4, "beaten")}


def test_a_race_of_one_goes_on_alone() -> None:
    standing = Race(blocks=4).run({0: {0: 0.9, 1: 0.9, 2: 0.9}, 1: {0: 0.1}, 2: {0: 0.11}, 3: {0: 0.88, 1: nan}})
    assert (standing.rounds, standing.survivors) == (3, (0,))


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, nan, inf])
def test_alpha_is_a_small_probability(alpha: float) -> None:
    with pytest.raises(UserError, match=r"race alpha is .*; it must be above 0 and below 0.5"):
        Race(blocks=5, alpha=alpha)


@unhurried
@given(grids(with_nan=True), st.randoms(use_true_random=False))
def test_in_whatever_order_results_come_the_end_is_the_same_and_no_drop_is_undone(rows: Rows, random: Random) -> None:
    places = [(one, block) for one in range(len(rows)) for block in range(len(rows[0]))]
    random.shuffle(places)
    growing: dict[int, dict[int, float]] = {one: {} for one in range(len(rows))}
    before: set[int] = set()
    for one, block in places:
        growing[one][block] = rows[one][block]
        after = set(decided(growing, len(rows[0])))
        assert before <= after
        before = after
    assert decided(growing, len(rows[0])) == decided(table_of(rows), len(rows[0]))


@unhurried
@given(grids(with_nan=True), st.data())
def test_going_out_undoes_no_drop(rows: Rows, data: st.DataObject) -> None:
    """A cell fails when all earlier blocks of its configuration are there: blocks are worked off in order."""
    table = table_of(rows)
    one, block = data.draw(st.sampled_from(range(len(rows)))), data.draw(st.integers(0, len(rows[0])))
    table[one] = {number: score for number, score in table[one].items() if number < block}
    race = Race(len(rows[0]), alpha=0.2)
    assert set(race.run(table).drops) <= set(race.run(table, out={one}).drops)


@unhurried
@given(grids())
def test_what_a_round_decides_does_not_depend_on_later_blocks(rows: Rows) -> None:
    whole = decided(table_of(rows), len(rows[0]))
    for blocks in range(1, len(rows[0])):
        early = {one: drop for one, drop in whole.items() if drop[0] <= blocks}
        assert decided(table_of(rows, blocks), len(rows[0])) == early


@unhurried
@given(grids(), st.data())
def test_stray_blocks_of_the_dropped_change_nothing(rows: Rows, data: st.DataObject) -> None:
    drops = decided(table_of(rows), len(rows[0]))
    assume(drops)
    stray = table_of(rows)
    for one, (blocks, _) in drops.items():
        for block in range(blocks, len(rows[0])):
            stray[one][block] = data.draw(st.sampled_from([nan, -1.0, 0.0, 1.0]))
    assert decided(stray, len(rows[0])) == drops


@unhurried
@given(grids(), st.lists(st.integers(-3 * FINE, 3 * FINE), min_size=5, max_size=5))
def test_a_block_that_is_harder_for_all_decides_nothing(rows: Rows, shifts: list[int]) -> None:
    shifted = [[score + shifts[block] / FINE for block, score in enumerate(row)] for row in rows]
    assert decided(table_of(shifted), len(rows[0])) == decided(table_of(rows), len(rows[0]))


@unhurried
@given(grids(with_nan=True), st.data())
def test_what_a_configuration_is_called_decides_nothing(rows: Rows, data: st.DataObject) -> None:
    names = data.draw(st.permutations(range(len(rows))))
    renamed = {name: scores for name, (_, scores) in zip(names, table_of(rows).items(), strict=True)}
    drops = decided(table_of(rows), len(rows[0]))
    assert decided(renamed, len(rows[0])) == {names[one]: drop for one, drop in drops.items()}


def test_scores_that_differ_by_rounding_alone_are_equal() -> None:
    assert 0.1 + 0.2 > 0.3
    assert not decided(table_of([[0.1 + 0.2] * 3, [0.3] * 3, [0.3] * 3, [0.3] * 3]), blocks=5)


@unhurried
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.lists(st.floats(0, 1), min_size=3, max_size=6))
def test_without_noise_the_best_is_never_dropped_nor_any_that_equals_it(
    levels: list[float], folds: list[float]
) -> None:
    drops = decided(table_of([[level + fold for fold in folds] for level in levels]), len(folds))
    assert all(level < max(levels) for level in (levels[one] for one in drops))


@unhurried
@given(st.lists(st.integers(0, 100), min_size=4, max_size=7, unique=True), st.integers(3, 6))
def test_without_noise_whoever_is_worse_is_dropped_by_the_second_block(levels: list[int], blocks: int) -> None:
    drops = decided(table_of([[level / FINE] * blocks for level in levels]), blocks)
    best = levels.index(max(levels))
    assert drops == {one: (2, "beaten") for one in range(len(levels)) if one != best}


@unhurried
@given(grids(), st.data())
def test_twins_share_their_fate(rows: Rows, data: st.DataObject) -> None:
    twin = data.draw(st.sampled_from(range(len(rows))))
    drops = decided(table_of([*rows, rows[twin]]), len(rows[0]))
    assert drops.get(twin) == drops.get(len(rows))


def test_a_lower_alpha_drops_fewer() -> None:
    draws = np.random.default_rng(3)
    rows = rows_of(draws.normal(0, 0.02, (16, 1)) + draws.normal(0, 0.02, (16, 4)))
    dropped = [set(Race(5, alpha).run(table_of(rows)).drops) for alpha in (0.4, 0.2, 0.05, 0.001)]
    assert all(fewer <= more for more, fewer in combinations(dropped, 2))
    assert len(dropped[0]) > len(dropped[-1])
