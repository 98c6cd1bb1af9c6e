"""Pairwise-CL: what the stage learns and hears, the twin from scratch, and cells of it on the built-in demo."""

import copy
import json
import math
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import search_spaces
from orchestrator.arguments import parse, settings
from orchestrator.ground import Ground, Places, find
from orchestrator.plan import PlannedCell, Request, plan
from search_spaces import Sweep
from tests.small_world import FRONT_END, Tones, whisper
from tests.unheard import ground as unheard_ground
from trainers import cell
from trainers.audio import egemaps
from trainers.audio.draws import generator
from trainers.building import build, build_stage
from trainers.cell import Stopped, Workspace
from trainers.corpora.prepared import Prepared
from trainers.errors import UserError
from trainers.loop import train
from trainers.methods.configs import PairwiseConfig
from trainers.methods.pairwise import (
    ClipBatches,
    PairwiseClassifier,
    ViewContrast,
    alikeness,
    contrast_counts,
    principal,
)
from trainers.methods.view_inputs import Inputs
from trainers.methods.views import Views
from trainers.protocols import PROTOCOLS
from trainers.ranks import average_gradients, together
from trainers.result import Result
from trainers.scores import pwcca
from trainers.spec import CellSpec, Training
from trainers.speech import Speech
from trainers.split import Split
from trainers.splits import Splits

TWO = PairwiseConfig(view_names=("layers", "mel"))
SWEEPS = ("label_fraction", "pairwise_temperature", "pairwise_views", "pairwise_pretrain_data")


def trained(method: ViewContrast | PairwiseClassifier, steps: int, rate: float = 1e-3) -> None:
    train(method, Training(steps=steps, epoch_steps=steps, head_lr=rate, warmup_steps=1), 0, validate=None)


# --- planted views


@dataclass
class Planted:
    """Two views of made-up clips: a mel and 88 statistics, which `shared` lets tell the same four numbers of a clip."""

    shared: bool
    heard: list[int] = field(default_factory=list)

    def of(self, view: str, numbers: Tensor) -> Tensor:
        self.heard += numbers.tolist()
        return torch.stack([self._clip(view, number) for number in numbers.tolist()])

    def _clip(self, view: str, number: int) -> Tensor:
        whose = ("clip", number) if self.shared else ("clip", view, number)
        told = torch.randn(4, generator=generator(0, *whose))
        width = 80 if view == "mel" else 88
        mixed = told @ torch.randn(4, width, generator=generator(0, "mixing", view))
        noise = torch.randn(width, generator=generator(0, "noise", view, number))
        values = mixed + 0.5 * noise
        return values[:, None].expand(width, 16) if view == "mel" else values


def planted(shared: bool, **changes: Any) -> ViewContrast:
    """A stage over 400 made-up clips, told of on 100 others."""
    config = PairwiseConfig(view_names=("mel", "egemaps"), classify="mel", **changes)
    inputs = Planted(shared)
    torch.manual_seed(0)
    views = Views(config.view_names, 0, 0, inputs.of("egemaps", torch.arange(400)))
    return ViewContrast(config, views, inputs, ClipBatches(torch.arange(400), 32, 0), torch.arange(400, 500))


@torch.no_grad()
def unheard_loss(stage: ViewContrast) -> float:
    """The loss of a batch of clips that it did not learn from."""
    other = ViewContrast(stage.config, stage.online, stage.inputs, ClipBatches(stage.valid, 32, 0), stage.valid)
    other.projections = stage.projections
    return float(other.eval().losses(0)["total"])


@pytest.mark.slow
def test_what_two_views_share_is_found_in_clips_that_were_not_heard() -> None:
    stage = planted(shared=True)
    trained(stage, 100)
    facts = stage.facts(100)
    assert unheard_loss(stage) < 0.5 * math.log(32)
    assert facts["pwcca/mel-egemaps"] > facts["pwcca_chance/mel-egemaps"] + 0.3


@pytest.mark.slow
def test_where_views_share_nothing_nothing_is_found() -> None:
    stage = planted(shared=False)
    trained(stage, 100)
    facts = stage.facts(100)
    assert unheard_loss(stage) > math.log(32)  # what guessing costs
    assert facts["pwcca/mel-egemaps"] == pytest.approx(facts["pwcca_chance/mel-egemaps"], abs=0.12)


def test_the_loss_is_the_sum_over_pairs_of_views_of_both_directions() -> None:
    stage = planted(shared=True)
    numbers = stage.batches.draw(3)
    rows = []
    for name in ("mel", "egemaps"):
        encoded = stage.online.networks[name].eval()(stage.inputs.of(name, numbers))
        rows.append(stage.projections[name](encoded).detach().double().numpy())
    a, b = (row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows)
    raised = np.exp(a @ b.T / stage.config.temperature)
    own = np.diag(raised)
    expected = -(np.log(own / raised.sum(1)).mean() + np.log(own / raised.sum(0)).mean()) / 2
    stage.online.eval()
    assert float(stage.losses(3)["total"].detach()) == pytest.approx(expected, rel=1e-4)


def test_chance_and_alikeness_are_told_of_a_fifth_as_many_directions_as_clips() -> None:
    rows = np.random.default_rng(0).standard_normal((60, 128))
    rotated = rows @ np.linalg.qr(np.random.default_rng(1).standard_normal((128, 128)))[0]
    alike, chance = alikeness(rows, rotated, 0)
    assert alike == pytest.approx(1)
    assert 0.3 < chance < 0.7  # of all 128 directions it would be 1
    first = principal(rows, 12)
    assert first.shape == (60, 12)
    centred = rows - rows.mean(0)
    by_eigenvalue = np.linalg.eigh(centred @ centred.T)[1][:, ::-1][:, :12]
    assert pwcca(first, by_eigenvalue) == pytest.approx(1)


def test_alikeness_of_too_few_clips_or_of_a_constant_view_is_not_a_number() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 8))
    for one, other in ((rows[:2], rows[:2]), (rows, np.ones((40, 8)))):
        assert all(math.isnan(value) for value in alikeness(one, other, 0))


# --- batches


def test_a_step_draws_distinct_clips_that_depend_on_seed_and_step_alone() -> None:
    pool = torch.arange(100, 150)
    batches = ClipBatches(pool, 16, 3)
    drawn = [batches.draw(step).tolist() for step in range(20)]
    assert all(len(set(numbers)) == 16 and set(numbers) <= set(pool.tolist()) for numbers in drawn)
    assert ClipBatches(pool, 16, 3).draw(7).tolist() == drawn[7]
    assert ClipBatches(pool, 16, 4).draw(7).tolist() != drawn[7] != drawn[8]
    assert {number for numbers in drawn for number in numbers} == set(pool.tolist())


def test_fewer_clips_than_a_batch_are_drawn_once_each_and_one_alone_is_refused() -> None:
    assert sorted(ClipBatches(torch.arange(5), 16, 0).draw(0).tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="1 clips to pre-train on"):
        ClipBatches(torch.arange(1), 16, 0)


@pytest.mark.parametrize("intra", [False, True])
@pytest.mark.parametrize("numbers", [[4, 7, 1, 9, 2], [4, 7, 4, 9]])
def test_pairs_are_counted_as_by_hand(numbers: list[int], intra: bool) -> None:
    told = contrast_counts(torch.tensor(numbers), 3, intra_view=intra)
    positives, negatives = [], []
    for place, anchor in enumerate(numbers):
        others = list(numbers) + ([n for at, n in enumerate(numbers) if at != place] if intra else [])
        positives.append(sum(other == anchor for other in others))
        negatives.append(sum(other != anchor for other in others))
    assert told["embeddings"] == 3 * len(numbers)
    assert told["view_pairs"] == 3
    assert (told["positives_mean"], told["positives_min"]) == (np.mean(positives), min(positives))
    assert (told["negatives_mean"], told["negatives_min"]) == (np.mean(negatives), min(negatives))


# --- the stage and the twin, in a small world


def split(prepared: Tones) -> Split:
    ids = [clip.id for clip in prepared.utterances]
    heard = tuple(ids[:32])
    return Split(heard, {}, {"target": tuple(ids[32:48])}, {"away": tuple(ids[48:])}, {}, stage={"away": heard})


def spec(config: PairwiseConfig = TWO, **training: Any) -> CellSpec:
    asked = {"steps": 6, "epoch_steps": 3, "batch_size": 8, "head_lr": 3e-3, "warmup_steps": 1, **training}
    return CellSpec("pairwise", config, Training(**asked), FRONT_END, "demo_within", "speaker", "away", 0, 0, "e", "d")


def world() -> tuple[Split, Speech, nn.Module]:
    prepared = Tones()
    return split(prepared), Speech(prepared, FRONT_END, torch.device("cpu")), whisper()


def stage_and_twin(config: PairwiseConfig = TWO) -> tuple[ViewContrast, PairwiseClassifier, PairwiseClassifier]:
    """The stage, the cell that follows it and the cell without it, as they are made."""
    around = world()
    stage = build_stage(spec(config), *around)
    cells = [build(spec(replace(config, adapt_share=share)), *around) for share in (1.0, 0.0)]
    assert isinstance(stage, ViewContrast)
    assert all(isinstance(each, PairwiseClassifier) for each in cells)
    return stage, *cells


def test_the_stage_the_cell_after_it_and_the_twin_from_scratch_begin_with_the_same_weights() -> None:
    stage, after, scratch = stage_and_twin()
    wanted = {name: value.clone() for name, value in stage.product().state_dict().items()}
    for made in (after, scratch):
        assert made.online.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in made.online.state_dict().items())
    assert str(after) == str(scratch)
    assert all(torch.equal(one, other) for one, other in zip(after.parameters(), scratch.parameters(), strict=True))


@dataclass
class Recorder:
    """Passes inputs on and notes whose they were."""

    inputs: Inputs
    heard: set[int] = field(default_factory=set)

    def of(self, view: str, numbers: Tensor) -> Tensor:
        self.heard |= set(numbers.tolist())
        return self.inputs.of(view, numbers)


def test_the_stage_learns_from_its_own_clips_alone_and_never_hears_a_test_clip() -> None:
    around = world()
    stage = build_stage(spec(), *around)
    assert isinstance(stage, ViewContrast)
    recorder = Recorder(stage.inputs)
    stage.inputs = recorder
    trained(stage, 40)
    assert recorder.heard == set(range(32))
    stage.facts(40)
    assert recorder.heard == set(range(48))  # validation is looked at afterwards; 48 to 63 are tested


def test_the_encoder_behind_the_layers_never_moves_and_is_not_stored() -> None:
    around = world()
    before = copy.deepcopy(around[2].state_dict())
    stage, cell_ = build_stage(spec(), *around), build(spec(), *around)
    assert isinstance(stage, ViewContrast)
    assert isinstance(cell_, PairwiseClassifier)
    frozen = stage.inputs.encoder
    behind = copy.deepcopy(frozen.state_dict())
    assert cell_.inputs is stage.inputs  # what is computed once serves all cells of a process
    for each in (stage, cell_):
        moved = copy.deepcopy(each.online.state_dict())
        trained(each, 4)
        assert any(not torch.equal(value, moved[name]) for name, value in each.online.state_dict().items())
        assert not [name for name in each.state_dict() if "whisper" in name]
    for known, now in ((before, around[2].state_dict()), (behind, frozen.state_dict())):
        assert all(torch.equal(value, now[name]) for name, value in known.items())


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_view_keeps_its_weights_and_its_output_while_the_head_learns(freeze: bool) -> None:
    method = stage_and_twin(replace(TWO, freeze_encoder=freeze))[2]
    before, head = copy.deepcopy(method.online.state_dict()), copy.deepcopy(method.head.state_dict())
    numbers = method.labelled.draw(0)
    method.train()
    with torch.no_grad():
        alike = torch.equal(method._embedded(numbers), method._embedded(numbers))
    assert alike == freeze  # no dropout in what is frozen
    trained(method, 3)
    moved = {name for name, value in method.online.state_dict().items() if not torch.equal(value, before[name])}
    assert (moved == set()) == freeze
    assert all(name.startswith("networks.layers.") for name in moved)
    assert any(not torch.equal(value, head[name]) for name, value in method.head.state_dict().items())


def test_the_classifier_stands_on_one_view_or_on_all_side_by_side() -> None:
    for classify, names in (("mel", ("mel",)), ("all", ("layers", "mel"))):
        method = stage_and_twin(replace(TWO, classify=classify))[1].eval()
        heard = method.hear(torch.arange(5))
        assert tuple(heard) == names
        encoder, head = method.inference()
        embedded = encoder(heard)
        assert embedded.shape == (5, 128 * len(names))
        for place, name in enumerate(names):
            own = method.online.networks[name](heard[name])
            torch.testing.assert_close(embedded[:, 128 * place : 128 * (place + 1)], own)
        assert head(embedded).shape == (5, 4)


@pytest.mark.parametrize(("share", "clips"), [(1.0, 32), (0.25, 8), (0.01, 4)])
def test_a_fraction_of_the_labels_is_so_many_clips_of_each_emotion(share: float, clips: int) -> None:
    around = world()
    method = build(spec(label_fraction=share), *around)
    assert isinstance(method, PairwiseClassifier)
    assert [len(pool) for pool in method.labelled.pools] == [clips // 4] * 4
    assert method.facts(6) == {"labelled_clips": clips, "passes_over_labelled": 6 * 8 / clips}


def test_tones_are_told_apart_after_a_few_steps() -> None:
    method = stage_and_twin(replace(TWO, classify="mel"))[2]
    trained(method, 60)
    encoder, head = method.eval().inference()
    numbers = torch.arange(48, 64)
    with torch.no_grad():
        found = head(encoder(method.hear(numbers))).argmax(1)
    assert (found == method.speech.labels(numbers)).double().mean() > 0.9


# --- eGeMAPS


@pytest.fixture
def opensmile() -> None:
    pytest.importorskip("opensmile", reason="the extra egemaps is not installed")


@pytest.mark.slow
@pytest.mark.usefixtures("opensmile")
def test_functionals_are_z_scored_by_clips_that_are_trained_on_and_the_stage_hands_its_scores_on() -> None:
    config = PairwiseConfig(view_names=("mel", "egemaps"), classify="egemaps")
    stage, after, scratch = stage_and_twin(config)
    speech = scratch.speech
    clips = [egemaps.functionals(speech.waveforms(torch.tensor([number]))[0]) for number in range(32)]
    mean = np.mean(np.array(clips, dtype=np.float64), axis=0)
    for method in (stage, scratch):
        np.testing.assert_allclose(method.online.networks["egemaps"][0].mean, mean, rtol=1e-4, atol=1e-6)
    assert not after.online.networks["egemaps"][0].scale.any()
    after.online.load_state_dict(stage.product().state_dict())
    torch.testing.assert_close(after.online.networks["egemaps"][0].mean, stage.online.networks["egemaps"][0].mean)


def test_without_opensmile_a_sweep_with_its_view_is_refused_at_planning_and_one_without_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    egemaps._smile.cache_clear()
    where = unheard_ground(replace(PROTOCOLS["demo_within"], settings={}))
    with pytest.raises(UserError) as told:
        plan("?", Sweep("?", PairwiseConfig()), where, Request())
    assert str(told.value).startswith("eGeMAPS features need the package opensmile (")
    assert str(told.value).endswith("'.[egemaps]', or leave this view out: --set view_names=layers,mel")
    assert "\n" not in str(told.value)
    asked = settings(parse(["label_fraction", "--set", "view_names=layers,mel"]))
    cells = plan("?", Sweep("?", PairwiseConfig()), where, Request(settings=asked)).cells
    assert {each.spec.config for each in cells} == {TWO}
    with pytest.raises(UserError, match=r"^eGeMAPS features need"):
        build_stage(spec(PairwiseConfig()), *world())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"view_names": ("layers",)}, "view_names is ('layers',); it must be at least two of layers, mel, egemaps, "),
        ({"view_names": ("layers", "mel", "mel")}, "view_names is ('layers', 'mel', 'mel'); it must be at least two"),
        ({"view_names": ("layers", "mels")}, "view_names is 'mels'; it must be one of layers, mel, egemaps"),
        ({"view_names": ("mel", "egemaps")}, "classify is 'layers'; it must be one of mel, egemaps, all"),
        ({"annotations": "none"}, "annotations is 'none'; it must be one of target, other, both"),
    ],
)
def test_a_bad_setting_is_told_with_its_rule(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as told:
        PairwiseConfig(**changes)
    assert str(told.value).startswith(line)


# --- two ranks


def first_step(intra_view: bool) -> dict[str, Tensor]:
    """Loss, gradients and running statistics of the stage's first step, without dropout: each rank has its own."""
    stage = build_stage(spec(replace(TWO, intra_view=intra_view)), *world())
    assert isinstance(stage, ViewContrast)
    stage.train()
    stage.online.eval()
    loss = stage.losses(0)["total"]
    loss.backward()
    average_gradients(stage.parameters())
    gradients = {name: p.grad for name, p in stage.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients, **dict(stage.named_buffers())}


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    with together():
        found = [first_step(intra_view) for intra_view in (False, True)]
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_have_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    for place, intra_view in enumerate((False, True)):
        one = first_step(intra_view)
        assert sum(float(value.abs().sum()) for value in one.values()) > 1
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt")[place]
            assert found.keys() == one.keys()
            for name, wanted in one.items():
                assert torch.allclose(found[name], wanted, rtol=1e-4, atol=1e-5), name


# --- cells on the demo


@pytest.fixture(scope="module")
def ground(demo_store: Path, demo_ground: Ground) -> Ground:
    return find(Places(demo_ground and demo_store, None, None, "demo_within"), lambda _: None)


def workspace(ground: Ground, store: Path, prepared: Prepared | None = None) -> Workspace:
    return Workspace(prepared or ground.prepared, ground.encoder_folder, store, torch.device("cpu"))


def planned(ground: Ground, name: str, **changes: Any) -> list[PlannedCell]:
    asked = {"steps": 4, "epoch_steps": 2, "batch_size": 8, "length_s": 0.5, **changes}
    request = Request(languages=("demo-arda",), folds=(1,), settings=asked)
    return list(plan(name, search_spaces.load(name), ground, request).cells)


def told(result: Result) -> str:
    return json.dumps({**result.as_dict(), "seconds": None}, sort_keys=True)


def after(questions: int) -> Callable[[], bool]:
    left = iter(range(questions - 1))
    return lambda: next(left, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("questions", [3, 6])  # within the stage, and within the cell's own training
def test_a_stopped_cell_goes_on_to_the_same_result_whoever_computed_its_stage(
    ground: Ground, tmp_path: Path, questions: int
) -> None:
    asked = next(each.spec for each in planned(ground, "label_fraction") if each.stage)
    at_once = cell.run(asked, workspace(ground, tmp_path / "whole"))
    with pytest.raises(Stopped):
        cell.run(asked, workspace(ground, tmp_path), stopped=after(questions))
    assert told(cell.run(asked, workspace(ground, tmp_path))) == told(at_once)
    assert told(cell.run(asked, workspace(ground, tmp_path / "whole"))) == told(at_once)  # from the stored stage


@pytest.mark.slow
def test_a_pre_trained_cell_begins_with_its_stage_and_the_twin_with_none(ground: Ground, tmp_path: Path) -> None:
    cells = {
        (each.spec.config.adapt_share, each.spec.training.label_fraction): each
        for each in planned(ground, "label_fraction")
    }
    place = workspace(ground, tmp_path)
    before, scratch = (cell.run(cells[share, 1.0].spec, place) for share in (1.0, 0.0))
    assert len({cells[1.0, part].stage for part in (0.01, 0.1, 1.0)}) == 1
    assert cells[0.0, 1.0].stage == ""
    assert before.facts["stage/embeddings"] == 2 * 8
    assert before.facts["stage/negatives_mean"] == 7
    assert 0 <= before.facts["stage/pwcca/layers-mel"] <= 1
    assert not any(name.startswith("stage/") for name in scratch.facts)
    losses = [result.history[0]["loss/cross_entropy"] for result in (before, scratch)]
    assert losses[0] != losses[1]
    clips = planned_split(ground, cells[1.0, 1.0].spec)
    assert before.facts["stage/clips"] == len(clips.labelled) == before.facts["labelled_clips"]


def planned_split(ground: Ground, asked: CellSpec) -> Split:
    return Splits(ground.protocol, ground.prepared).of(asked.target, asked.fold, asked.config)


def with_other_annotations(ground: Ground) -> Ground:
    """The demo, where every second take of a sentence is a surprise."""
    other = copy.copy(ground.prepared)
    other.utterances = tuple(
        replace(clip, emotion="surprise") if clip.path.endswith("_2.wav") else clip
        for clip in ground.prepared.utterances
    )
    return replace(ground, prepared=other)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_a_short_cell_of_each_sweep_runs_on_the_demo(ground: Ground, tmp_path: Path, name: str) -> None:
    if name == "pairwise_views":
        pytest.importorskip("opensmile", reason="the extra egemaps is not installed")
    where = with_other_annotations(ground) if name == "pairwise_pretrain_data" else ground
    cells = planned(where, name)
    for each in (cells[0], cells[-1]):
        found = cell.run(each.spec, workspace(where, tmp_path, where.prepared))
        assert found.test["demo-arda"].n > 0
        assert {"loss/total", "loss/cross_entropy"} <= found.history[0].keys()


@pytest.mark.slow
def test_other_annotations_are_heard_by_the_stage_and_never_classified(ground: Ground, tmp_path: Path) -> None:
    where = with_other_annotations(ground)
    heard = {}
    for each in planned(where, "pairwise_pretrain_data"):
        found = cell.run(each.spec, workspace(where, tmp_path, where.prepared))
        heard[each.spec.config.annotations] = found.facts["stage/clips"]
        parts = planned_split(where, each.spec)
        emotions = {where.prepared.utterances[where.prepared.index[name]].emotion for name in parts.labelled}
        assert emotions == {"angry", "happy", "neutral", "sad"}
        assert not set(parts.heard_by_stage) & {name for ids in parts.test.values() for name in ids}
    assert heard["both"] == heard["target"] + heard["other"]
    assert min(heard.values()) > 0
