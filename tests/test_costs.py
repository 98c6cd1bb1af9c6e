"""Costs: what is left of a plan, how long that takes on so many slots, what it needs on the disk, and what is told."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import search_spaces
from orchestrator.bill import Bill, after, told
from orchestrator.budget import LONGEST_S, Budget
from orchestrator.costs import Crew, Estimate, estimate, wall_s
from orchestrator.disk import MIRRORED_BYTES, RESULT_BYTES, Disk, weights_bytes
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Request, plan
from orchestrator.timings import Timing, rehearsed
from tests.synthetic_results import hits, result
from tests.unheard import ground
from trainers import stages
from trainers.errors import UserError
from trainers.spec import CellSpec

CPU = {"device": "cpu", "processor": "x86_64"}
GPU = {"device": "cuda", "processor": "NVIDIA H200"}


@pytest.fixture(scope="module")
def tau() -> Plan:
    """Three momenta, three languages, five folds, and 15 floors."""
    return planned("byol_tau")


def planned(name: str, **asked: Any) -> Plan:
    return plan(name, search_spaces.load(name), ground(), Request(**asked))


@pytest.fixture
def encoders(tmp_path: Path) -> dict[str, Path]:
    """An encoder of 1000 numbers beside a decoder; the ground's."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    halves = torch.zeros(10, 100, dtype=torch.float16)
    save_file({"model.encoder.a": halves, "model.decoder.a": torch.zeros(7)}, folder / "model.safetensors")
    return {"e" * 64: folder}


def finish(ledger: Ledger, specs: Sequence[CellSpec], training_s: float, rest_s: float, **versions: str) -> None:
    for spec in specs:
        seconds = {"total": training_s + rest_s, "training": training_s, "scoring": rest_s}
        made = result(spec, hits(7, 6, 5, 4), {"urdu": hits(8, 8, 8, 8)})
        ledger.write(replace(made, seconds=seconds, versions=versions))


# --- time


def test_what_is_left_takes_as_long_as_what_is_done_took(tmp_path: Path, tau: Plan, encoders: dict[str, Path]) -> None:
    ledger = Ledger(tmp_path / "store")
    finish(ledger, [cell.spec for cell in tau.cells[:9]], 100.0, 20.0, **CPU)
    finish(ledger, [cell.spec for cell in tau.floors[:3]], 0.0, 5.0, **CPU)
    found = estimate(tau, ledger, Crew(slots=2), encoders)
    assert (found.cells, found.stages, found.floors) == ((45, 36), (0, 0), (15, 12))
    assert found.seconds == pytest.approx(36 * 120 + 12 * 5)
    assert found.wall_s == pytest.approx((36 * 120 + 12 * 5) / 2)
    assert found.hours == pytest.approx((36 * 120 + 12 * 5) / 3600)
    assert (found.by, found.told_by) == ("same", 12)


def test_a_finished_plan_costs_nothing(tmp_path: Path, encoders: dict[str, Path]) -> None:
    small, ledger = planned("baseline", folds=(0,)), Ledger(tmp_path / "store")
    finish(ledger, [cell.spec for cell in small.cells + small.floors], 100.0, 20.0, **CPU)
    found = estimate(small, ledger, Crew(slots=2), encoders)
    assert (found.seconds, found.wall_s, found.disk.most) == (0, 0, 0)
    assert told(found) == ["to run: 0 of 1 cell, 0 of 3 floor cells", "time: none", "disk: nothing more"]


def test_nothing_is_said_of_a_machine_that_timed_nothing(tmp_path: Path, tau: Plan, encoders: dict[str, Path]) -> None:
    ledger = Ledger(tmp_path / "store")
    finish(ledger, [cell.spec for cell in tau.cells[:9]], 100.0, 20.0, **CPU)
    for crew in (Crew(2, unit="GPU"), Crew(2, unit="GPU", processor="NVIDIA H200")):
        found = estimate(tau, ledger, crew, encoders)
        assert (found.seconds, found.wall_s, found.unknown) == (None, None, ("byol",))
    finish(ledger, [cell.spec for cell in tau.cells[9:10]], 10.0, 2.0, **GPU)
    known = estimate(tau, ledger, Crew(2, unit="GPU", processor="NVIDIA H200"), encoders)
    assert known.seconds == pytest.approx(35 * 12 + 15 * 2)  # floors: as scoring
    assert estimate(tau, ledger, Crew(2, unit="GPU", processor="NVIDIA A100"), encoders).seconds is None


def test_results_of_another_sweep_tell_how_long_a_new_one_takes(
    tmp_path: Path, tau: Plan, encoders: dict[str, Path]
) -> None:
    ledger, other = Ledger(tmp_path / "store"), planned("byol_lambda", folds=(0,), settings={"steps": 400})
    heard = [cell.spec for cell in other.cells if cell.spec.target]
    finish(ledger, heard, 400.0, 20.0, **CPU)
    found = estimate(tau, ledger, Crew(slots=1), encoders)
    assert tau.cells[0].spec.training.steps == 100
    assert found.seconds == pytest.approx(45 * (100 + 20) + 15 * 20)
    assert found.by == "same"


def test_rehearsals_tell_where_no_cell_was_timed(tmp_path: Path, tau: Plan, encoders: dict[str, Path]) -> None:
    ledger = Ledger(tmp_path / "store")
    assert estimate(tau, ledger, Crew(slots=1), encoders).seconds is None
    canary = rehearsed(tau.cells[0].spec, step_s=0.5, scoring_s=2.0, share=0.25)
    found = estimate(tau, ledger, Crew(slots=1), encoders, rehearsals=[canary])
    assert found.seconds == pytest.approx(45 * (100 * 0.5 + 8.0) + 15 * 8.0)  # a floor is a scoring
    assert (found.by, found.told_by) == ("rehearsed", 1)


def test_cells_that_another_rule_found_are_not_counted_as_rehearsed(
    tmp_path: Path, tau: Plan, encoders: dict[str, Path]
) -> None:
    ledger = Ledger(tmp_path / "store")
    finish(ledger, [tau.floors[0].spec], 0.0, 5.0, **CPU)
    canary = rehearsed(tau.cells[0].spec, step_s=0.5, scoring_s=2.0, share=0.25)
    found = estimate(tau, ledger, Crew(slots=1), encoders, rehearsals=[canary])
    assert (found.by, found.told_by) == ("rehearsed", 1)


def test_what_canaries_tell_is_said_where_nothing_was_known_and_only_there(
    tmp_path: Path, tau: Plan, encoders: dict[str, Path]
) -> None:
    ledger = Ledger(tmp_path / "store")

    def bill() -> Bill:
        def reckon(rehearsals: Sequence[Timing]) -> Estimate:
            return estimate(tau, ledger, Crew(slots=2), encoders, rehearsals=rehearsals)

        return Bill(reckon(()), reckon)

    canary = rehearsed(tau.cells[0].spec, step_s=0.5, scoring_s=2.0, share=0.25)
    unknown = bill()
    assert unknown.rehearsed([canary]) == [
        "time: 0.76 core-hours, 22 min 46 s on 2 slots of 1 core, by rehearsals of 1 cell"
    ]
    assert unknown.expected.seconds == pytest.approx(45 * 58.0 + 15 * 8.0)
    assert unknown.rehearsed([canary]) == []
    finish(ledger, [tau.cells[0].spec], 100.0, 5.0, **CPU)
    assert bill().rehearsed([canary]) == []


def test_a_stage_counts_once_unless_it_is_there_or_all_of_its_cells_are(
    tmp_path: Path, encoders: dict[str, Path]
) -> None:
    """CL on the demo: stage steps = steps, two views of each clip instead of the one that follows."""
    cl, ledger = planned("cl_temperature", folds=(0, 1)), Ledger(tmp_path / "store")
    per_fold = len(cl.cells) // 2
    assert len(cl.stages) == 2 * per_fold  # every temperature has its own
    finish(ledger, [cell.spec for cell in cl.cells[:per_fold]], 10.0, 3.0, **CPU)
    found = estimate(cl, ledger, Crew(slots=1), encoders)
    floors_s = len(cl.floors) * 3.0
    assert found.stages == (2 * per_fold, per_fold)
    assert found.seconds == pytest.approx(per_fold * (13.0 + 20.0) + floors_s)
    folder = stages.folder_of(ledger.store, cl.cells[-1].stage)
    folder.mkdir(parents=True)
    (folder / "stage.json").touch()
    there = estimate(cl, ledger, Crew(slots=1), encoders)
    assert there.stages == (2 * per_fold, per_fold - 1)
    assert there.seconds == pytest.approx((per_fold - 1) * (13.0 + 20.0) + 13.0 + floors_s)


def test_gpu_hours_count_all_gpus_of_a_cell(tmp_path: Path, tau: Plan, encoders: dict[str, Path]) -> None:
    ledger = Ledger(tmp_path / "store")
    finish(ledger, [tau.cells[0].spec], 100.0, 20.0, **GPU, gpus="2")
    alone, pairs, packed = (estimate(tau, ledger, Crew(2, units, "GPU"), encoders) for units in (1.0, 2.0, 0.5))
    assert alone.hours == pytest.approx(pairs.hours) == pytest.approx(packed.hours)
    assert alone.wall_s == pytest.approx(2 * (pairs.wall_s or 0)) == pytest.approx((packed.wall_s or 0) / 2)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.integers(1, 4))
def test_wall_time_is_that_of_slots_that_take_the_next_cell_when_they_are_free(seconds: list[int], slots: int) -> None:
    """Against a clock that ticks: every tick each busy slot works a second off."""
    waiting, running, ticks = list(seconds), [0] * slots, 0
    while waiting or any(running):
        running = [left or (waiting.pop(0) if waiting else 0) for left in running]
        running = [max(0, left - 1) for left in running]
        ticks += 1
    assert wall_s([(float(each), 0.0) for each in seconds], slots) == ticks


def test_wall_time_is_never_less_than_a_stage_and_its_cell() -> None:
    assert wall_s([(3.0, 4.0)], slots=8) == 7.0
    assert wall_s([], slots=3) == 0.0


# --- disk


def test_disk_is_of_results_stages_and_as_many_checkpoints_as_run(
    tmp_path: Path, tau: Plan, encoders: dict[str, Path]
) -> None:
    ledger = Ledger(tmp_path / "store")
    guessed = estimate(tau, ledger, Crew(slots=2), encoders).disk
    encoder = 1000 * 4
    assert weights_bytes(encoders["e" * 64]) == encoder
    assert guessed.results == 60 * (RESULT_BYTES + MIRRORED_BYTES)
    passive = len(tau.cells[0].spec.settings()["passive_taus"])
    assert guessed.checkpoints == 2 * 2 * (4 + 1 + passive) * encoder  # old and new, of two cells
    assert guessed.stages == 0
    cl = planned("cl_temperature", folds=(0,))
    assert estimate(cl, ledger, Crew(slots=1), encoders).disk.stages == len(cl.stages) * encoder


def test_results_are_as_large_as_those_that_lie_there(tmp_path: Path, tau: Plan, encoders: dict[str, Path]) -> None:
    ledger = Ledger(tmp_path / "store")
    finish(ledger, [cell.spec for cell in tau.cells[:4]], 1.0, 1.0, **CPU)
    lie_there = [file for file in (ledger.store / "cells").rglob("*") if file.is_file() and file.name != ".lock"]
    (ledger.store / "mlflow.db").write_bytes(b"x" * 4000)
    wanted = sum(file.stat().st_size for file in lie_there) // 4 + 1000
    assert estimate(tau, ledger, Crew(slots=1), encoders).disk.results == 56 * wanted


# --- what is told


def made_up(**changes: Any) -> Estimate:
    base: dict[str, Any] = {
        "crew": Crew(8, 1.0, "GPU"),
        "cells": (60, 45),
        "stages": (5, 5),
        "floors": (15, 0),
        "seconds": 8 * 5700.0,
        "wall_s": 5700.0,
        "unknown": (),
        "by": "alike",
        "told_by": 24,
        "disk": Disk(results=10**6, stages=5 * 10**8, checkpoints=10**9, free=10**12),
        "at_most": False,
    }
    return Estimate(**{**base, **changes})


def test_an_estimate_is_told_in_four_lines() -> None:
    assert told(made_up(), price=2.5) == [
        "to run: 45 of 60 cells, 5 of 5 stages, 0 of 15 floor cells",
        "time: 13 GPU-hours, 1 h 35 min on 8 slots of 1 GPU, by 24 cells with as much work in a step",
        "disk: 1 MB of results, 500 MB of stages, 1 GB of checkpoints while 8 cells at a time run",
        "money: 31.67 at 2.5 a GPU-hour",
    ]


def test_a_race_makes_it_at_most() -> None:
    _, time, _, money = told(made_up(at_most=True), price=2.5)
    assert time.startswith("time: at most 13 GPU-hours, 1 h 35 min")
    assert money == "money: at most 31.67 at 2.5 a GPU-hour"


def test_what_is_not_known_and_what_is_no_gpu_is_said() -> None:
    unknown = told(made_up(seconds=None, wall_s=None, unknown=("byol", "cl", "supcon")), price=1.0)
    assert unknown[1] == (
        "time: not known, nothing like byol, cl or supcon was timed on a GPU yet; it is once cells have run"
    )
    assert unknown[3] == "money: not known, as the time is not"
    cores = told(made_up(crew=Crew(2, 4.0), seconds=36.0), price=1.0)
    assert "0.04 core-hours, 1 h 35 min on 2 slots of 4 cores" in cores[1]
    assert cores[3] == "money: no GPU-hours, cells run on CPU cores"
    with pytest.raises(UserError, match="price_per_gpu_hour is 0; it must be above 0"):
        told(made_up(), price=0)


def test_a_disk_that_is_too_small_is_said() -> None:
    small = replace(made_up().disk, free=10**9)
    assert told(made_up(disk=small))[2].endswith("; only 1 GB are free")


def test_afterwards_the_plan_stands_beside_what_it_took() -> None:
    budget = Budget(None)
    for now_s in range(0, 3601, 30):
        budget.note(8, float(now_s))
    said = after(made_up(at_most=True, stages=(5, 0)), budget, cells=30)
    assert said == (
        "took 8 GPU-hours and 1 h 00 min for 30 cells; the plan said at most 13 GPU-hours and 1 h 35 min for 45 "
        "(5 % less a cell)"
    )
    assert after(made_up(seconds=None, wall_s=None), budget, cells=30).endswith("nothing was known of cells like these")


# --- budget


def test_a_budget_adds_up_busy_slots_times_their_gpus() -> None:
    budget = Budget(2.0, units_per_cell=0.5)
    busy = itertools.cycle([4, 0, 2])
    for second in range(0, 3 * 3600 + 1, 30):
        budget.note(next(busy), float(second))
    assert budget.spent_hours == pytest.approx(0.5 * 2 * 3)  # two slots on average, for three hours
    assert budget.wall_s == 3 * 3600
    assert budget.reason() == "the budget of 2 GPU-hours is spent"


def test_a_budget_is_silent_until_it_is_spent() -> None:
    budget = Budget(1.0)
    for second in range(0, 3600, 10):
        budget.note(1, float(second))
        assert budget.reason() == ""
    budget.note(1, 3600.0)
    assert budget.reason() == "the budget of 1 GPU-hour is spent"
    endless = Budget(None)
    endless.note(100, 0.0)
    endless.note(100, LONGEST_S)
    assert endless.reason() == ""
    assert endless.spent_hours > 0


def test_a_machine_that_sleeps_and_a_clock_that_is_set_back_cost_no_budget() -> None:
    budget = Budget(1.0)
    budget.note(1, 0.0)
    budget.note(1, 8 * 3600.0)
    assert budget.spent_hours == LONGEST_S / 3600
    budget.note(1, 0.0)
    assert budget.spent_hours == LONGEST_S / 3600


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"hours": 0}, "budget_gpu_hours is 0; it must be above 0"),
        ({"hours": -1.5}, "budget_gpu_hours is -1.5; it must be above 0"),
        ({"hours": 1, "units_per_cell": 0}, "gpus_per_cell is 0; it must be above 0"),
        ({"hours": float("nan")}, "budget_gpu_hours is nan; it must be above 0"),
    ],
)
def test_a_budget_of_nothing_is_refused(asked: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as told_so:
        Budget(**asked)
    assert str(told_so.value) == line
