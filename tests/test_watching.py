"""Looks at real trainings: what they tell, that they change nothing, what they cost, and faults planted in them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor
from torch.nn import functional

from orchestrator.ground import Ground
from tests import small_world, staged_world, test_stage_cells
from tests.small_world import Tones
from trainers.building import Trained
from trainers.cell import run as run_cell
from trainers.geometry import figures, rankme, spread
from trainers.health import CollapsedError, is_look, left
from trainers.loop import Run, Stopped, train
from trainers.methods.byol import Byol
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, MethodConfig, SupConConfig
from trainers.spec import CellSpec, Training
from trainers.watching import FEWEST_CLIPS, MOST_CLIPS, SHARE, Watch, fixed, frequency, watch_cell, watch_stage

BYOL = ByolConfig(projector_hidden=32, projection=8, tau_horizon="paper", tau=0.9)
BASELINE = BaselineConfig(strength=0.0)


def watched(cell: CellSpec, method: Trained) -> Watch:
    return watch_cell(method, method.speech, small_world.split(Tones()), cell.training)


def run(config: MethodConfig, **training: object) -> tuple[Trained, Run, Watch]:
    cell = small_world.spec(config, **training)
    method = small_world.method(cell)
    watch = watched(cell, method)
    return method, train(method, cell.training, 0, validate=lambda: 0.5, look=watch.look), watch


FIGURES = ("embedding/", "projection/", "train_uar", "knn_uar")


@pytest.mark.parametrize("config", [BYOL, replace(BYOL, bn_per_source=True), BASELINE], ids=["byol", "bn", "baseline"])
def test_a_watched_training_has_every_bit_of_one_that_is_not(config: MethodConfig) -> None:
    cell = small_world.spec(config)
    alone = small_world.method(cell)
    unwatched = train(alone, cell.training, 0, validate=lambda: 0.5)
    method, found, _ = run(config)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, method.state_dict()[name]), name
    plain = [{name: value for name, value in row.items() if not name.startswith(FIGURES)} for row in found.history]
    assert plain == unwatched.history
    assert sum(is_look(row) for row in found.history) == 1


@pytest.mark.parametrize("config", [ClConfig(clips_per_speaker=2), SupConConfig()], ids=["cl", "supcon"])
def test_a_watched_stage_has_every_bit_of_one_that_is_not(config: MethodConfig) -> None:
    training, ends = staged_world.spec(config).training, []
    for look in (True, False):
        method = staged_world.stage(config)
        watch = watch_stage(method, method.speech, staged_world.split(Tones(), config), training)
        found = train(method, training, 0, validate=None, **({"look": watch.look} if look else {}))
        ends.append((method.state_dict(), found))
    for name, tensor in ends[0][0].items():
        assert torch.equal(tensor, ends[1][0][name]), name
    facts = watch.facts(ends[0][1].start, ends[0][1].history)
    assert {"embedding/std/away", "start/embedding/std/away", "embedding/rankme/away"} <= set(facts)
    assert not [name for name in facts if name.endswith("_uar")]  # a stage tells of no emotion


def test_figures_of_a_look_are_those_of_the_clips_that_it_was_given() -> None:
    method, found, watch = run(BASELINE, steps=8)
    method.eval()
    with torch.no_grad():
        embedded = method.online(method.speech.mels(watch.clips["home"]))
        predicted = method.head(embedded).argmax(1)
    last = found.history[-1]
    assert (last["embedding/std/home"], last["embedding/rankme/home"]) == (spread(embedded), rankme(embedded))
    labels = method.speech.labels(watch.clips["home"])
    assert last["train_uar"] == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_what_is_looked_at_is_training_speech_chosen_by_its_names() -> None:
    split, cell = small_world.split(Tones()), small_world.spec(BYOL)
    watches = [watched(replace(cell, seed=seed), small_world.method(replace(cell, seed=seed))) for seed in (0, 1)]
    for watch in watches:
        clips = watch.speech.prepared.utterances
        ids = {corpus: {clips[number].id for number in numbers.tolist()} for corpus, numbers in watch.clips.items()}
        assert ids == {"home": set(split.labelled), "away": set(split.unlabelled["away"])}
        assert {clips[number].id for number in watch.valid.tolist()} == set(split.valid["hrl"])
        assert torch.equal(torch.cat(list(watch.clips.values())), torch.cat(list(watches[0].clips.values())))


def test_a_look_at_few_clips_takes_the_same_ones_whatever_their_order() -> None:
    speech = staged_world.speech()
    few = fixed(speech, torch.arange(64), 10)
    assert len(few) == 10
    assert torch.equal(few, fixed(speech, torch.arange(64).flip(0), 10))
    assert set(few.tolist()) < set(fixed(speech, torch.arange(64), 20).tolist())


def test_a_training_interrupted_between_looks_ends_with_the_same_figures(tmp_path: Path) -> None:
    cell = small_world.spec(BYOL, steps=12, epoch_steps=2)
    _, at_once, watch = run(BYOL, steps=12, epoch_steps=2)
    for steps in (5, 3, 100):
        method, left_ = small_world.method(cell), iter(range(steps - 1))
        try:
            found = train(
                method,
                cell.training,
                0,
                validate=lambda: 0.5,
                checkpoint=tmp_path / "c.pt",
                stopped=lambda left_=left_: next(left_, None) is None,
                look=watched(cell, method).look,
            )
        except Stopped:
            continue
    assert (found.start, found.history) == (at_once.start, at_once.history)
    assert watch.facts(found.start, found.history)["knn_uar"] == found.history[-1]["knn_uar"]


def test_weights_that_are_no_numbers_are_told_at_a_look() -> None:
    cell = small_world.spec(BASELINE)
    method = small_world.method(cell)
    next(method.online.whisper.layers[1].fc2.parameters()).data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="embeddings are no numbers after step 12"):
        watched(cell, method).look(12)


@pytest.mark.parametrize("corpora", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [4, 8, 64])
@pytest.mark.parametrize(("steps", "epoch_steps"), [(6, 2), (60, 30), (100, 100), (1000, 100), (5000, 100), (5000, 1)])
def test_looks_stay_within_their_share_of_a_training(
    steps: int, epoch_steps: int, batch_size: int, corpora: int
) -> None:
    clips, every = frequency(Training(steps=steps, epoch_steps=epoch_steps, batch_size=batch_size), corpora)
    assert FEWEST_CLIPS <= clips <= MOST_CLIPS
    assert every % epoch_steps == 0
    looks = len({0, steps, *range(0, steps + 1, every)})
    heard = clips * (looks * corpora + 1)  # and validation clips at the end
    fewest = FEWEST_CLIPS * (2 * corpora + 1)
    assert heard <= max(SHARE * 3 * batch_size * steps, fewest)


def test_a_published_training_is_looked_at_with_256_clips_at_every_validation() -> None:
    assert frequency(Training(steps=5000, epoch_steps=100, batch_size=64), 2) == (256, 100)
    assert frequency(Training(steps=1000, epoch_steps=100, batch_size=64), 2) == (256, 100)


# --- planted collapses, in real trainings


def without_predictor_and_stop_gradient(method: Byol) -> Byol:
    """The two views drawn together and nothing else: what BYOL's asymmetry is there to prevent."""

    def loss(online: Tensor, _pair: list[Tensor]) -> Tensor:
        one, other = (functional.normalize(method.projector(part), dim=1) for part in online.chunk(2))
        return 2 * (2 - 2 * (one * other).sum(1)).mean()

    method._byol = loss
    return method


def byol_run(*, planted: bool, weight: float) -> tuple[Run, dict[str, float]]:
    config = ByolConfig(
        projector_hidden=32,
        projection=8,
        tau_horizon="paper",
        tau=0.0,
        tau_schedule="constant",
        lambda_start=weight,
        lambda_end=weight,
        passive_taus=(),
    )
    cell = small_world.spec(config, steps=120, epoch_steps=20, encoder_lr=3e-3, head_lr=1e-2)
    method = small_world.method(cell)
    assert isinstance(method, Byol)
    if planted:
        without_predictor_and_stop_gradient(method)
    watch = watched(cell, method)
    watch.every = 20
    found = train(method, cell.training, 0, validate=lambda: 0.5, look=watch.look)
    return found, watch.facts(found.start, found.history)


@pytest.mark.slow
def test_byol_without_predictor_and_stop_gradient_is_stopped_and_as_published_it_is_not() -> None:
    with pytest.raises(CollapsedError, match="projections alike at steps 40 and 60"):
        byol_run(planted=True, weight=1.0)
    healthy, _ = byol_run(planted=False, weight=1.0)
    assert healthy.step == 120


@pytest.mark.slow
def test_projections_that_collapsed_beside_a_classifier_that_learns_do_not_end_the_training() -> None:
    found, facts = byol_run(planted=True, weight=0.8)
    assert found.step == 120
    assert max(left("projection/std", found.start, facts).values()) < 0.1
    assert min(left("embedding/std", found.start, facts).values()) > 1
    assert facts["train_uar"] > 0.3


def test_a_look_at_projections_leaves_the_running_statistics_alone() -> None:
    cell = small_world.spec(BYOL)
    method = small_world.method(cell)
    assert isinstance(method, Byol)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    embedded = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))
    first = method.eval().projected(embedded)
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())
    linear, norm, _, last = method.target_projector
    hidden = linear(embedded)
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + norm.eps).sqrt()
    assert torch.allclose(first, last(hidden.relu()), atol=1e-6)
    assert figures("projection", {"away": first}) == {
        "projection/std/away": spread(first),
        "projection/rankme/away": rankme(first),
    }


@pytest.mark.slow
def test_embeddings_that_become_one_point_end_the_training() -> None:
    cell = small_world.spec(BASELINE, steps=60, epoch_steps=10)
    method = small_world.method(cell)
    norm, after_step = method.online.whisper.layer_norm, method.after_step

    def shrinking(step: int) -> dict[str, float]:
        norm.weight.data *= 0.3
        return after_step(step)

    method.after_step = shrinking
    watch = watched(cell, method)
    watch.every = 10
    with pytest.raises(CollapsedError, match=r"embeddings alike at steps 10 and 20, .* UAR of training clips 0.25"):
        train(method, cell.training, 0, validate=lambda: 0.5, look=watch.look)


@pytest.mark.slow
def test_a_training_that_loses_its_spread_but_not_its_classifier_is_not_stopped() -> None:
    cell = small_world.spec(replace(BASELINE, dropout=0.0), steps=60, epoch_steps=10, encoder_lr=1e-3, batch_size=64)
    method = small_world.method(cell)
    norm, after_step = method.online.whisper.layer_norm, method.after_step

    def drifting_for_a_while(step: int) -> dict[str, float]:
        """From step 25 to step 45 all embeddings lie far out on one side, and the classifier makes up for it."""
        offset = torch.full_like(norm.bias.data, {25: 100.0, 45: -100.0}.get(step, 0.0))
        norm.bias.data += offset
        method.head[1].bias.data -= method.head[1].weight.data @ offset
        return after_step(step)

    method.after_step = drifting_for_a_while
    watch = watched(cell, method)
    watch.every = 10
    found = train(method, cell.training, 0, validate=lambda: 0.5, look=watch.look)
    spreads = [max(left("embedding/std", found.start, row).values()) for row in found.history if is_look(row)]
    assert [spread_ < 0.1 for spread_ in spreads] == [False, False, True, True, False, False]
    assert found.history[-1]["train_uar"] > 0.9


@pytest.mark.slow
def test_a_cell_s_result_has_the_figures_of_its_training_and_of_its_stage(demo_ground: Ground, tmp_path: Path) -> None:
    asked = test_stage_cells.spec(demo_ground, ClConfig(clips_per_speaker=2))
    result = run_cell(asked, test_stage_cells.workspace(demo_ground, tmp_path))
    heard = {"embedding/std/demo_home", "embedding/rankme/demo_home", "train_uar"}
    learned = {f"embedding/std/demo_{name}" for name in ("arda", "bela", "cyra")} | {"embedding/between"}
    told = [*heard, "knn_uar", *(f"start/{name}" for name in heard)]
    told += [f"stage/{when}{name}" for name in learned for when in ("", "start/")]
    assert set(told) <= set(result.facts)
    assert not any("projection" in name or name.startswith("stage/train") for name in result.facts)
    assert result.facts["train_uar"] == result.history[-1]["train_uar"]
    assert 0 < result.seconds["watching"] < result.seconds["training"]
    assert result.spec.key() == asked.key()
