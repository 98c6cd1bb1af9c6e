"""A sweep over encoders: one configuration each, found before anything runs, and trained in one process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from orchestrator import ground
from orchestrator.ground import FoundEncoder, Ground, encoders_of
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan, Request, plan
from orchestrator.work import CellWork
from tests.unheard import ground as unheard_ground
from trainers import encoders
from trainers.errors import UserError

SWEEP = search_spaces.load("encoder_size")
SHORT = {"steps": 2, "batch_size": 4, "epoch_steps": 2}


def planned(stood: Ground) -> Plan:
    return plan("encoder_size", SWEEP, stood, Request(folds=(0,), settings=SHORT))


def test_each_encoder_is_a_configuration_with_cells_of_its_own() -> None:
    found = {name: FoundEncoder(Path(name), letter * 64) for name, letter in (("tiny.en", "a"), ("small.en", "b"))}
    made = planned(replace(unheard_ground(), encoders=found, encoder_fingerprint="a" * 64))
    assert [one.name for one in made.configurations] == ["encoder=tiny.en", "encoder=small.en"]
    assert [one.values for one in made.configurations] == [{"encoder": "tiny.en"}, {"encoder": "small.en"}]
    for number, letter in enumerate("ab"):
        assert {cell.spec.encoder_fingerprint for cell in made.of(number)} == {letter * 64}
    assert {cell.spec.encoder_fingerprint for cell in made.floors} == {"a" * 64}


def test_two_names_of_one_encoder_are_one_training_and_refused() -> None:
    same = {name: FoundEncoder(Path(name), "a" * 64) for name in ("tiny", "another")}
    with pytest.raises(UserError, match="the same training: encoder=tiny and encoder=another"):
        planned(replace(unheard_ground(), encoders=same))


def test_the_user_names_other_encoders_only_where_the_sweep_has_several() -> None:
    assert encoders_of(SWEEP, None) == SWEEP.encoders
    assert encoders_of(SWEEP, "a, b/c") == ("a", "b/c")
    assert encoders_of(search_spaces.load("byol_tau"), "a,b") == ()


@pytest.fixture
def two(demo_ground: Ground, tmp_path: Path) -> tuple[Path, Path]:
    """The demo's encoder, and the same weights under a configuration that tells another fingerprint."""
    first, second = demo_ground.encoder_folder, tmp_path / "second" / "wider"
    shutil.copytree(first, second)
    told = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps({**told, "encoder_attention_heads": 2}))
    return first, second


@pytest.mark.slow
def test_encoders_are_found_by_their_last_name_and_two_of_one_name_are_refused(
    demo_ground: Ground, two: tuple[Path, Path]
) -> None:
    found = ground._found([str(folder) for folder in two])
    assert {name: each.folder for name, each in found.items()} == {"encoder": two[0], "wider": two[1]}
    assert found["encoder"].fingerprint == demo_ground.encoder_fingerprint != found["wider"].fingerprint
    with pytest.raises(UserError, match="two encoders are called encoder; a table could not tell them apart"):
        ground._found([str(two[0]), f"{two[0]}/"])


@pytest.mark.slow
def test_one_process_trains_each_cell_through_the_encoder_that_it_names(
    demo_ground: Ground, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    found = {folder.name: FoundEncoder(folder, encoders.fingerprint(folder)) for folder in two}
    made = planned(replace(demo_ground, encoders=found))
    folders = {each.fingerprint: each.folder for each in found.values()}
    work = CellWork(demo_ground.prepared.paths, folders, tmp_path, "hrl")()
    for cell in made.cells:
        work(cell.spec.as_dict(), lambda *_: None, lambda: False)
    results = [Ledger(tmp_path).read(cell.key) for cell in made.cells]
    losses = [[row["loss/total"] for row in result.history] for result in results if result]
    assert len(losses) == 2
    assert losses[0] != losses[1]
