"""A configuration trained on all speech: a cell's training, if given a cell's speech; stored, stopped, damaged."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.ground import Ground, Places, find
from trainers import cell, model_files
from trainers.cell import Stopped, Workspace
from trainers.errors import UserError
from trainers.methods.configs import (
    AdaptationConfig,
    BaselineConfig,
    ByolConfig,
    ClConfig,
    MethodConfig,
    PairwiseConfig,
    SupConConfig,
    method_of,
)
from trainers.refit import fit, refit, refit_of
from trainers.spec import CellSpec, Training, code_version
from trainers.splits import EVERY_FOLD, Splits

TRAINING = Training(steps=4, epoch_steps=2, batch_size=8, encoder_lr=3e-3, head_lr=1e-2, warmup_steps=1)
BYOL = ByolConfig(projector_hidden=16, projection=8, views=1, passive_taus=(), tau_horizon="paper", tau=0.9)
CONFIGS: dict[str, MethodConfig] = {
    "baseline": BaselineConfig(),
    "byol": BYOL,
    "cl": ClConfig(clips_per_speaker=2, adapt_on="target", pooling="attention"),
    "supcon": SupConConfig(adapt_projection=8, trainable_layers=0),
}


def workspace(ground: Ground, store: Path) -> Workspace:
    return Workspace(ground.prepared, ground.encoder_folder, store, torch.device("cpu"))


def spec(ground: Ground, config: MethodConfig, fold: int = 1) -> CellSpec:
    """A cell of four steps on the demo."""
    target = "demo-arda" if config in (CONFIGS["byol"], CONFIGS["cl"]) else None
    split = Splits(ground.protocol, ground.prepared).of(target, fold, config)
    where = ("demo", "speaker", target, fold, 0, ground.encoder_fingerprint, split.fingerprint(ground.prepared))
    method = method_of(config)
    front_end = replace(ground.protocol.front_end, length_s=0.5)
    return CellSpec(method, config, TRAINING, front_end, *where, code_version(method))


def after(questions: int) -> Callable[[], bool]:
    left = iter(range(questions - 1))
    return lambda: next(left, None) is None


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_with_a_folds_own_speech_it_comes_to_the_cells_weights(demo_ground: Ground, tmp_path: Path, name: str) -> None:
    asked = spec(demo_ground, CONFIGS[name])
    cell.run(asked, workspace(demo_ground, tmp_path / "cell"))
    checkpoint = torch.load(tmp_path / "cell" / "checkpoints" / asked.key() / "last.pt", weights_only=True)
    method, _ = fit(asked, workspace(demo_ground, tmp_path / "refit"))
    found = method.state_dict()
    assert found.keys() == checkpoint["method"].keys()
    assert all(torch.equal(value, found[part]) for part, value in checkpoint["method"].items())


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_two_refits_have_equal_weights_and_one_that_was_stopped_too(
    demo_ground: Ground, tmp_path: Path, name: str
) -> None:
    places = [workspace(demo_ground, tmp_path / str(number)) for number in range(2)]
    asked = refit_of(spec(demo_ground, CONFIGS[name]), places[0])
    at_once = refit(asked, places[0])
    with pytest.raises(Stopped):
        refit(asked, places[1], stopped=after(3))
    assert (tmp_path / "1" / "checkpoints").is_dir()
    resumed = refit(asked, places[1])
    assert weights(resumed) == weights(at_once)
    assert [*(tmp_path / "1" / "checkpoints").iterdir()] == []


@pytest.mark.slow
def test_it_hears_every_clip_and_says_how_many(demo_ground: Ground, tmp_path: Path) -> None:
    place = workspace(demo_ground, tmp_path)
    asked = refit_of(spec(demo_ground, BYOL), place)
    folder = refit(asked, place)
    told = json.loads((folder / "model.json").read_text())
    counts = {
        name: sum(clip.corpus == name for clip in demo_ground.prepared.utterances)
        for name in ("demo_home", "demo_arda")
    }
    assert told["heard"] == {
        "labelled": {"demo_home": counts["demo_home"]},
        "unlabelled": {"demo_arda": counts["demo_arda"]},
        "stage": {},
    }
    assert CellSpec.from_dict(told["spec"]) == asked
    assert folder == tmp_path / "models" / asked.key()
    assert asked.fold == EVERY_FOLD
    assert {name.split(".")[0] for name in load_file(folder / "weights.safetensors")} == {"encoder", "head"}


@pytest.mark.slow
def test_every_fold_of_a_configuration_comes_to_the_same_model_and_it_is_trained_once(
    demo_ground: Ground, tmp_path: Path
) -> None:
    place = workspace(demo_ground, tmp_path)
    specs = {refit_of(spec(demo_ground, BaselineConfig(), fold), place) for fold in range(3)}
    assert len({one.key() for one in specs}) == 1
    asked, steps = specs.pop(), []
    for _ in range(2):
        folder = refit(asked, place, progress=lambda step, _steps, _phase: steps.append(step))
    assert steps == [1, 2, 3, 4]
    kept = weights(folder)
    (folder / "weights.safetensors").write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.warns(UserWarning, match="its weights are not those that were written; it is now .*damaged-1"):
        again = refit(asked, place)
    assert weights(again) == kept


@pytest.mark.slow
def test_a_stage_of_all_speech_is_another_than_a_folds(demo_ground: Ground, tmp_path: Path) -> None:
    place, own = workspace(demo_ground, tmp_path), spec(demo_ground, CONFIGS["cl"])
    fit(own, place)
    refit(refit_of(own, place), place)
    assert len([*tmp_path.glob("stages/*/*/stage.json")]) == 2


@pytest.mark.slow
def test_a_model_of_views_holds_the_encoder_that_they_stand_on(demo_store: Path, tmp_path: Path) -> None:
    ground = find(Places(demo_store, None, None, "demo_within"), lambda _: None)
    config = PairwiseConfig(view_names=("layers", "mel"))
    split = Splits(ground.protocol, ground.prepared).of("demo-home", 0, config)
    where = ("demo_within", "speaker", "demo-home", 0, 0, ground.encoder_fingerprint)
    what = (split.fingerprint(ground.prepared), code_version("pairwise"))
    asked = CellSpec("pairwise", config, TRAINING, ground.protocol.front_end, *where, *what)
    place = workspace(ground, tmp_path)
    folder = refit(refit_of(asked, place), place)
    assert {name.split(".")[0] for name in load_file(folder / "weights.safetensors")} == {"encoder", "head", "backbone"}


def test_what_classifies_nothing_is_refused(demo_ground: Ground, tmp_path: Path) -> None:
    adaptation = spec(demo_ground, AdaptationConfig(clips_per_speaker=2))
    with pytest.raises(UserError, match="adaptation is no method that a model can be made of"):
        refit_of(adaptation, workspace(demo_ground, tmp_path))


def test_a_cell_that_leaves_no_fold_out_is_refused_in_one_line(demo_ground: Ground, tmp_path: Path) -> None:
    place = workspace(demo_ground, tmp_path)
    with pytest.raises(UserError, match="leaves no fold out has nothing to choose by"):
        cell.run(refit_of(spec(demo_ground, BaselineConfig()), place), place)


def test_a_model_that_is_no_model_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no model"):
        model_files.read(tmp_path)
    (tmp_path / "model.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="newer version"):
        model_files.read(tmp_path)
    (tmp_path / "model.json").write_text("[")
    with pytest.raises(UserError, match="damaged"):
        model_files.read(tmp_path)
