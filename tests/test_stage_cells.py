"""Stages within cells, on the built-in demo: computed or found, interrupted or not, the same result to the bit."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.work import CellWork
from trainers import cell, stages
from trainers.cell import Stopped, Workspace
from trainers.methods.configs import AdaptationConfig, ClConfig, MethodConfig, SupConConfig, method_of
from trainers.result import Result
from trainers.spec import CellSpec, Training, code_version
from trainers.splits import Splits

TRAINING = Training(steps=4, epoch_steps=2, batch_size=8, encoder_lr=3e-3, head_lr=1e-2, warmup_steps=1)
CONFIGS: dict[str, MethodConfig] = {
    "cl": ClConfig(clips_per_speaker=2),
    "cl by attention": ClConfig(clips_per_speaker=2, pooling="attention", adapt_projection=8),
    "cl on the target": ClConfig(clips_per_speaker=2, adapt_on="target"),
    "supcon": SupConConfig(adapt_projection=8),
    "supcon, head alone": SupConConfig(pooling="attention", trainable_layers=0, margin_form="classes"),
    "adaptation": AdaptationConfig(clips_per_speaker=2),
    "adaptation by attention": AdaptationConfig(clips_per_speaker=2, pooling="attention"),
}


def spec(ground: Ground, config: MethodConfig, fold: int = 0, **training: object) -> CellSpec:
    target = "demo-arda" if getattr(config, "adapt_on", "") == "target" else None
    split = Splits(ground.protocol, ground.prepared).of(target, fold, config)
    method = method_of(config)
    front_end = replace(ground.protocol.front_end, length_s=0.5)
    where = ("demo", "speaker", target, fold, 0, ground.encoder_fingerprint, split.fingerprint(ground.prepared))
    return CellSpec(method, config, replace(TRAINING, **training), front_end, *where, code_version(method))


def workspace(ground: Ground, store: Path) -> Workspace:
    return Workspace(ground.prepared, ground.encoder_folder, store, torch.device("cpu"))


def told(result: Result) -> str:
    return json.dumps({**result.as_dict(), "seconds": None}, sort_keys=True)


def after(questions: int) -> Callable[[], bool]:
    left = iter(range(questions - 1))
    return lambda: next(left, None) is None


def key(asked: CellSpec, place: Workspace) -> str:
    found = stages.stage_of(asked, place.split(asked).stage_fingerprint(place.prepared))
    assert found is not None
    return found.key()


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_who_finds_the_stage_has_the_result_of_who_computes_it(
    demo_ground: Ground, tmp_path: Path, config: str
) -> None:
    place, asked, phases = workspace(demo_ground, tmp_path), spec(demo_ground, CONFIGS[config]), []
    computed = cell.run(asked, place, progress=lambda step, _, phase: phases.append((phase, step)))
    assert [step for phase, step in phases if phase == "stage"] == [1, 2, 3, 4]
    assert stages.is_done(tmp_path, key(asked, place))
    cell.forget_checkpoint(asked, place)
    phases.clear()
    found = cell.run(
        asked, workspace(demo_ground, tmp_path), progress=lambda step, _, phase: phases.append((phase, step))
    )
    assert not [step for phase, step in phases if phase == "stage"]
    assert told(found) == told(computed)
    assert not (tmp_path / "checkpoints" / key(asked, place)).exists()


@pytest.mark.slow
@pytest.mark.parametrize("config", ["cl", "supcon"])
def test_a_stage_that_another_cell_computed_serves_as_ones_own(
    demo_ground: Ground, tmp_path: Path, config: str
) -> None:
    first, second = (
        replace(CONFIGS[config], strength=strength, views=views) for strength, views in ((1.0, 1), (0.5, 2))
    )
    shared, alone = workspace(demo_ground, tmp_path / "shared"), workspace(demo_ground, tmp_path / "alone")
    cell.run(spec(demo_ground, first, epoch_steps=1), shared)
    asked = spec(demo_ground, second)
    assert key(asked, shared) == key(spec(demo_ground, first, epoch_steps=1), shared)
    assert told(cell.run(asked, shared)) == told(cell.run(asked, alone))
    assert len(list((tmp_path / "shared" / "stages").glob("*/*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("questions", [1, 3])
@pytest.mark.parametrize("config", ["cl", "supcon"])
def test_a_stage_that_was_stopped_goes_on_to_the_same_weights(
    demo_ground: Ground, tmp_path: Path, config: str, questions: int
) -> None:
    asked, steps = spec(demo_ground, CONFIGS[config]), []
    at_once = workspace(demo_ground, tmp_path / "at once")
    cell.run_stage(asked, at_once)
    interrupted = workspace(demo_ground, tmp_path / "interrupted")
    with pytest.raises(Stopped):
        cell.run(asked, interrupted, stopped=after(questions))
    assert not stages.is_done(interrupted.store, key(asked, interrupted))
    again = workspace(demo_ground, tmp_path / "interrupted")
    cell.run_stage(asked, again, progress=lambda step, *_: steps.append(step))
    assert steps == list(range(questions + 1, 5))
    one, other = (stages.read(place.store, key(asked, place)) for place in (at_once, again))
    assert one is not None
    assert other is not None
    assert (one.facts, one.history) == (other.facts, other.history)
    assert all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.mark.slow
def test_damaged_weights_are_computed_anew_to_the_same_result(demo_ground: Ground, tmp_path: Path) -> None:
    place, asked = workspace(demo_ground, tmp_path), spec(demo_ground, CONFIGS["cl"])
    first = cell.run(asked, place)
    cell.forget_checkpoint(asked, place)
    weights = stages.folder_of(tmp_path, key(asked, place)) / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\0\0\0\0")
    with pytest.warns(UserWarning, match="is damaged and set aside"):
        assert told(cell.run(asked, place)) == told(first)
    assert weights.read_bytes() == content


@pytest.mark.slow
def test_two_processes_that_compute_one_stage_at_once_agree(demo_ground: Ground, tmp_path: Path) -> None:
    asked = spec(demo_ground, CONFIGS["cl"])
    (tmp_path / "spec.json").write_text(json.dumps(asked.as_dict()))
    code = (
        "import sys, json, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from trainers import cell; from trainers.spec import CellSpec; from safetensors.torch import save_file\n"
        "from trainers.corpora.prepared import open_prepared\n"
        "spec, encoder, store, out, *paths = map(Path, sys.argv[1:])\n"
        "place = cell.Workspace(open_prepared(paths), encoder, store, torch.device('cpu'))\n"
        "found = cell.run_stage(CellSpec.from_dict(json.loads(spec.read_text())), place)\n"
        "save_file({name: value.clone() for name, value in found.weights.items()}, out)\n"
    )
    paths = [str(path) for path in demo_ground.prepared.paths]
    store = str(tmp_path / "store")
    command = [sys.executable, "-c", code, str(tmp_path / "spec.json"), str(demo_ground.encoder_folder), store]
    running = [
        subprocess.Popen([*command, str(tmp_path / f"{number}.safetensors"), *paths], cwd=Path(__file__).parents[1])
        for number in range(2)
    ]
    assert [process.wait(120) for process in running] == [0, 0]
    one, other = (load_file(tmp_path / f"{number}.safetensors") for number in range(2))
    kept = stages.read(tmp_path / "store", key(asked, workspace(demo_ground, tmp_path / "store")))
    assert kept is not None
    for name, value in kept.weights.items():
        assert torch.equal(value, one[name])
        assert torch.equal(value, other[name])


@pytest.mark.slow
def test_a_slot_that_is_given_a_stage_stores_it_and_nothing_else(demo_ground: Ground, tmp_path: Path) -> None:
    asked = spec(demo_ground, CONFIGS["cl"])
    folders = {demo_ground.encoder_fingerprint: demo_ground.encoder_folder}
    work = CellWork(demo_ground.prepared.paths, folders, tmp_path, "hrl")()
    found = work({"stage_of": asked.as_dict()}, lambda *_: None, lambda: False)
    assert found["seconds"] > 0
    assert stages.is_done(tmp_path, key(asked, workspace(demo_ground, tmp_path)))
    assert not Ledger(tmp_path).has(asked.key())
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_the_facts_of_the_stage_are_told_with_the_cell(demo_ground: Ground, tmp_path: Path) -> None:
    """Batches of 8: four speakers twice, each clip clean and augmented."""
    facts = cell.run(spec(demo_ground, CONFIGS["cl"]), workspace(demo_ground, tmp_path)).facts
    told_of_pairs = {name: facts[f"stage/{name}"] for name in ("embeddings", "positives_min", "negatives_min")}
    assert told_of_pairs == {"embeddings": 16, "positives_min": 3, "negatives_min": 12}
    assert facts["stage/speakers"] == 24  # eight of ten in each of three languages
    shutil.rmtree(tmp_path / "stages")


@pytest.mark.slow
def test_the_training_begins_with_the_weights_of_the_stage(demo_ground: Ground, tmp_path: Path) -> None:
    """Where no layer trains the encoder still has them at the end."""
    config = ClConfig(clips_per_speaker=2, trainable_layers=0)
    asked, place = spec(demo_ground, config), workspace(demo_ground, tmp_path)
    cell.run(asked, place)
    state = torch.load(tmp_path / "checkpoints" / asked.key() / "last.pt", weights_only=True)["method"]
    stored = stages.read(tmp_path, key(asked, place))
    assert stored is not None
    untouched = place.backbone.state_dict()
    for name, value in stored.weights.items():
        assert torch.equal(state[f"online.{name}"], value)
    assert any(
        not torch.equal(value, untouched[name.removeprefix("whisper.")]) for name, value in stored.weights.items()
    )
