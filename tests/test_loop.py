"""The loop: resumed equals uninterrupted, stopping, the best validation, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests import small_world
from trainers.encoders import trainable
from trainers.loop import Stopped, _optimiser, train
from trainers.methods.byol import Byol
from trainers.methods.configs import BaselineConfig, ByolConfig
from trainers.moving import Returning
from trainers.scores import score

CONFIGS = [ByolConfig(projector_hidden=32, projection=8, tau_horizon="paper"), BaselineConfig()]


class StopAfter:
    """Tells the training to stop at its n-th question."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("config", CONFIGS, ids=["byol", "baseline"])
def test_a_stopped_and_resumed_training_ends_with_the_same_bits(config, tmp_path: Path) -> None:
    cell = small_world.spec(config)
    whole, torn = small_world.method(cell), small_world.method(cell)
    uars = iter([0.3, 0.6, 0.5] * 2)
    at_once = train(whole, cell.training, 0, validate=lambda: next(uars))
    with pytest.raises(Stopped):
        train(torn, cell.training, 0, validate=lambda: next(uars), checkpoint=tmp_path / "c.pt", stopped=StopAfter(6))
    torch.rand(7)  # global random state must not matter
    resumed = small_world.method(cell)
    in_parts = train(resumed, cell.training, 0, validate=lambda: next(uars), checkpoint=tmp_path / "c.pt")
    assert in_parts.history == at_once.history
    assert (in_parts.best_score, in_parts.best_step) == (at_once.best_score, at_once.best_step) == (0.6, 8)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    for kept, again in zip(at_once.best_weights, in_parts.best_weights, strict=True):
        assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_torn_checkpoint_is_set_aside_and_training_starts_over(tmp_path: Path) -> None:
    cell, file = small_world.spec(), tmp_path / "c.pt"
    file.write_bytes(b"PK\x03\x04 torn")
    with pytest.warns(UserWarning, match="damaged and set aside"):
        run = train(small_world.method(cell), cell.training, 0, validate=lambda: 0.5, checkpoint=file)
    assert run.step == 12
    assert (tmp_path / "c.damaged").read_bytes() == b"PK\x03\x04 torn"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "its last byte gone": lambda content: content[:-1],
    "empty": lambda _: b"",
    **{
        f"a bit flipped at {place:.0%}": lambda content, place=place: flipped(content, int(place * len(content)))
        for place in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9999)
    },
}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_damaged_checkpoint_is_gone_on_from(damage: str, tmp_path: Path) -> None:
    """torch loads a file in which a bit of the weights has flipped without a word."""
    cell, file = small_world.spec(), tmp_path / "c.pt"
    whole, stopped, again = (small_world.method(cell) for _ in range(3))
    train(whole, cell.training, 0, validate=lambda: 0.5)
    with pytest.raises(Stopped):
        train(stopped, cell.training, 0, validate=lambda: 0.5, checkpoint=file, stopped=StopAfter(6))
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.warns(UserWarning, match="damaged and set aside"):
        train(again, cell.training, 0, validate=lambda: 0.5, checkpoint=file)
    assert (tmp_path / "c.damaged").is_file()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_training_lowers_the_loss_and_learns_the_tones() -> None:
    cell = small_world.spec(BaselineConfig(strength=0.0), steps=60, encoder_lr=3e-3)
    method = small_world.method(cell)
    run = train(method, cell.training, 0, validate=lambda: 0.0)
    assert run.history[-1]["loss/cross_entropy"] < 0.5 * run.history[0]["loss/cross_entropy"]
    heard = torch.arange(64)
    encoder, head = method.eval().inference()
    predicted = head(encoder(method.speech.mels(heard))).argmax(1).numpy()
    assert score(method.speech.labels(heard).numpy(), predicted, [""] * 64).uar > 0.6


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    ends = []
    for seed in (0, 0, 1):
        cell = small_world.spec()
        method = small_world.method(cell)
        train(method, cell.training, seed, validate=lambda: 0.0)
        ends.append(method.head[1].weight.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_loss_that_is_no_number_stops_the_training_and_says_where() -> None:
    cell = small_world.spec()
    method = small_world.method(cell)
    method.head[1].weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        train(method, cell.training, 0, validate=lambda: 0.0)


def test_head_and_encoder_have_their_own_learning_rates_and_warm_up() -> None:
    cell = small_world.spec(warmup_steps=1000, encoder_lr=1e-3, head_lr=1e-2, steps=1)
    method = small_world.method(cell)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    train(method, cell.training, 0, validate=lambda: 0.0)
    for name, rate in (("head.1.weight", 1e-2), ("online.whisper.layers.0.fc1.weight", 1e-3)):
        step = (method.get_parameter(name) - before[name]).abs().max().item()
        assert step == pytest.approx(rate / 1000, rel=0.05)  # AdamW's first step is the learning rate itself


def test_what_is_monitored_names_the_curve_and_chooses_the_best_weights() -> None:
    asked = small_world.spec(monitor="accuracy").training
    scores = iter([0.3, 0.7, 0.5])
    run = train(small_world.method(), asked, 0, validate=lambda: next(scores))
    assert [row["valid_accuracy"] for row in run.history if "valid_accuracy" in row] == [0.3, 0.7, 0.5]
    assert not any("valid_uar" in row for row in run.history)
    assert (run.best_score, run.best_step) == (0.7, 8)


def test_one_pass_over_all_weights_is_adamw_as_torch_writes_it_out() -> None:
    asked = small_world.spec(encoder_lr=1e-3, head_lr=1e-2).training
    own, plain = small_world.method(), small_world.method()
    ours = _optimiser(own, asked)
    groups = [
        {"params": [each for module in modules for each in trainable(module)]} for modules in plain.learning_rates()
    ]
    for group, rate in zip(groups, (asked.encoder_lr, asked.head_lr), strict=True):
        group["lr"] = rate
    theirs = torch.optim.AdamW(groups, weight_decay=asked.weight_decay, foreach=False, fused=False)
    source = torch.Generator().manual_seed(0)
    for _ in range(20):
        for mine, other in zip(trainable(own), trainable(plain), strict=True):
            mine.grad = torch.randn(mine.shape, generator=source)
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    for mine, other in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


class NoNumber(Byol):
    """Its loss at step 6 is none; no row of the history falls due then."""

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        losses = super().losses(step)
        return {name: loss * float("nan") for name, loss in losses.items()} if step == 6 else losses


@pytest.mark.parametrize("stopped", [lambda: False, StopAfter(7)], ids=["goes on", "told to stop there"])
def test_a_loss_that_was_no_number_is_told_before_anything_is_kept(stopped: Callable[[], bool], tmp_path: Path) -> None:
    cell = small_world.spec(steps=600, epoch_steps=300)
    method = small_world.method(cell)
    method.__class__ = NoNumber
    with pytest.raises(FloatingPointError, match="the loss is nan at step 6"):
        train(method, cell.training, 0, validate=None, checkpoint=tmp_path / "c.pt", stopped=stopped)
    assert not list(tmp_path.iterdir())


def test_a_step_of_a_rehearsal_is_over_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a GPU's steps would be timed by how fast they are asked for."""
    order: list[object] = []
    read = Returning.read
    monkeypatch.setattr(Returning, "read", lambda one: order.append("read") or read(one))
    cell = small_world.spec()
    train(small_world.method(cell), cell.training, 0, validate=None, until=3, progress=lambda k, *_: order.append(k))
    assert order == ["read", 1, "read", 2, "read", 3]
