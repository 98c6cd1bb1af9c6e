"""Whole cells on a HuBERT, small and random: the methods that do not change log-mels train through any encoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator.ground import Ground
from tests.test_stage_cells import TRAINING, after, key, told
from tests.test_waveform_encoders import written
from trainers import cell, stages
from trainers.cell import Stopped, Workspace
from trainers.encoders import fingerprint
from trainers.errors import UserError
from trainers.methods.configs import (
    AdaptationConfig,
    BaselineConfig,
    ByolConfig,
    ClConfig,
    MethodConfig,
    SupConConfig,
    hears_target,
    method_of,
)
from trainers.spec import CellSpec, code_version
from trainers.splits import Splits

CONFIGS: dict[str, MethodConfig] = {
    "baseline": BaselineConfig(),
    "baseline, few layers": BaselineConfig(trainable_layers=1, pooling="sounding"),
    "cl": ClConfig(clips_per_speaker=2),
    "adaptation": AdaptationConfig(clips_per_speaker=2),
    "supcon": SupConConfig(pooling="attention", adapt_projection=8),
    "supcon, head alone": SupConConfig(pooling="attention", trainable_layers=0),
}


@pytest.fixture(scope="module", params=["hubert", "wavlm"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("encoder"), request.param)


def spec(ground: Ground, encoder: Path, config: MethodConfig) -> CellSpec:
    target = "demo-arda" if hears_target(config) else None
    split = Splits(ground.protocol, ground.prepared).of(target, 0, config)
    front_end = replace(ground.protocol.front_end, length_s=0.2)
    method = method_of(config)
    where = ("demo", "speaker", target, 0, 0, fingerprint(encoder), split.fingerprint(ground.prepared))
    return CellSpec(method, config, TRAINING, front_end, *where, code_version(method))


def workspace(ground: Ground, encoder: Path, store: Path) -> Workspace:
    return Workspace(ground.prepared, encoder, store, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_a_cell_trains_through_waveforms_and_comes_out_the_same_when_it_is_interrupted(
    demo_ground: Ground, encoder: Path, tmp_path: Path, config: str
) -> None:
    asked = spec(demo_ground, encoder, CONFIGS[config])
    at_once = cell.run(asked, workspace(demo_ground, encoder, tmp_path / "at once"))
    assert set(at_once.test) >= {"demo-arda", "demo-home"}
    assert all(torch.isfinite(torch.tensor(row["loss/total"])) for row in at_once.history)
    place = workspace(demo_ground, encoder, tmp_path / "interrupted")
    with pytest.raises(Stopped):
        cell.run(asked, place, stopped=after(2))
    assert told(cell.run(asked, place)) == told(at_once)


@pytest.mark.slow
def test_only_the_transformer_is_adapted(demo_ground: Ground, encoder: Path, tmp_path: Path) -> None:
    asked, place = spec(demo_ground, encoder, CONFIGS["cl"]), workspace(demo_ground, encoder, tmp_path)
    cell.run_stage(asked, place)
    stored = stages.read(tmp_path, key(asked, place))
    assert stored is not None
    before = {f"backbone.{name}": value for name, value in place.backbone.state_dict().items()}
    assert stored.weights.keys() == before.keys()
    for name, value in stored.weights.items():
        frozen = "feature_extractor" in name or "feature_projection" in name
        assert torch.equal(value, before[name]) == frozen, name


@pytest.mark.slow
def test_byol_which_changes_log_mels_says_in_one_line_that_it_needs_a_whisper(
    demo_ground: Ground, encoder: Path, tmp_path: Path
) -> None:
    asked = spec(demo_ground, encoder, ByolConfig(tau_horizon="paper"))
    with pytest.raises(UserError, match="byol changes log-mels, so its encoder must be a Whisper"):
        cell.run(asked, workspace(demo_ground, encoder, tmp_path))
