"""The interval of the winner's lead, against scipy's t, numbers reckoned by hand, brute force and simulation."""

from math import inf, sqrt
from random import Random
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.precision import Lead, Scores, lead, outlook, told
from trainers.errors import UserError

NAMES = ("τ = .99", "τ = .996", "τ = .999")


def of_sd(sd: float, *, folds: int = 5, repeats: int = 1) -> Lead:
    return Lead(0, 1, 0.0, sd, folds, repeats)


def scored(*rows: list[float]) -> Scores:
    """Points, fold by fold, of configurations 0, 1, …"""
    return {number: {fold: points / 100 for fold, points in enumerate(row)} for number, row in enumerate(rows)}


def width_by_scipy(sd: float, folds: int, repeats: int) -> float:
    """The width of scipy's t interval with the scale of Nadeau & Bengio."""
    blocks = folds * repeats
    low, high = stats.t.interval(0.95, blocks - 1, loc=0, scale=sd * sqrt(1 / blocks + 1 / (folds - 1)))
    return float(high - low)


@pytest.mark.parametrize(
    ("folds", "repeats", "half"), [(5, 1, 1.86), (5, 3, 1.21), (3, 1, 3.9), (5, 1000, 0.98), (10, 1, 1.04)]
)
def test_half_widths_are_the_known_multiples_of_the_sd(folds: int, repeats: int, half: float) -> None:
    digits = 1 if half == 3.9 else 2
    assert round(of_sd(1.0, folds=folds, repeats=repeats).width_points / 2, digits) == half


def test_the_floor_for_five_folds_is_098_sds() -> None:
    assert of_sd(1.0).floor_points / 2 == pytest.approx(stats.norm.ppf(0.975) / 2)
    assert round(of_sd(1.0).floor_points / 2, 2) == 0.98


@given(st.floats(0.01, 30), st.integers(2, 12), st.integers(1, 40))
def test_widths_are_those_of_scipys_t_and_fall_towards_the_floor(sd: float, folds: int, repeats: int) -> None:
    found = of_sd(sd, folds=folds)
    assert found.width_after(repeats) == pytest.approx(width_by_scipy(sd, folds, repeats), rel=1e-9)
    assert found.width_after(repeats) > found.width_after(repeats + 1) > found.floor_points
    assert found.width_after(10**6) == pytest.approx(found.floor_points, rel=1e-3)


def test_a_lead_reckoned_by_hand() -> None:
    """Leads of 1, 2, 3, 4, 5 points: mean 3, sd √2.5; t(4) = 2.776; √(1/5 + 1/4) = .6708; ± 2.776 · 1.581 · .6708."""
    found = lead(scored([60, 50, 70, 60, 40], [59, 48, 67, 56, 35], [10, 20, 30, 40, 34]), 5)
    assert (found.winner, found.runner_up, found.folds, found.repeats) == (0, 1, 5, 1)
    assert found.mean_points == pytest.approx(3)
    assert found.sd_points == pytest.approx(sqrt(2.5))
    assert found.width_points / 2 == pytest.approx(2.776 * 1.5811 * 0.6708, abs=2e-3)


def test_hard_folds_that_are_hard_for_all_do_not_widen_the_lead() -> None:
    easy = scored([62, 61, 63, 62, 60], [60, 60, 60, 61, 59])
    harder = {one: {fold: value - 0.1 * fold for fold, value in own.items()} for one, own in easy.items()}
    one, other = lead(easy, 5), lead(harder, 5)
    assert one.mean_points == pytest.approx(other.mean_points)
    assert one.width_points == pytest.approx(other.width_points)
    alone = [lead({0: own[0]}, 5) for own in (easy, harder)]
    assert alone[1].width_points > 5 * alone[0].width_points


@given(st.lists(st.lists(st.integers(0, 100), min_size=10, max_size=10), min_size=2, max_size=6), st.randoms())
def test_the_pair_is_the_best_mean_and_the_best_of_the_rest_in_whatever_order_they_come(
    rows: list[list[float]], random: Random
) -> None:
    table = scored(*rows)
    mixed = {
        one: dict(random.sample(sorted(table[one].items()), 10)) for one in random.sample(sorted(table), len(rows))
    }
    found = lead(mixed, 5)
    sums = [sum(row) for row in rows]
    assert found.winner == sums.index(max(sums))
    rest = [total for number, total in enumerate(sums) if number != found.winner]
    assert found.runner_up is not None
    assert sums[found.runner_up] == max(rest)
    ahead = [a - b for a, b in zip(rows[found.winner], rows[found.runner_up], strict=True)]
    assert found.mean_points == pytest.approx(sum(ahead) / 10, abs=1e-9)
    assert found.sd_points == pytest.approx(stdev(ahead), abs=1e-9)
    assert (found.folds, found.repeats) == (5, 2)


def test_only_whole_partitions_that_all_have_are_compared() -> None:
    table = {0: dict.fromkeys(range(15), 0.6), 1: dict.fromkeys(range(12), 0.5), 2: dict.fromkeys(range(10), 0.4)}
    assert lead(table, 5).repeats == 2
    assert lead({one: table[one] for one in (0, 1)}, 5).repeats == 2
    assert lead({0: table[0]}, 5).repeats == 3


def test_of_some_folds_of_five_a_repeat_has_the_same_ones() -> None:
    folds = (0, 2, 4, 5, 7, 9, 10, 12)
    found = lead({0: dict.fromkeys(folds, 0.6), 1: dict.fromkeys(folds, 0.5)}, 5)
    assert (found.folds, found.repeats) == (3, 2)


def test_configurations_without_a_fold_in_common_have_no_lead() -> None:
    with pytest.raises(ValueError, match="configurations 0, 1 have no fold in common"):
        lead({0: {0: 0.5}, 1: {1: 0.5}}, 5)


def test_a_configuration_that_diverged_takes_no_part() -> None:
    table = {**scored([60, 62, 61], [50, 55, 53]), 2: {0: 0.9, 1: float("nan"), 2: 0.9}, 3: {0: float("nan")}}
    assert lead(table, 3) == lead({one: table[one] for one in (0, 1)}, 3)
    with pytest.raises(ValueError, match="configurations 2, 3 have no fold in common"):
        lead({one: table[one] for one in (2, 3)}, 3)


def test_a_configuration_alone_has_the_interval_of_its_own_mean() -> None:
    found = lead(scored([61, 62, 63, 64, 65]), 5)
    assert found.runner_up is None
    assert found.mean_points == pytest.approx(63)
    assert found.width_points == pytest.approx(width_by_scipy(sqrt(2.5), 5, 1))


# --- the verdict


@given(st.floats(0.1, 20), st.integers(2, 10), st.integers(1, 5), st.floats(0.2, 40))
def test_the_repeats_needed_are_the_fewest_that_scipys_t_finds_narrow_enough(
    sd: float, folds: int, repeats: int, width: float
) -> None:
    enough = [r for r in range(repeats, 31) if width_by_scipy(sd, folds, r) <= width]
    found = outlook(of_sd(sd, folds=folds, repeats=repeats), width, 30)
    assert found.repeats == (enough[0] if enough else None)
    wanted = "not reachable" if not enough else "narrow enough" if enough[0] == repeats else "repeats needed"
    assert found.verdict == wanted


def test_the_last_partition_that_there_is_may_be_the_one_that_is_needed() -> None:
    width = width_by_scipy(2.0, 5, 4) + 1e-6
    assert outlook(of_sd(2.0), width, 4).repeats == 4
    assert outlook(of_sd(2.0), width, 3).verdict == "not reachable"


def test_equal_configurations_are_known_to_be_equal() -> None:
    assert outlook(lead(scored([50, 60], [50, 60]), 2), 0.1, 1).verdict == "narrow enough"


@pytest.mark.parametrize(
    ("found", "width", "line"),
    [
        (
            Lead(1, 0, 3.04, 1.0, 5, 1),
            4.0,
            "τ = .996 leads τ = .99 by 3.0 ± 1.9 points, 3.7 wide after 1 partition of 5 folds: narrow enough for 4.0",
        ),
        (
            Lead(2, 0, 0.0, 1.0, 5, 2),
            2.5,
            "τ = .999 leads τ = .99 by 0.0 ± 1.3 points, 2.7 wide after 2 partitions of 5 folds: "
            "about 3 partitions needed for 2.5",
        ),
        (
            Lead(0, 1, 1.0, 10.0, 5, 3),
            4.0,
            "τ = .99 leads τ = .996 by 1.0 ± 12.1 points, 24.1 wide after 3 partitions of 5 folds: "
            "4.0 is not reachable, the floor is 19.6",
        ),
        (
            Lead(0, None, 62.0, 10.0, 5, 3),
            20.0,
            "τ = .99 alone has 62.0 ± 12.1 points, 24.1 wide after 3 partitions of 5 folds: "
            "20.0 is not reachable, all 9 partitions there are would make it 21.0",
        ),
        (Lead(0, 1, 1.5, inf, 1, 1), 4.0, "τ = .99 leads τ = .996 by 1.5 points, of which one fold tells no interval"),
    ],
)
def test_the_line_tells_who_leads_how_surely_and_what_is_to_be_hoped_for(found: Lead, width: float, line: str) -> None:
    assert told(found, width, 9, NAMES) == line


@pytest.mark.parametrize("width", [0.0, -2.0, float("nan")])
def test_a_width_that_is_none_is_refused(width: float) -> None:
    with pytest.raises(UserError, match=r"until-ci is .*; it must be above 0: the width of an interval in UAR points"):
        outlook(of_sd(1.0), width, 10)


# --- what it is worth


@pytest.mark.parametrize("behind", [(0, 0), (0, 0, 0, 0, 0, 0), (0, 1, 2, 3), (0, 1, 1.5, 3, 4, 5)])
def test_the_interval_holds_the_winners_true_lead_over_the_best_of_the_rest(behind: tuple[float, ...]) -> None:
    """Nadeau and Bengio's own model: trainings share an error of variance sd²/(K − 1) beside that of each fold.

    The third of six is three times as noisy. Of 1500 tables 95 % are 1425, with an sd of 8.
    """
    rng, true = np.random.default_rng(7), -np.array(behind, dtype=float)
    sd = np.where((np.arange(len(true)) == 2) & (len(true) == 6) & (true[1] < 0), 6.0, 2.0)
    held = 0
    for _ in range(1500):
        points = (60 + true + sd / 2 * rng.standard_normal(len(true)))[:, None]
        points = points + sd[:, None] * rng.standard_normal((len(true), 5))
        found = lead(scored(*points.tolist()), 5)
        truth = true[found.winner] - np.delete(true, found.winner).max()
        held += abs(found.mean_points - truth) <= found.width_points / 2
    assert held >= 1425 - 3 * 8
