"""A cell, on the built-in demo: the same spec gives the same bits, interrupted or not, and test labels stay shut."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.ground import Ground
from tests import test_stage_cells
from trainers import alone, cell
from trainers.cell import Stopped, Workspace
from trainers.corpora.prepared import Prepared
from trainers.embeddings import unpack
from trainers.errors import UserError
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, FloorConfig, MethodConfig
from trainers.result import Result
from trainers.spec import CellSpec, Training, code_version
from trainers.split import Split
from trainers.splits import Splits

TARGET, FOLD = "demo-arda", 2
BYOL = ByolConfig(projector_hidden=16, projection=8, views=1, passive_taus=(0.9,), tau_horizon="paper", tau=0.9)
TRAINING = Training(steps=6, epoch_steps=2, batch_size=4, encoder_lr=3e-3, head_lr=1e-2, warmup_steps=1)
CONFIGS: dict[str, MethodConfig] = {"byol": BYOL, "baseline": BaselineConfig()}


def spec(ground: Ground, method: str = "byol", **changes: Any) -> CellSpec:
    """A cell of six steps on the demo."""
    target = TARGET if method == "byol" else None
    split = Splits(ground.protocol, ground.prepared).of(target, FOLD, CONFIGS.get(method, FloorConfig()))
    made = CellSpec(
        method,
        CONFIGS.get(method, FloorConfig()),
        TRAINING,
        replace(ground.protocol.front_end, length_s=0.5),
        "demo",
        "speaker",
        target,
        FOLD,
        0,
        ground.encoder_fingerprint,
        split.fingerprint(ground.prepared),
        code_version(method),
    )
    return replace(made, **changes)


def workspace(ground: Ground, store: Path, prepared: Prepared | None = None) -> Workspace:
    return Workspace(prepared or ground.prepared, ground.encoder_folder, store, torch.device("cpu"))


def told(result: Result) -> str:
    """All of a result but the time it took; floats as JSON has them, that is exactly."""
    return json.dumps({**result.as_dict(), "seconds": None}, sort_keys=True)


def after(questions: int) -> Callable[[], bool]:
    """Says stop at the n-th question."""
    left = iter(range(questions - 1))
    return lambda: next(left, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "baseline", "own_statistics", "nuisance_only"])
def test_the_same_spec_gives_the_same_result_to_the_bit(demo_ground: Ground, tmp_path: Path, method: str) -> None:
    warm = workspace(demo_ground, tmp_path)
    first = cell.run(spec(demo_ground, method), warm)
    cell.run(spec(demo_ground, method, seed=1), warm)  # what a process did before must not matter
    torch.rand(3)
    assert told(cell.run(spec(demo_ground, method), warm)) == told(first)
    assert told(cell.run(spec(demo_ground, method), workspace(demo_ground, tmp_path))) == told(first)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "baseline"])
@pytest.mark.parametrize("questions", [3, 4])  # within an epoch, and at its end
def test_a_stopped_cell_goes_on_from_its_checkpoint_to_the_same_result(
    demo_ground: Ground, tmp_path: Path, method: str, questions: int
) -> None:
    asked, steps = spec(demo_ground, method), []
    at_once = cell.run(asked, workspace(demo_ground, tmp_path / "whole"))
    with pytest.raises(Stopped):
        cell.run(asked, workspace(demo_ground, tmp_path), stopped=after(questions))
    folder = tmp_path / "checkpoints" / asked.key()
    assert [file.name for file in folder.iterdir()] == ["last.pt"]
    resumed = cell.run(
        asked, workspace(demo_ground, tmp_path), progress=lambda step, _, phase: steps.append((phase, step))
    )
    assert steps == [*(("training", step) for step in range(questions + 1, 7)), ("scoring", 6)]
    assert told(resumed) == told(at_once)
    assert folder.exists()  # until the result is kept
    cell.forget_checkpoint(asked, workspace(demo_ground, tmp_path))
    assert not folder.exists()


@pytest.mark.slow
def test_a_result_comes_back_from_json_equal(demo_ground: Ground, tmp_path: Path) -> None:
    result = cell.run(spec(demo_ground), workspace(demo_ground, tmp_path))
    again = Result.from_dict(json.loads(json.dumps(result.as_dict())))
    assert asdict(again) == asdict(result)
    assert again == result
    assert again.spec.key() == result.spec.key()


@pytest.mark.slow
def test_a_result_holds_all_that_was_promised(demo_ground: Ground, tmp_path: Path) -> None:
    result = cell.run(spec(demo_ground), workspace(demo_ground, tmp_path))
    assert set(result.valid) == {"hrl", "other-languages"}
    assert set(result.test) == {TARGET, "demo-home"}
    assert set(result.secondary) == {"online", "early_stopped", "passive tau=0.9"}
    assert all(set(parts) == {"valid/hrl", f"test/{TARGET}"} for parts in result.secondary.values())
    validations = [row for row in result.history if "valid_uar" in row]
    assert [row["step"] for row in validations] == [2, 4, 6]
    assert validations[-1]["valid_uar"] == result.valid["hrl"].uar
    best = max(validations, key=lambda row: row["valid_uar"])  # the first of equals
    assert result.facts["best_step"] == best["step"]
    assert result.secondary["early_stopped"]["valid/hrl"].uar == best["valid_uar"]
    split = Splits(demo_ground.protocol, demo_ground.prepared).of(TARGET, FOLD, BYOL)
    assert [row["id"] for row in result.predictions] == [clip for ids in split.test.values() for clip in ids]
    for language, score in result.test.items():
        rows = [row for row in result.predictions if row["part"] == f"test/{language}"]
        assert score.n == len(rows)
        kept = unpack(result.embeddings[f"test/{language}"])
        assert kept.shape == (len(rows), 32)
        assert len(np.unique(kept, axis=0)) == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "baseline"])
def test_a_rehearsal_tells_what_a_step_takes_and_how_much_it_scored_and_leaves_nothing(
    demo_ground: Ground, tmp_path: Path, method: str
) -> None:
    asked, place = spec(demo_ground, method), workspace(demo_ground, tmp_path)
    heard = cell.rehearse(asked, place)
    assert heard.versions["device"] == "cpu"
    assert heard.versions.keys().isdisjoint({"gpus", "gpu_memory_bytes", "gpu_bytes"})  # only a GPU tells these
    split = place.split(asked)
    every = [ids for parts in (split.valid, split.test, split.whole) for ids in parts.values()]
    scored = [score.n for scores in (heard.valid, heard.test, heard.whole) for score in scores.values()]
    assert sum(scored) < sum(map(len, every))
    assert heard.facts["scored_share"] == sum(scored) / sum(map(len, every))
    assert 0 < heard.seconds["step"] < heard.seconds["training"]
    assert not list(tmp_path.iterdir())


# --- test speech stays shut


def relabelled(prepared: Prepared, split: Split) -> Prepared:
    """The same speech with the labels of all test clips dealt anew."""
    tested = sorted({clip for ids in split.test.values() for clip in ids})
    emotions = [prepared.utterances[prepared.index[clip]].emotion for clip in tested]
    random.Random(0).shuffle(emotions)
    new = dict(zip(tested, emotions, strict=True))
    other = copy(prepared)
    other.utterances = tuple(replace(clip, emotion=new.get(clip.id, clip.emotion)) for clip in prepared.utterances)
    return other


def checkpoint(asked: CellSpec, place: Workspace) -> dict[str, Any]:
    with pytest.raises(Stopped):
        cell.run(asked, place, stopped=after(5))
    state: dict[str, Any] = torch.load(place.store / "checkpoints" / asked.key() / "last.pt", weights_only=True)
    return state


@pytest.mark.slow
@pytest.mark.parametrize("method", ["byol", "baseline"])
def test_other_test_labels_change_the_test_scores_and_nothing_else(
    demo_ground: Ground, tmp_path: Path, method: str
) -> None:
    asked = spec(demo_ground, method)
    split = Splits(demo_ground.protocol, demo_ground.prepared).of(asked.target, FOLD, asked.config)
    shuffled = relabelled(demo_ground.prepared, split)
    blind = replace(asked, data_fingerprint=split.fingerprint(shuffled))
    assert blind.key() != asked.key()
    states = [
        checkpoint(asked, workspace(demo_ground, tmp_path)),
        checkpoint(blind, workspace(demo_ground, tmp_path, shuffled)),
    ]
    require_equal(*states)
    one = cell.run(asked, workspace(demo_ground, tmp_path))
    other = cell.run(blind, workspace(demo_ground, tmp_path, shuffled))
    assert (other.history, other.facts, other.valid) == (one.history, one.facts, one.valid)
    for name, parts in one.secondary.items():
        assert other.secondary[name]["valid/hrl"] == parts["valid/hrl"]
    assert [row["predicted"] for row in other.predictions] == [row["predicted"] for row in one.predictions]
    assert {name: score.confusion for name, score in other.test.items()} != {
        name: score.confusion for name, score in one.test.items()
    }


def require_equal(one: Any, other: Any) -> None:
    """Two checkpoints, tensor by tensor: weights, optimiser, history, best weights and their step."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            require_equal(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            require_equal(mine, theirs)
    else:
        assert one == other


@pytest.mark.slow
def test_byol_with_lambda_zero_hears_no_target_and_is_tested_on_every_language(
    demo_ground: Ground, tmp_path: Path
) -> None:
    supervised = replace(BYOL, lambda_start=0.0, lambda_end=0.0)
    split = Splits(demo_ground.protocol, demo_ground.prepared).of(None, FOLD, supervised)
    asked = spec(demo_ground, config=supervised, target=None, data_fingerprint=split.fingerprint(demo_ground.prepared))
    found = cell.run(asked, workspace(demo_ground, tmp_path))
    assert set(found.test) == {"demo-arda", "demo-bela", "demo-cyra", "demo-home"}
    assert {"loss/total", "loss/cross_entropy"} == {name for name in found.history[0] if name.startswith("loss")}
    assert found.facts["passes_over_unlabelled"] == 0
    with pytest.raises(UserError, match="method byol with lambda = 0 hears no target language; target must be null"):
        cell.run(replace(asked, target=TARGET), workspace(demo_ground, tmp_path))


# --- what is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data_fingerprint": "d" * 64}, "the speech here is not that of cell"),
        ({"encoder_fingerprint": "e" * 64}, "the encoder here is not that of cell"),
        ({"code_version": 99}, "the cell is of training code 99; this is "),
        ({"fold": 500}, "unknown fold '500'; there are: 0, 1, 2, 3, 4"),
        ({"target": "klingon"}, "unknown language 'klingon'; there are: demo-arda, demo-bela, demo-cyra"),
        ({"target": None}, "method byol hears a target language; name one as target"),
        ({"protocol": "gong"}, "unknown protocol 'gong'; there are: demo, demo_corpora, demo_sources, "),
        ({"folds_by": "random"}, "folds_by is 'random'; that is for protocols within a corpus"),
    ],
)
def test_a_cell_of_other_speech_another_encoder_or_no_place_is_refused(
    demo_ground: Ground, tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError) as refused:
        cell.run(spec(demo_ground, **changes), workspace(demo_ground, tmp_path))
    assert str(refused.value).startswith(line)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["baseline", "frozen_probe"])
def test_a_method_without_a_target_refuses_one(demo_ground: Ground, tmp_path: Path, method: str) -> None:
    with pytest.raises(UserError, match=f"method {method} hears no target language; target must be null, not 'demo-"):
        cell.run(spec(demo_ground, method, target=TARGET), workspace(demo_ground, tmp_path))


# --- the command

ALONE = """
import runpy, sys
sys.argv = ["trainers.cell", *sys.argv[1:]]
try:
    runpy.run_module("trainers.cell", run_name="__main__", alter_sys=True)
finally:
    print("loaded:", *sorted({"ray", "mlflow"} & set(sys.modules)), file=sys.stderr)
"""


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """`python -m trainers.cell`, which says at its end whether Ray or MLflow came in."""
    return subprocess.run(
        [sys.executable, "-c", ALONE, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[1],
        timeout=300,
    )


def hand_written(asked: CellSpec, file: Path, **changes: Any) -> str:
    """A spec as a person writes it, without fingerprints."""
    values = {name: value for name, value in asked.as_dict().items() if not name.endswith("fingerprint")}
    file.write_text(json.dumps({**values, **changes}))
    return str(file)


@pytest.mark.slow
def test_the_command_trains_one_cell_to_the_same_bits_with_neither_ray_nor_mlflow(
    demo_ground: Ground, demo_store: Path, tmp_path: Path
) -> None:
    asked = spec(demo_ground)
    where = ["--data", str(demo_store / "demo" / "data"), "--encoder", str(demo_ground.encoder_folder)]
    done = command(hand_written(asked, tmp_path / "spec.json"), *where, "--store", str(demo_store))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].strip() == "loaded:"
    result = Result.from_dict(json.loads(done.stdout))
    assert result.spec == asked
    assert told(result) == told(cell.run(asked, workspace(demo_ground, tmp_path)))


@pytest.mark.slow
def test_the_command_answers_a_broken_spec_with_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"method": ')
    done = command(str(tmp_path / "spec.json"), "--data", str(tmp_path), "--encoder", str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    error, loaded = done.stderr.splitlines()
    assert error.startswith(f"error: {tmp_path / 'spec.json'} cannot be read as JSON: Expecting value: line 1 column ")
    assert loaded.strip() == "loaded:"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": "supcno"}, "unknown method 'supcno'; there are: adaptation, baseline, byol, "),
        ({"training": {"steps": True}}, "steps is True; it must be a whole number"),
        ({"fold": "0"}, "fold is '0'; it must be a whole number"),
        ({"fold": 500}, "unknown fold '500'; there are: 0, 1, 2, 3, 4"),
        ({"target": None}, "method byol hears a target language; name one as target"),
        ({"target": "urdu"}, "unknown language 'urdu'; there are: demo-arda, "),
        ({"protocol": "gong2025"}, "corpus msp_podcast is not here; its folder is expected at "),
        ({"protocol": "open"}, "corpus ravdess is not here; its folder is expected at "),
        ({"code_version": 99}, "the cell is of training code 99; this is "),
    ],
)
def test_the_command_tells_what_is_wrong_with_a_spec_in_one_line(
    demo_ground: Ground,
    demo_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    line: str,
) -> None:
    file = hand_written(spec(demo_ground), tmp_path / "spec.json", **changes)
    where = ["--data", str(demo_store / "demo" / "data"), "--encoder", str(demo_ground.encoder_folder)]
    assert alone.main([file, *where, "--store", str(demo_store)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {line}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("text", ["[1, 2]", "3", "null"])
def test_json_that_is_no_spec_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "spec.json").write_text(text)
    assert alone.main([str(tmp_path / "spec.json"), "--data", str(tmp_path), "--encoder", str(tmp_path)]) == 2
    assert f"holds {json.loads(text)!r}; it must hold an object of CellSpec's fields" in capsys.readouterr().err


@pytest.mark.slow
def test_a_profile_tells_the_parts_of_the_stage_and_of_the_training_and_keeps_nothing(
    demo_ground: Ground, demo_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = hand_written(test_stage_cells.spec(demo_ground, ClConfig(clips_per_speaker=2)), tmp_path / "spec.json")
    where = ["--data", str(demo_store / "demo" / "data"), "--encoder", str(demo_ground.encoder_folder)]
    before = {path for path in demo_store.rglob("*") if path.is_file()}
    assert alone.main([file, *where, "--store", str(demo_store), "--profile", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("encoder, forward") == 2
    assert "the stage it begins with:\n2 steps" in said
    assert {path for path in demo_store.rglob("*") if path.is_file()} == before
    assert alone.main([file, *where, "--store", str(demo_store), "--profile", "0"]) == 2
    assert "profile is 0; it must be at least 1 step" in capsys.readouterr().err


def test_a_spec_that_is_not_there_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert alone.main([str(tmp_path / "none.json"), "--data", str(tmp_path), "--encoder", str(tmp_path)]) == 2
    assert "No such file or directory" in capsys.readouterr().err
