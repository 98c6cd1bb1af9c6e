"""Plans: how many cells, in which order, which of them two sweeps share, and what is refused before anything runs."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from ray import tune

import search_spaces
from orchestrator.ground import Ground
from orchestrator.plan import Plan, Request, plan
from search_spaces import Sweep
from tests.unheard import Unheard, clips, ground
from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError
from trainers.methods.configs import BaselineConfig, ByolConfig, FloorConfig
from trainers.protocols import PROTOCOLS
from trainers.spec import Training
from trainers.splits import Splits
from trainers.stages import stage_of

LANGUAGES = ("demo-arda", "demo-bela", "demo-cyra")


@pytest.fixture(scope="module")
def stood() -> Ground:
    return ground()


def shipped(name: str, stood: Ground, **asked: Any) -> Plan:
    return plan(name, search_spaces.load(name), stood, Request(**asked))


def made_up(stood: Ground, axes: dict[str, Any], settings: dict[str, Any] | None = None, **sweep: Any) -> Plan:
    question = Sweep("?", ByolConfig(), axes=axes)
    return plan("made_up", replace(question, **sweep), stood, Request(folds=(0,), settings=settings or {}))


@pytest.mark.parametrize(("name", "configurations", "cells"), [("byol_tau", 3, 3 * 3 * 5), ("baseline", 1, 5)])
def test_a_sweep_has_a_cell_per_configuration_target_and_fold_and_three_floors_a_fold(
    stood: Ground, name: str, configurations: int, cells: int
) -> None:
    planned = shipped(name, stood)
    assert len(planned.configurations) == configurations
    assert len({cell.key for cell in planned.cells}) == len(planned.cells) == cells
    assert Counter(cell.spec.method for cell in planned.floors) == {
        "nuisance_only": 5,
        "frozen_probe": 5,
        "own_statistics": 5,
    }
    assert [len(planned.of(number)) for number in range(configurations)] == [cells // configurations] * configurations


def test_all_configurations_and_languages_of_a_fold_come_before_the_next_fold_and_seeds_last(stood: Ground) -> None:
    planned = shipped("byol_tau", stood, seeds=(0, 1))
    places = [(cell.spec.seed, cell.spec.fold, cell.spec.target, cell.configuration) for cell in planned.cells]
    assert places == [
        (seed, fold, language, number)
        for seed in (0, 1)
        for fold in range(5)
        for language in LANGUAGES
        for number in range(3)
    ]


def test_every_planned_cell_says_what_its_configuration_says(stood: Ground) -> None:
    planned = shipped("byol_lambda", stood)
    for cell in planned.cells:
        assert cell.configuration is not None
        values = planned.configurations[cell.configuration].values
        assert {name: cell.spec.settings()[name] for name in values} == values
        assert cell.key == cell.spec.key()


def test_the_data_fingerprint_of_a_cell_is_that_of_its_split(stood: Ground) -> None:
    splits = Splits(stood.protocol, stood.prepared)
    planned = shipped("byol_tau", stood, folds=(3,))
    for cell in (*planned.cells, *planned.floors):
        wanted = splits.of(cell.spec.target, 3, cell.spec.config).fingerprint(stood.prepared)
        assert cell.spec.data_fingerprint == wanted


@pytest.mark.parametrize("name", ["cl_temperature", "supcon_temperature", "pairwise_temperature", "methods"])
def test_keys_of_cells_and_stages_are_those_that_a_slot_makes_of_the_spec(name: str) -> None:
    sweep = search_spaces.load(name)
    stood = ground(PROTOCOLS[sweep.protocols[0]], Unheard(clips(PROTOCOLS[sweep.protocols[0]].corpora)))
    views = {"view_names": ("layers", "mel")} if name == "pairwise_temperature" else {}
    planned = plan(name, sweep, stood, Request(seeds=(0, 3), settings=views))
    splits = Splits(stood.protocol, stood.prepared, sweep.folds_by)
    assert any(cell.stage for cell in planned.cells)
    for cell in planned.cells:
        spec = cell.spec
        stage = stage_of(spec, splits.of(spec.target, spec.fold, spec.config).stage_fingerprint(stood.prepared))
        assert (cell.key, cell.stage) == (spec.key(), stage.key() if stage else "")


# --- repeats


def places(planned: Plan) -> list[tuple[int, int]]:
    return list(dict.fromkeys((cell.spec.seed, cell.spec.fold) for cell in planned.cells))


def test_repeats_add_their_folds_behind_all_seeds_of_the_partitions_before(stood: Ground) -> None:
    once, twice = (shipped("byol_tau", stood, seeds=(4, 2), repeats=repeats) for repeats in (1, 2))
    assert twice.folds == tuple(range(10))
    assert places(once) == [(seed, fold) for seed in (4, 2) for fold in range(5)]
    assert places(twice) == places(once) + [(seed, fold) for seed in (4, 2) for fold in range(5, 10)]
    assert twice.blocks == {place: number for number, place in enumerate(places(twice))}
    assert twice.cells[: len(once.cells)] == once.cells
    assert twice.floors[: len(once.floors)] == once.floors
    assert len(twice.cells) == 2 * len(once.cells)
    assert len({cell.key for cell in twice.cells + twice.floors}) == len(twice.cells) + len(twice.floors)


def test_a_cell_of_a_repeat_hears_the_fold_of_that_partition(stood: Ground) -> None:
    splits = Splits(stood.protocol, stood.prepared)
    planned = shipped("byol_tau", stood, repeats=3, folds=(7, 11))
    assert {cell.spec.fold for cell in planned.cells} == {7, 11}
    for cell in planned.cells:
        wanted = splits.of(cell.spec.target, cell.spec.fold, cell.spec.config).fingerprint(stood.prepared)
        assert cell.spec.data_fingerprint == wanted
    assert len({cell.spec.data_fingerprint for cell in planned.cells}) == 2 * 3


def test_repeats_within_corpora_are_of_every_language() -> None:
    stood = ground(PROTOCOLS["demo_within"], Unheard(clips(PROTOCOLS["demo_within"].corpora)))
    planned = plan("made_up", Sweep("?", BaselineConfig()), stood, Request(repeats=2))
    assert Counter(cell.spec.target for cell in planned.cells) == dict.fromkeys(planned.languages, 10)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"repeats": 0}, "repeats is 0; it must be 1 to 100"),
        ({"repeats": 101}, "repeats is 101; it must be 1 to 100: more would make no interval narrower"),
        ({"repeats": 2, "folds": (10,)}, "unknown fold '10'; there are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ],
)
def test_repeats_and_their_folds_that_there_are_not_are_refused(
    stood: Ground, asked: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError) as told:
        shipped("byol_tau", stood, **asked)
    assert str(told.value).startswith(line)


# --- who shares what


def test_the_published_tau_and_lambda_are_the_same_cells_in_both_sweeps(stood: Ground) -> None:
    tau, weight = shipped("byol_tau", stood), shipped("byol_lambda", stood)
    shared = {cell.key for cell in tau.cells} & {cell.key for cell in weight.cells}
    assert shared == {cell.key for cell in tau.of(1)} == {cell.key for cell in weight.of(0)}
    assert tau.configurations[1].values == {"tau": 0.996}
    assert weight.configurations[0].values == {"lambda_start": 0.8, "lambda_end": 0.2}


def test_the_baseline_hears_no_target_and_shares_its_floors_with_byol(stood: Ground) -> None:
    planned = shipped("baseline", stood)
    assert {cell.spec.target for cell in planned.cells} == {None}
    assert {cell.key for cell in planned.floors} == {cell.key for cell in shipped("byol_tau", stood).floors}


def test_lambda_zero_hears_no_target_and_is_trained_once_for_every_language(stood: Ground) -> None:
    planned = shipped("byol_lambda", stood)
    targets = {one.name: Counter(cell.spec.target for cell in planned.of(one.number)) for one in planned.configurations}
    by_language = dict.fromkeys(planned.languages, 5)
    assert targets.pop("lambda_start=0 lambda_end=0") == {None: 5}
    assert list(targets.values()) == [by_language] * 4


def test_precision_is_settled_in_the_plan_by_the_machine_or_else_by_the_user(stood: Ground) -> None:
    on_cpu, on_gpu = (shipped("byol_tau", replace(stood, precision=kind), folds=(0,)) for kind in ("fp32", "bf16"))
    chosen = shipped("byol_tau", replace(stood, precision="bf16"), folds=(0,), settings={"precision": "fp32"})
    assert {cell.spec.training.precision for cell in on_gpu.cells} == {"bf16"}
    assert {cell.key for cell in on_cpu.cells} == {cell.key for cell in chosen.cells}
    assert not {cell.key for cell in on_cpu.cells} & {cell.key for cell in on_gpu.cells}


def test_an_extended_grid_keeps_the_cells_that_it_had(stood: Ground) -> None:
    few = made_up(stood, {"tau": tune.grid_search([0.99, 0.999])})
    more = made_up(stood, {"tau": tune.grid_search([0.98, 0.99, 0.999])}, {"steps": 1000})
    same = made_up(stood, {"tau": tune.grid_search([0.98, 0.99, 0.999])})
    assert {cell.key for cell in few.cells} < {cell.key for cell in same.cells}
    assert not {cell.key for cell in few.cells} & {cell.key for cell in more.cells}


def test_languages_folds_and_seeds_asked_for_twice_count_once(stood: Ground) -> None:
    planned = shipped("byol_tau", stood, languages=("demo-bela",) * 2, folds=(3, 3), seeds=(7, 7))
    assert (planned.languages, planned.folds, planned.seeds) == (("demo-bela",), (3,), (7,))
    assert len(planned.cells) == 3
    assert len(planned.floors) == 3


def test_the_users_settings_go_before_the_protocols_and_those_before_the_sweeps(stood: Ground) -> None:
    assert shipped("byol_tau", stood).cells[0].spec.training.steps == PROTOCOLS["demo"].settings["steps"]
    asked = shipped("byol_tau", stood, settings={"steps": 400, "length_s": 1.0})
    assert asked.cells[0].spec.training.steps == 400
    assert asked.cells[0].spec.training.batch_size == PROTOCOLS["demo"].settings["batch_size"]
    assert {cell.spec.front_end for cell in asked.cells + asked.floors} == {FrontEnd(length_s=1.0)}


def test_settings_of_a_protocol_that_a_method_lacks_are_no_error(stood: Ground) -> None:
    assert "projection" in PROTOCOLS["demo"].settings
    assert "projection" not in shipped("baseline", stood).cells[0].spec.settings()


def test_floors_do_not_change_with_the_sweeps_training(stood: Ground) -> None:
    few = shipped("byol_tau", stood, settings={"steps": 400})
    assert {cell.key for cell in few.floors} == {cell.key for cell in shipped("byol_tau", stood).floors}


def test_an_axis_value_in_another_type_is_the_same_cell(stood: Ground) -> None:
    one = made_up(stood, {"lambda_start": tune.grid_search([1, 0.5])})
    other = made_up(stood, {"lambda_start": tune.grid_search([1.0, 0.5])})
    assert [cell.key for cell in one.cells] == [cell.key for cell in other.cells]
    loose = made_up(stood, {}, config=ByolConfig(lambda_start=1))
    assert [cell.key for cell in loose.cells] == [cell.key for cell in one.of(0)]


def test_a_sweep_of_slow_momenta_may_be_shorter_than_the_default_momentum_allows(stood: Ground) -> None:
    """τ = .996 takes 20 steps; a sweep of .999 alone, which takes 5, must not fail on a default that it replaces."""
    planned = made_up(stood, {"tau": tune.grid_search([0.999])}, {"steps": 10, "passive_taus": []})
    assert planned.cells[0].spec.training.steps == 10


def test_close_values_have_different_names(stood: Ground) -> None:
    planned = made_up(stood, {"tau": tune.grid_search([0.999, 0.9999999, 1.0])})
    assert [one.name for one in planned.configurations] == ["tau=0.999", "tau=0.9999999", "tau=1"]


def test_a_language_whose_corpus_is_not_here_is_no_target() -> None:
    few = ground(speech=Unheard(clips(["demo_home", "demo_cyra"])))
    assert shipped("byol_tau", few).languages == ("demo-cyra",)
    with pytest.raises(UserError, match="unknown language 'demo-arda'; there are: demo-cyra"):
        shipped("byol_tau", few, languages=("demo-arda",))


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"languages": ("urdu",)}, "unknown language 'urdu'; there are: demo-arda, demo-bela, demo-cyra"),
        ({"languages": ("demo-home",)}, "unknown language 'demo-home'; there are: demo-arda, demo-bela, demo-cyra"),
        ({"folds": (5,)}, "unknown fold '5'; there are: 0, 1, 2, 3, 4"),
        ({"folds": (0, -1)}, "unknown fold '-1'; there are: 0, 1, 2, 3, 4"),
        ({"folds_by": "alphabet"}, "unknown kind of folds 'alphabet'; there are: random, speaker, speaker+sentence, "),
        ({"folds_by": "random"}, "folds_by is 'random'; that is for protocols within a corpus"),
        ({"settings": {"steps": "many"}}, "steps is 'many'; it must be a whole number"),
        ({"settings": {"temperature": 0.1}}, "unknown setting of byol 'temperature'; there are: batch_size, "),
        ({"settings": {"tau": 0.5}}, "tau is an axis of this sweep and cannot be set beside it"),
        ({"settings": {"steps": 20}}, "tau 0.99 has no match at 20 steps; it takes at least 50, "),
    ],
)
def test_what_is_not_there_or_out_of_range_is_one_line(stood: Ground, asked: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as told:
        shipped("byol_tau", stood, **asked)
    assert str(told.value).startswith(line)
    assert "\n" not in str(told.value)


def test_an_axis_that_a_method_lacks_is_answered_with_those_it_has(stood: Ground) -> None:
    with pytest.raises(UserError, match=r"unknown setting of baseline 'tau'; there are: .*strength"):
        made_up(stood, {"tau": tune.grid_search([0.9])}, config=BaselineConfig())


def test_a_point_out_of_range_is_told_before_any_cell_runs(stood: Ground) -> None:
    with pytest.raises(UserError, match=r"tau is 1\.5; it must be between 0 and 1"):
        made_up(stood, {"tau": tune.grid_search([0.99, 1.5])})


@pytest.mark.parametrize("points", [[0.99, 0.99], [1, 1.0]])
def test_two_points_that_are_the_same_training_are_refused(stood: Ground, points: list[Any]) -> None:
    with pytest.raises(
        UserError, match=f"two configurations are the same training: tau={points[0]} and tau={points[0]}"
    ):
        made_up(stood, {"tau": tune.grid_search(points)})


def test_a_sweep_of_a_floor_or_of_no_method_at_all_is_refused(stood: Ground) -> None:
    with pytest.raises(UserError, match="a FloorConfig names no method"):
        made_up(stood, {}, config=FloorConfig())
    with pytest.raises(UserError, match="a sweep needs either a config or arms"):
        Sweep("?")


def test_the_seeds_of_a_sweep_are_its_own_unless_the_user_names_some(stood: Ground) -> None:
    assert made_up(stood, {}, seeds=(3, 4)).seeds == (3, 4)
    assert shipped("baseline", stood, seeds=(9,)).seeds == (9,)
    assert made_up(stood, {}, training=Training(steps=7000)).cells[0].spec.training.steps == 100
