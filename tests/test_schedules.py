"""Schedules against their closed forms and published figures."""

import numpy as np
import pytest

from trainers.errors import UserError
from trainers.schedules import initial_share, loss_weight, matched_tau, mean_age, momentum, warm_up


@pytest.mark.parametrize("tau", [0.99, 0.996, 0.999])
def test_cosine_momentum_starts_at_tau_is_halfway_in_the_middle_and_ends_at_one(tau: float) -> None:
    at = [momentum(tau, step, 1000) for step in (0, 500, 1000)]
    assert at == pytest.approx([tau, (tau + 1) / 2, 1.0], abs=1e-12)


def test_constant_momentum_never_moves() -> None:
    assert {momentum(0.99, step, 100, "constant") for step in range(101)} == {0.99}


def test_loss_weight_falls_linearly_from_start_to_end() -> None:
    assert [loss_weight(0.8, 0.2, k, 5000) for k in (0, 2500, 5000)] == pytest.approx([0.8, 0.5, 0.2])


def test_matched_tau_keeps_the_share_of_the_run() -> None:
    assert [matched_tau(tau, 1000) for tau in (0.99, 0.996, 0.999)] == pytest.approx([0.95, 0.98, 0.995])
    assert matched_tau(0.99, 5000) == matched_tau(0.99, 20_000) == 0.99


def test_a_run_too_short_to_match_is_refused_with_the_least_number_of_steps() -> None:
    with pytest.raises(UserError, match=r"at least 50, or tau_horizon=paper"):
        matched_tau(0.99, 49)
    assert matched_tau(0.99, 50) == 0.0


@pytest.mark.parametrize(
    ("tau", "steps", "share"),
    [(0.99, 1000, 0.007), (0.996, 1000, 0.13), (0.999, 1000, 0.61), (0.996, 2000, 0.018), (0.999, 5000, 0.08)],
)
def test_initial_share_meets_the_computed_table_for_cosine(tau: float, steps: int, share: float) -> None:
    assert initial_share([momentum(tau, k, steps) for k in range(steps)]) == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(
    ("tau", "steps", "age"), [(0.99, 5000, 0.26), (0.996, 5000, 0.36), (0.999, 5000, 0.60), (0.999, 500, 0.93)]
)
def test_mean_age_meets_the_measured_table(tau: float, steps: int, age: float) -> None:
    assert mean_age([momentum(tau, k, steps) for k in range(steps)]) == pytest.approx(age, abs=0.006)


def test_share_and_age_equal_those_of_weights_averaged_by_hand() -> None:
    taus = [0.9, 0.5, 0.7]
    share_of_each_step = np.array([0.9 * 0.5 * 0.7, 0.1 * 0.5 * 0.7, 0.5 * 0.7, 0.3])
    assert share_of_each_step.sum() == pytest.approx(1)
    assert initial_share(taus) == pytest.approx(share_of_each_step[0])
    assert mean_age(taus) == pytest.approx((share_of_each_step * [3, 2, 1, 0]).sum() / 3)


def test_warm_up_is_linear_then_one() -> None:
    assert [warm_up(k, 4) for k in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warm_up(0, 0) == 1
