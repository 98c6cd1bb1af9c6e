"""Every shipped sweep: it plans wherever it says it can be asked, and a short cell of it trains on the demo."""

from copy import copy
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import search_spaces
from orchestrator.ground import Ground
from orchestrator.plan import Plan, Request, plan
from search_spaces import Sweep
from tests.unheard import Unheard, clips, ground, unheard_papers
from trainers import cell
from trainers.cell import Workspace
from trainers.corpora import demo
from trainers.corpora.prepared import Prepared, prepare
from trainers.errors import UserError
from trainers.protocols import protocol_named
from trainers.spec import CellSpec

NAMES = search_spaces.names()
ASKED = [(name, protocol) for name in NAMES for protocol in search_spaces.load(name).protocols]
DEMO = [*(corpus.name for corpus in demo.CORPORA), demo.ADAPTATION.name]
BEYOND_THE_DEMO = {"pairwise_pretrain_data": "demo_within"}
"""Sweeps that need what the demo has not (other emotions), and the demo's protocol under which they train here."""
SHORT = {"steps": 4, "batch_size": 8, "epoch_steps": 2, "adapt_share": 0.5, "tau_horizon": "paper"}


@cache
def unheard(*, demos: bool) -> Unheard:
    return Unheard(clips(DEMO)) if demos else unheard_papers()


def settings(sweep: Sweep) -> dict[str, Any]:
    """What makes its cells short, as far as its methods have such settings and it does not sweep them."""
    swept = {name for point in sweep.points() for name in point.values}
    own = {name for point in sweep.points() for name in vars(point.config)} | set(vars(sweep.training))
    return {name: value for name, value in SHORT.items() if name in own - swept}


def planned(name: str, stood: Ground, **asked: Any) -> Plan:
    sweep = search_spaces.load(name)
    try:
        return plan(name, sweep, stood, Request(folds_by=sweep.folds_by, **asked))
    except UserError as error:
        if "package opensmile" in str(error) and find_spec("opensmile") is None:
            pytest.skip("the extra egemaps is not installed")
        raise


@pytest.mark.parametrize(("name", "protocol"), ASKED)
def test_a_sweep_plans_under_each_of_its_protocols_and_no_two_of_its_points_are_one_training(
    name: str, protocol: str
) -> None:
    """The plan itself refuses two points of one key."""
    roles = protocol_named(protocol)
    found = planned(name, ground(roles, unheard(demos=roles.is_demo)), folds=(0,))
    points = search_spaces.load(name).points()
    assert len(found.configurations) == len(points)
    assert {one.number for one in found.configurations} == {cell.configuration for cell in found.cells}


@pytest.mark.parametrize("name", NAMES)
def test_the_demos_protocol_comes_first_and_there_is_one_for_real_speech(name: str) -> None:
    demos = [protocol_named(protocol).is_demo for protocol in search_spaces.load(name).protocols]
    assert demos[0] == (name not in BEYOND_THE_DEMO)
    assert not all(demos)


@pytest.fixture(scope="module")
def everything(demo_store: Path, demo_ground: Ground) -> Ground:
    return with_all_corpora(demo_ground, demo_store)


def with_all_corpora(ground: Ground, store: Path) -> Ground:
    """The demo with all of its corpora, so that one workspace serves all sweeps."""
    root = demo.write(store / "demo" / "data")
    return replace(ground, prepared=_sometimes_surprised(prepare(root, DEMO, store)))


def _sometimes_surprised(prepared: Prepared) -> Prepared:
    """The same speech, one sentence called surprised."""
    other = copy(prepared)
    other.utterances = tuple(
        replace(clip, emotion="surprise") if clip.text == "s04" else clip for clip in prepared.utterances
    )
    return other


@pytest.fixture(scope="module")
def workspace(everything: Ground, demo_store: Path) -> Workspace:
    return Workspace(everything.prepared, everything.encoder_folder, demo_store / "short", torch.device("cpu"))


def short_cell(name: str, everything: Ground) -> CellSpec:
    """The last cell of the sweep's first fold: mostly of the point that is farthest from the reference."""
    sweep = search_spaces.load(name)
    protocol = BEYOND_THE_DEMO.get(name, sweep.protocols[0])
    stood = replace(everything, protocol=protocol_named(protocol))
    return planned(name, stood, folds=(0,), settings=settings(sweep)).cells[-1].spec


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_short_cell_of_a_sweep_trains_on_the_demo(name: str, everything: Ground, workspace: Workspace) -> None:
    spec = short_cell(name, everything)
    try:
        result = cell.run(spec, workspace)
    finally:
        cell.forget_checkpoint(spec, workspace)
    for scores in (result.valid, result.test):
        assert scores
        for score in scores.values():
            assert score.n > 0
            assert 0 <= score.uar <= 1
    assert all(value == value for row in result.history for value in row.values())  # no NaN
