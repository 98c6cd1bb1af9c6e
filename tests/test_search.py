"""Search by TPE: points and Optuna's parameters, the log of what was proposed, and a real search on the demo."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

import search_spaces
from orchestrator.search import Axes, Search
from orchestrator.sweep import main
from search_spaces import Sweep
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig

MIXED = Sweep(
    question="?",
    config=ByolConfig(),
    axes={
        "tau": tune.uniform(0.9, 0.999),
        "encoder_lr": tune.loguniform(1e-5, 1e-3),
        "lambda_start, lambda_end": tune.grid_search([(0.8, 0.2), (0.0, 0.0), (1.0, 1.0)]),
        "views": tune.choice([1, 2]),
    },
)


@given(tau=st.floats(0.9, 0.999), rate=st.floats(1e-5, 1e-3), pair=st.integers(0, 2), views=st.integers(0, 1))
def test_a_point_and_its_parameters_are_two_ways_to_say_the_same(
    tau: float, rate: float, pair: int, views: int
) -> None:
    axes = Axes(MIXED)
    point = axes.point({"tau": tau, "encoder_lr": rate, "lambda_start, lambda_end": pair, "views": views})
    assert point["tau"] == pytest.approx(tau, rel=1e-3)
    assert (point["lambda_start"], point["lambda_end"]) == [(0.8, 0.2), (0.0, 0.0), (1.0, 1.0)][pair]
    assert point["views"] == views + 1
    assert axes.point(axes.params(point)) == point


def test_optuna_gets_the_ranges_that_the_sweep_has() -> None:
    found = Axes(MIXED).distributions
    assert (found["tau"].low, found["tau"].high, found["tau"].log) == (0.9, 0.999, False)
    assert (found["encoder_lr"].low, found["encoder_lr"].high, found["encoder_lr"].log) == (1e-5, 1e-3, True)
    assert found["lambda_start, lambda_end"].choices == (0, 1, 2)


def test_a_search_begins_with_the_reference_and_goes_on_with_what_was_noted(tmp_path: Path) -> None:
    sweep = search_spaces.load("joint")
    search = Search.of(sweep, 5, tmp_path, "asked")
    assert [dict(point) for point in search.listed().listed or ()] == [dict(sweep.reference)]
    more = [{**sweep.reference, "tau": tau} for tau in (0.991, 0.992)]
    for point in more:
        search.note(point)
        search.note(point)
    with search.log.open("a") as file:
        file.write('{"encoder_lr": 3e-05, "hea')  # a crash cut the line short
    again = Search.of(sweep, 5, tmp_path, "asked")
    assert [dict(point) for point in again.listed().listed or ()] == [dict(sweep.reference), *more]
    assert again.listed().points()[2].values["tau"] == 0.992
    assert Search.of(sweep, 5, tmp_path, "asked otherwise").log != search.log


def test_what_cannot_be_searched_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a sweep with axes and one method"):
        Search.of(search_spaces.load("methods"), 5, tmp_path, "")
    with pytest.raises(UserError, match="it must be one of"):
        Axes(MIXED).params({"tau": 0.95, "encoder_lr": 1e-4, "lambda_start": 0.5, "lambda_end": 0.5, "views": 1})


def test_random_points_of_a_grid_are_some_of_it_and_always_the_same() -> None:
    grid = search_spaces.load("head")
    drawn = grid.searched("random", 6).points()
    every = [point.values for point in grid.points()]
    assert 2 <= len(drawn) <= 7
    assert all(point.values in every for point in drawn)
    assert [point.values for point in drawn] == [point.values for point in grid.searched("random", 6).points()]
    assert drawn[0].values == dict(grid.reference)
    with pytest.raises(UserError, match="this sweep draws its points"):
        search_spaces.load("joint").searched("grid", None)


@pytest.mark.slow
def test_a_real_search_makes_its_samples_and_the_same_command_runs_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["joint", "--search", "tpe", "--samples", "3", "--steps", "4", "--batch-size", "4", "--folds", "0", "1"]
    asked += ["--languages", "demo-arda", "--set", "tau_horizon=paper", "--store", str(tmp_path), "--slots", "2"]
    asked += ["--no-report"]
    assert main(asked) == 0
    first = capsys.readouterr().out
    log = next((tmp_path / "searches").iterdir())
    assert len(log.read_text().splitlines()) == 3
    assert first.count("encoder_lr=") >= 3
    cells = sorted((tmp_path / "cells").rglob("*.json"))
    assert main(asked) == 0
    assert sorted((tmp_path / "cells").rglob("*.json")) == cells
    assert len(log.read_text().splitlines()) == 3


def test_a_listed_sweep_has_the_points_that_it_lists() -> None:
    listed = replace(MIXED, listed=({"tau": 0.95},))
    assert [point.values for point in listed.points()] == [{"tau": 0.95}]
