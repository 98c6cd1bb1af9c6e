"""How configurations are chosen among: which labels, which objective, and who races."""

from dataclasses import replace

import pytest

import search_spaces
from orchestrator.choosing import Choice, blocks_of
from orchestrator.plan import Plan, Request, plan
from tests.unheard import ground, unheard_papers
from trainers.errors import UserError
from trainers.protocols import PROTOCOLS


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    stood = ground(PROTOCOLS["gong2025"], unheard_papers())
    names = ("byol_tau", "joint", "augmentation_types", "methods")
    return {name: plan(name, search_spaces.load(name), stood, Request()) for name in names}


def races(name: str, plans: dict[str, Plan], race: bool | None = None) -> bool:
    return Choice(race=race).races(search_spaces.load(name), plans[name])


def test_large_grids_race_small_ones_do_not_and_the_user_has_the_last_word(plans: dict[str, Plan]) -> None:
    assert not races("byol_tau", plans)
    assert races("joint", plans)
    assert races("byol_tau", plans, race=True)
    assert not races("joint", plans, race=False)


def test_where_the_whole_table_is_the_answer_nothing_is_dropped_unless_asked(plans: dict[str, Plan]) -> None:
    assert len(plans["augmentation_types"].configurations) > 5
    assert not races("augmentation_types", plans)
    assert races("augmentation_types", plans, race=True)
    assert "whole table" in Choice().told(search_spaces.load("augmentation_types"), plans["augmentation_types"])


def test_what_is_said_names_the_way_out(plans: dict[str, Plan]) -> None:
    assert "--no-race" in Choice().told(search_spaces.load("joint"), plans["joint"])
    assert "--race" in Choice().told(search_spaces.load("byol_tau"), plans["byol_tau"])


def test_the_reference_is_spared_since_others_are_compared_with_it(plans: dict[str, Plan]) -> None:
    contest = Choice().contest(search_spaces.load("joint"), plans["joint"])
    assert contest is not None
    assert contest.spared == {0}
    assert contest.race.blocks == blocks_of(plans["joint"]) == 5


def test_labels_that_choose_must_be_there(plans: dict[str, Plan]) -> None:
    tau = plans["byol_tau"]
    assert Choice().selector("hrl", tau) == "hrl"
    assert Choice("other-languages").selector("hrl", tau) == "other-languages"
    assert Choice(objective_name="worst").selector("target", tau) == "target"
    assert Choice("other-languages", "worst").selector("hrl", tau) == "other-languages"
    with pytest.raises(UserError, match="'worst'; it needs --select-on other-languages"):
        Choice(objective_name="worst").selector("hrl", tau)
    with pytest.raises(UserError, match="must be 'hrl' where a configuration hears no target language"):
        Choice("other-languages").selector("hrl", plans["methods"])
    with pytest.raises(UserError, match="under this protocol it must be 'target'"):
        Choice("hrl").selector("target", tau)
    with pytest.raises(UserError, match="at least two target languages"):
        Choice("other-languages").selector("hrl", replace(tau, languages=("urdu",)))


def test_bad_wishes_are_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match="unknown objective 'best'; there are: mean, worst"):
        Choice(objective_name="best")
    with pytest.raises(UserError, match=r"race_alpha is 0.7; it must be above 0 and below 0.5"):
        Choice(alpha=0.7)
    with pytest.raises(UserError, match="unknown selector 'urdu'"):
        Choice("urdu")


def test_a_race_over_one_block_is_refused(plans: dict[str, Plan]) -> None:
    one = replace(plans["byol_tau"], cells=tuple(cell for cell in plans["byol_tau"].cells if cell.spec.fold == 0))
    with pytest.raises(UserError, match="at least two blocks"):
        Choice(race=True).races(search_spaces.load("byol_tau"), one)
