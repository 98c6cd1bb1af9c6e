"""BYOL's mechanics: what moves, what does not, and what the loss is made of."""

from dataclasses import replace

import pytest
import torch

from tests import small_world
from trainers.errors import UserError
from trainers.loop import train
from trainers.methods.byol import Byol
from trainers.methods.configs import ByolConfig
from trainers.schedules import matched_tau

SMALL = ByolConfig(projector_hidden=32, projection=8, tau_horizon="paper")


def byol(**changes: object) -> Byol:
    made = small_world.method(small_world.spec(replace(SMALL, **changes)))
    assert isinstance(made, Byol)
    return made


def trained(method: Byol, steps: int = 12) -> Byol:
    cell = small_world.spec(method.config, steps=steps)
    train(method, cell.training, 0, validate=lambda: 0.5)
    return method


def test_target_starts_as_a_copy_and_gets_no_gradient() -> None:
    method = byol()
    for own, copied in zip(method.online.parameters(), method.target.parameters(), strict=True):
        assert torch.equal(own, copied)
    method.losses(0)["total"].backward()
    averages = [*method.target.parameters(), *method.target_projector.parameters(), *method.passive.parameters()]
    assert all(p.grad is None for p in averages)
    assert all(p.grad is not None for p in method.predictor.parameters())


def test_frozen_convolutions_and_positions_do_not_move_and_the_rest_does() -> None:
    before = {name: p.clone() for name, p in byol().named_parameters()}
    moved = {name for name, p in trained(byol()).named_parameters() if not torch.equal(p, before[name])}
    still = set(before) - moved
    assert {name.split(".")[2] for name in still if name.startswith(("online", "target."))} == {
        "conv1",
        "conv2",
        "embed_positions",
    }
    assert any(name.startswith("target.whisper.layers") for name in moved)
    assert {name.split(".")[0] for name in moved} == {
        "online",
        "head",
        "projector",
        "predictor",
        "target",
        "target_projector",
        "passive",
    }


def test_target_after_two_steps_is_the_average_by_hand() -> None:
    method = byol(tau=0.9, tau_schedule="constant")
    history = [method.online.whisper.layers[0].fc1.weight.clone()]
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.5)
    for step in range(2):
        optimiser.zero_grad()
        method.losses(step)["total"].backward()
        optimiser.step()
        method.after_step(step)
        history.append(method.online.whisper.layers[0].fc1.weight.clone())
    by_hand = 0.9 * (0.9 * history[0] + 0.1 * history[1]) + 0.1 * history[2]
    assert not torch.allclose(history[0], history[2])
    assert torch.allclose(method.target.whisper.layers[0].fc1.weight, by_hand, atol=1e-6)


def test_passive_average_of_the_same_momentum_equals_the_target() -> None:
    method = trained(byol(tau=0.996))
    passive = method.others()["passive tau=0.996"]
    assert all(torch.equal(a, b) for a, b in zip(passive.parameters(), method.target.parameters(), strict=True))
    other = method.others()["passive tau=0.99"]
    assert not all(torch.equal(a, b) for a, b in zip(other.parameters(), method.target.parameters(), strict=True))


def test_inference_goes_through_the_target_encoder_and_the_head_and_nothing_else() -> None:
    method = trained(byol()).eval()
    mel = method.speech.mels(torch.arange(6))

    def scores() -> torch.Tensor:
        encoder, head = method.inference()
        return head(encoder(mel)).detach().clone()

    before = scores()
    for ignored in (method.online, method.projector, method.predictor, method.target_projector):
        for tensor in (*ignored.parameters(), *ignored.buffers()):
            tensor.data.add_(1)
    assert torch.equal(scores(), before)  # no weight of theirs, and no batch-norm statistic
    for used in (method.target.whisper.layer_norm.weight, method.head[1].weight):
        used.data.add_(0.5)
        assert not torch.equal(scores(), before)


def test_loss_equals_that_of_views_encoded_one_by_one() -> None:
    method = byol(lambda_start=0.3, lambda_end=0.3, dropout=0.0)
    together = method.losses(5)
    labelled, labels = method._labelled_views(5)
    assert method.unlabelled
    first, second = method._unlabelled_views(5, method.unlabelled)
    alone = torch.cat([method.online(mel[None]) for mel in labelled])
    cross_entropy = torch.nn.functional.cross_entropy(method.head(alone), labels)
    cosine = torch.nn.functional.cosine_similarity
    total = torch.zeros(())
    for one, other in ((first, second), (second, first)):
        prediction = method.predictor(method.projector(torch.cat([method.online(mel[None]) for mel in one])))
        target = method.target_projector(torch.cat([method.target(mel[None]) for mel in other])).detach()
        total = total + (2 - 2 * cosine(prediction, target)).mean()
    assert together["byol"].item() == pytest.approx(total.item(), abs=1e-4)
    assert together["total"].item() == pytest.approx((0.7 * cross_entropy + 0.3 * total).item(), abs=1e-4)


def test_mean_over_directions_is_half_the_sum() -> None:
    halves = byol(direction_sum=False, dropout=0.0).losses(0)["byol"]
    assert byol(direction_sum=True, dropout=0.0).losses(0)["byol"].item() == pytest.approx(2 * halves.item(), rel=1e-5)


def test_batch_norm_per_source_keeps_the_languages_apart() -> None:
    method = byol(bn_per_source=True)
    y = torch.randn(8, 16)
    moved = torch.cat([y[:4], y[4:] + 100])
    assert torch.allclose(
        method._per_source(method.projector, y), method._per_source(method.projector, moved), atol=1e-3
    )
    shared = byol(bn_per_source=False)
    assert not torch.allclose(
        shared._per_source(shared.projector, y)[:4], shared._per_source(shared.projector, moved)[:4]
    )


def test_lambda_zero_trains_on_the_labels_alone() -> None:
    losses = byol(lambda_start=0.0, lambda_end=0.0).losses(3)
    assert set(losses) == {"total", "cross_entropy"}
    assert losses["total"] is losses["cross_entropy"]


def test_matched_horizon_rescales_the_target_and_the_passive_averages() -> None:
    cell = small_world.spec(replace(SMALL, tau_horizon="matched"), steps=100)
    method = small_world.method(cell)
    assert isinstance(method, Byol)
    assert method.tau(0.996, 0) == pytest.approx(matched_tau(0.996, 100)) == pytest.approx(0.8)
    assert method.tau(0.999, 100) == 1.0


def test_history_holds_lambda_and_tau_as_they_were_applied() -> None:
    method = byol()
    run = train(method, small_world.spec(SMALL).training, 0, validate=lambda: 0.5)
    assert [row["step"] for row in run.history] == list(range(1, 13))
    for row in run.history:
        k = row["step"] - 1
        assert row["lambda"] == pytest.approx(0.8 - 0.6 * k / 12)
        assert row["tau"] == pytest.approx(1 - 0.004 * (torch.cos(torch.tensor(torch.pi * k / 12)).item() + 1) / 2)


def test_facts_count_passes_over_the_unlabelled_clips() -> None:
    assert byol().facts(12)["passes_over_unlabelled"] == 12 * 4 / 16


def test_a_clean_view_is_the_clip_itself_and_takes_the_place_of_an_augmented_one() -> None:
    method = byol(clean_view=True, views=3)
    views, labels = method._labelled_views(2)
    numbers = method.labelled.draw(2)
    assert torch.equal(views[: len(numbers)], method.speech.mels(numbers))
    assert len(views) == len(labels) == 3 * len(numbers)
    assert not torch.equal(views[len(numbers) : 2 * len(numbers)], views[: len(numbers)])


def test_batches_of_either_source_do_not_go_with_what_needs_both() -> None:
    for changes in ({"bn_per_source": True}, {"mixup_across": False}):
        with pytest.raises(UserError, match="sources is 'either'; it must be halves with bn_per_source or without"):
            ByolConfig(sources="either", **changes)
