"""Timings: what is like what, and how the seconds of one cell are carried over to another."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.records import Glance
from orchestrator.timings import Experience, Timing, heard_s, rehearsed, stage_heard_s, timed
from tests.synthetic_results import baseline_spec, floor_spec, spec
from trainers.methods.configs import AdaptationConfig, ByolConfig, ClConfig, PairwiseConfig
from trainers.spec import CellSpec

CL = replace(baseline_spec(), method="cl", config=ClConfig())


def took(of: CellSpec, training_s: float, rest_s: float, **where: Any) -> Timing:
    return Timing(of, heard_s(of), training_s, rest_s, **where)


def expected_s(known: Experience, of: CellSpec) -> tuple[str, float, float]:
    """By which rule, seconds of training and of all else."""
    found = known.expects(of)
    assert found is not None
    return str(found.by[0]), round(found.training_s, 6), round(found.rest_s, 6)


# --- how much speech is heard


def test_speech_heard_is_steps_times_batch_times_views_times_length() -> None:
    small = baseline_spec().configured({"steps": 10, "batch_size": 8, "views": 3, "length_s": 2.0})
    assert heard_s(small) == 10 * 8 * 3 * 2.0


def test_byol_hears_two_views_of_every_clip_without_a_label_forth_and_back_and_once_more_forth() -> None:
    """Of a step of 8 + 8 clips with 3 supervised views: 24 + 16 there and back, 16 there alone (docs/LOG.md)."""
    small = spec().configured({"steps": 100, "batch_size": 8, "views": 3, "length_s": 3.0, "tau_horizon": "paper"})
    there, back = 1, 2
    wanted = (40 * (there + back) + 16 * there) / (there + back) * 100 * 3.0
    assert heard_s(small) == pytest.approx(wanted)
    alone = small.configured({"lambda_start": 0.0, "lambda_end": 0.0})
    assert heard_s(alone) == 24 * 100 * 3.0


def test_a_stage_hears_both_views_of_a_clip_for_its_own_number_of_steps() -> None:
    cell = CL.configured({"steps": 100, "batch_size": 64, "adapt_share": 0.5, "length_s": 3.0})
    assert stage_heard_s(cell) == 50 * 64 * 2 * 3.0
    pairwise = replace(baseline_spec(), method="pairwise", config=PairwiseConfig(view_names=("layers", "mel")))
    assert stage_heard_s(pairwise) == pairwise.training.steps * 64 * 2 * 3.0


@pytest.mark.parametrize(
    "of", [floor_spec("frozen_probe"), replace(CL, method="adaptation", config=AdaptationConfig())]
)
def test_what_trains_nothing_hears_nothing_in_training(of: CellSpec) -> None:
    assert heard_s(of) == 0


# --- from one cell to another


def test_training_scales_with_steps_and_scoring_does_not() -> None:
    known = Experience([took(spec().configured({"steps": 5000}), 1000.0, 60.0)])
    assert expected_s(known, spec().configured({"steps": 10000})) == ("same", 2000.0, 60.0)


def test_like_cells_are_taken_by_the_mean_and_not_those_that_are_less_like() -> None:
    one, other = spec(fold=0), spec(tau=0.99, fold=3, seed=7)
    elsewhere = spec(target="german")
    known = Experience([took(one, 100.0, 10.0), took(other, 300.0, 20.0), took(elsewhere, 9000.0, 900.0)])
    assert expected_s(known, spec(tau=0.9, fold=1)) == ("same", 200.0, 15.0)
    assert expected_s(known, spec(target="bangla")) == ("alike", round(9400 / 3, 6), 310.0)


@pytest.mark.parametrize(
    ("setting", "value", "times"),
    [("batch_size", 128, 2.0), ("views", 6, (6 + 8 / 3) / (3 + 8 / 3)), ("length_s", 1.5, 0.5), ("steps", 10_000, 2.0)],
)
def test_cells_of_the_same_method_and_encoder_count_by_the_speech_that_they_heard(
    setting: str, value: Any, times: float
) -> None:
    known = Experience([took(spec(), 900.0, 50.0)])
    rule, training_s, rest_s = expected_s(known, spec(target="german").configured({setting: value}))
    assert rule == ("alike" if setting == "steps" else "akin")
    assert (training_s, rest_s) == (round(900.0 * times, 6), 50.0)


@pytest.mark.parametrize("change", [{"method": "baseline"}, {"encoder_fingerprint": "f" * 64}])
def test_of_another_method_or_encoder_nothing_is_known(change: dict[str, Any]) -> None:
    known = Experience([took(spec(), 900.0, 50.0)])
    other = baseline_spec() if "method" in change else replace(spec(), **change)
    assert known.expects(other) is None


def test_a_stage_takes_as_long_for_the_speech_that_it_hears_as_the_training_that_follows() -> None:
    cell = CL.configured({"steps": 100, "adapt_share": 0.5})
    found = Experience([took(cell, 30.0, 5.0)]).expects(cell)
    assert found is not None
    assert found.stage_s == pytest.approx(30.0 * (50 * 2) / (100 * 1))


def test_a_rehearsal_does_where_nothing_else_is_known_and_only_there() -> None:
    canary = rehearsed(spec().configured({"steps": 5000}), step_s=0.2, scoring_s=3.0, share=0.1)
    assert expected_s(Experience([], [canary]), spec().configured({"steps": 1000})) == ("rehearsed", 200.0, 30.0)
    real = took(spec(target="german").configured({"batch_size": 128}), 900.0, 50.0)
    assert expected_s(Experience([real], [canary]), spec())[0] == "akin"


def test_a_floor_that_was_never_timed_takes_what_scoring_takes() -> None:
    known = Experience([took(spec(), 900.0, 40.0), took(spec(seed=1), 900.0, 60.0)])
    assert expected_s(known, floor_spec("frozen_probe"))[1:] == (0.0, 50.0)
    timed_too = Experience([took(spec(), 900.0, 40.0), took(floor_spec("frozen_probe", fold=1), 0.0, 7.0)])
    assert expected_s(timed_too, floor_spec("frozen_probe")) == ("same", 0.0, 7.0)


def test_gpu_hours_are_the_same_whoever_shares_a_gpu_or_a_cell() -> None:
    alone = took(spec(), 1000.0, 100.0, units=1.0)
    assert expected_s(Experience([alone], units=4), spec())[1:] == (250.0, 25.0)
    assert expected_s(Experience([alone], units=0.25), spec())[1:] == (4000.0, 400.0)
    unsaid = took(spec(), 1000.0, 100.0)
    assert expected_s(Experience([unsaid], units=4), spec())[1:] == (1000.0, 100.0)


# --- what a result tells


def test_a_finished_cell_tells_its_training_and_the_rest_of_its_time() -> None:
    seen = Glance(
        {}, {"total": 100.0, "training": 80.0, "scoring": 15.0}, {"device": "cuda", "processor": "H200", "gpus": "2"}
    )
    assert timed(spec(), seen) == Timing(spec(), heard_s(spec()), 80.0, 20.0, "cuda", "H200", 2.0)
    floor = floor_spec("frozen_probe")
    assert timed(floor, Glance({}, {"total": 3.0}, {"device": "cpu"})) == Timing(floor, 0.0, 0.0, 3.0, "cpu")


def test_byol_without_unlabelled_speech_is_another_amount_of_work() -> None:
    alone = replace(spec(target=None), config=ByolConfig(lambda_start=0.0, lambda_end=0.0))
    known = Experience([took(spec(), 900.0, 50.0)])
    assert expected_s(known, alone)[:2] == ("akin", round(900.0 * 3 / (3 + 8 / 3), 6))
