"""The views' networks, each against its formula written out in numpy."""

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.small_world import FRONT_END, Tones, whisper
from trainers.audio.draws import generator
from trainers.encoders import encoder_of
from trainers.methods import view_inputs
from trainers.methods.view_inputs import ViewInputs, coarser, halved, inputs_of
from trainers.methods.views import LayerView, MelView, StatisticsView, Views, projection, sinusoids
from trainers.speech import Speech

Array = NDArray[np.float64]
Network = TypeVar("Network", bound=nn.Module)
View = LayerView | MelView | StatisticsView
VIEWS: dict[str, tuple[Callable[[], View], tuple[int, ...]]] = {
    "layers": (lambda: LayerView(5, 24), (6, 5, 30, 24)),
    "mel": (lambda: MelView(80), (6, 80, 120)),
    "statistics": (lambda: StatisticsView(88), (6, 88)),
}
every_view = pytest.mark.parametrize(("make", "shape"), VIEWS.values(), ids=VIEWS.keys())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "test"))


def seeded(view: Network) -> Network:
    """Every weight drawn anew, so that nothing hides behind zeros and ones of an initialisation."""
    with torch.no_grad():
        for number, weight in enumerate(view.parameters()):
            weight.copy_(normal(*weight.shape, seed=number) * 0.3 + 0.05)
    return view.eval()


def weights(module: nn.Module) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


# layers


def test_layers_are_averaged_convolved_pointwise_twice_and_averaged_over_time() -> None:
    view, states = seeded(LayerView(5, 24)), normal(6, 5, 30, 24)
    w, shares = weights(view.convolutions), softmax(weights(view)["layer_logits"])
    x = sum(share * states[:, layer].double().numpy() for layer, share in enumerate(shares))
    x = relu(x @ w["0.weight"][:, :, 0].T + w["0.bias"])
    x = relu(x @ w["3.weight"][:, :, 0].T + w["3.bias"])
    np.testing.assert_allclose(view(states).detach(), x.mean(1), rtol=1e-4, atol=1e-5)


def test_layers_weigh_the_same_at_first_and_one_alone_when_its_logit_is_large() -> None:
    view, states = LayerView(5, 24).eval(), normal(6, 5, 30, 24)
    averages = states.mean(1, keepdim=True).expand_as(states)
    torch.testing.assert_close(view(states), view(averages))
    with torch.no_grad():
        view.layer_logits[3] = 100.0
    torch.testing.assert_close(view(states), view(states[:, 3:4].expand_as(states)))


def test_states_kept_in_half_precision_give_nearly_the_same() -> None:
    view, states = seeded(LayerView(5, 24)), normal(6, 5, 30, 24)
    halved = view(states.half())
    assert halved.dtype == torch.float32
    torch.testing.assert_close(halved, view(states), rtol=0.01, atol=0.01)


# mel


def convolved(x: Array, weight: Array, bias: Array) -> Array:
    """(frames, inputs) by kernels of five every second frame, two frames of zeros on either side; ReLU."""
    padded = np.pad(x, ((2, 2), (0, 0)))
    places = range(0, len(x), 2)
    return relu(np.stack([np.einsum("kd,odk->o", padded[p : p + 5], weight) for p in places]) + bias)


def normalised(x: Array, weight: Array, bias: Array) -> Array:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight + bias


def transformed(x: Array, w: dict[str, Array]) -> Array:
    """A layer of Vaswani et al. 2017: attention of two heads, then a network of its own per position."""
    queries, keys, values = np.split(x @ w["self_attn.in_proj_weight"].T + w["self_attn.in_proj_bias"], 3, axis=1)
    heads = [slice(0, 64), slice(64, 128)]
    attended = [softmax(queries[:, h] @ keys[:, h].T / 8) @ values[:, h] for h in heads]
    mixed = np.concatenate(attended, 1) @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]
    x = normalised(x + mixed, w["norm1.weight"], w["norm1.bias"])
    hidden = relu(x @ w["linear1.weight"].T + w["linear1.bias"])
    return normalised(x + hidden @ w["linear2.weight"].T + w["linear2.bias"], w["norm2.weight"], w["norm2.bias"])


def positions(n: int) -> Array:
    angles = [[p / 10_000 ** (i / 64) for i in range(64)] for p in range(n)]
    return np.array([[*map(math.sin, row), *map(math.cos, row)] for row in angles])


@pytest.mark.parametrize("frames", [120, 37, 1])
@torch.no_grad()
def test_mels_are_convolved_thrice_attended_twice_and_averaged_over_time(frames: int) -> None:
    view, mel = seeded(MelView(80)), normal(2, 80, frames)
    w = weights(view.convolutions)
    for clip, ours in zip(mel.double().numpy(), view(mel), strict=True):
        x = clip.T
        for number in (0, 2, 4):
            x = convolved(x, w[f"{number}.weight"], w[f"{number}.bias"])
        x = x + positions(len(x))
        for layer in view.transformer:
            x = transformed(x, weights(layer))
        np.testing.assert_allclose(ours, x.mean(0), rtol=1e-3, atol=1e-4)


def test_three_seconds_are_heard_at_38_positions() -> None:
    view = MelView(80)
    assert view.convolutions(normal(1, 80, 300)).shape == (1, 128, 38)
    np.testing.assert_allclose(sinusoids(38, torch.device("cpu")), positions(38), atol=1e-5)


@torch.no_grad()
def test_a_clip_is_not_heard_as_its_own_parts_in_another_order() -> None:
    torch.manual_seed(0)
    view, mel = MelView(80).eval(), torch.zeros(2, 80, 160)
    for place in (0, 2, 4):
        view.convolutions[place].bias.zero_()
    mel[:, :, 32:48], mel[:, :, 112:128] = normal(2, 80, 16), normal(2, 80, 16, seed=1)  # silence around the seams
    swapped = torch.cat([mel[:, :, 80:], mel[:, :, :80]], dim=2)
    local = view.convolutions(mel)
    torch.testing.assert_close(view.convolutions(swapped), torch.cat([local[:, :, 10:], local[:, :, :10]], dim=2))
    timeless = [view.transformer(view.convolutions(clip).transpose(1, 2)).mean(1) for clip in (mel, swapped)]
    torch.testing.assert_close(*timeless)
    assert (view(swapped) - view(mel)).abs().max() > 0.002


# statistics and projection


def test_statistics_go_through_two_layers_with_relu() -> None:
    view, features = seeded(StatisticsView(88)), normal(6, 88)
    w = weights(view)
    x = relu(features.double().numpy() @ w["0.weight"].T + w["0.bias"])
    expected = relu(x @ w["2.weight"].T + w["2.bias"])
    np.testing.assert_allclose(view(features).detach(), expected, rtol=1e-4, atol=1e-5)


def test_the_projection_normalises_over_the_batch_in_training() -> None:
    head, x = seeded(projection(24)).train(), normal(16, 24)
    w = weights(head)
    hidden = x.double().numpy() @ w["0.weight"].T + w["0.bias"]
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * w["1.weight"] + w["1.bias"]
    expected = relu(hidden) @ w["3.weight"].T + w["3.bias"]
    np.testing.assert_allclose(head(x).detach(), expected, rtol=1e-3, atol=1e-4)


# all


@every_view
def test_a_view_gives_its_dimensions_and_every_weight_learns(make: Callable[[], View], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    view = make()
    head = projection(view.dimensions)
    embedded = view(normal(*shape))
    assert embedded.shape == (shape[0], view.dimensions)
    (head(embedded) * normal(shape[0], 128, seed=1)).sum().backward()
    still = [name for name, weight in view.named_parameters() if not weight.grad.any()]
    assert still == []


@every_view
@torch.no_grad()
def test_clips_of_a_batch_do_not_touch_each_other(make: Callable[[], View], shape: tuple[int, ...]) -> None:
    view, x = make().eval(), normal(*shape)
    torch.testing.assert_close(view(x)[2:3], view(x[2:3]))


def test_views_stand_side_by_side_in_the_order_of_what_is_given() -> None:
    views = seeded(Views(("layers", "mel", "egemaps"), 5, 24, normal(40, 88)))
    given = {"egemaps": normal(6, 88), "layers": normal(6, 5, 30, 24)}
    found = views(given)
    torch.testing.assert_close(found[:, :128], views.networks["egemaps"](given["egemaps"]))
    torch.testing.assert_close(found[:, 128:], views.networks["layers"](given["layers"]))


# what the views are computed from


def speech() -> Speech:
    return Speech(Tones(), FRONT_END, torch.device("cpu"))


def test_layers_are_the_frozen_encoders_states_in_half_precision_and_mels_are_the_speechs() -> None:
    heard, numbers = speech(), torch.tensor([5, 2, 40])
    inputs = ViewInputs(heard, whisper())
    states = encoder_of(whisper(), heard.frames).layers(heard.mels(numbers))
    found = inputs.of("layers", numbers)
    assert (inputs.layers, found.dtype) == (states.shape[1], torch.half)
    torch.testing.assert_close(found.float(), states, rtol=2e-3, atol=2e-3)
    assert torch.equal(inputs.of("mel", numbers), heard.mels(numbers))
    assert not any(weight.requires_grad for weight in inputs.encoder.parameters())


@pytest.mark.parametrize("room", [0, 6_000, 10**9])
def test_a_clips_states_are_the_same_bits_kept_or_not_and_whoever_is_heard_beside_it(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    wanted = {number: ViewInputs(speech(), whisper()).of("layers", torch.tensor([number]))[0] for number in range(5)}
    monkeypatch.setattr(view_inputs, "CACHE_BYTES", room)
    inputs, size = ViewInputs(speech(), whisper()), wanted[0].nbytes
    for numbers in ([0, 1, 2], [4, 2, 2, 0, 3], [1]):
        for number, states in zip(numbers, inputs.of("layers", torch.tensor(numbers)), strict=True):
            assert torch.equal(states, wanted[number])
    assert len(inputs._states) == min(5, room // size)


@pytest.mark.parametrize(("positions", "together"), [(150, 1), (166, 1), (167, 2), (499, 3), (1500, 9)])
def test_states_too_large_are_averaged_over_as_few_neighbours_as_will_do(positions: int, together: int) -> None:
    states = normal(5, positions, 384)
    found = coarser(states)
    assert 2 * found.numel() <= view_inputs.CLIP_BYTES + 2 * 5 * 384
    for place, row in enumerate(found.transpose(0, 1)):
        torch.testing.assert_close(row, states[:, place * together : (place + 1) * together].mean(1))
    assert found.shape == (5, -(-positions // together), 384)


def test_what_half_precision_cannot_hold_is_as_large_as_it_can() -> None:
    assert halved(torch.tensor([1e6, -1e6, 1.5])).tolist() == [65504, -65504, 1.5]


def test_cells_of_one_front_end_and_encoder_share_their_inputs() -> None:
    heard, backbone = speech(), whisper()
    first = inputs_of(heard, backbone)
    assert inputs_of(heard, backbone) is first
    assert inputs_of(heard, backbone, bf16=True) is not first
    assert inputs_of(speech(), backbone) is not first
    assert inputs_of(heard, whisper()) is not first
