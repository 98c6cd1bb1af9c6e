"""The three views of an utterance in Pairwise-CL: layers of a frozen encoder, mel spectrogram, eGeMAPS statistics.

The abstract of Khaertdinov et al. (Interspeech 2024) names the views and a projection head for each; the networks
themselves, and every number here, are unknown to us. What stands here are our defaults, each from the nearest
published relative (METHODS §7). Every view gives (batch, 128), by which views are compared and classified alike.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trainers.audio.egemaps import FEATURES, ZScore

DIMENSIONS = 128
_DROPOUT = 0.2
_HEADS = 2


class LayerView(nn.Module):
    """Hidden states of a frozen encoder: learned average of its layers, two pointwise convolutions, mean over time.

    After Pepino et al. 2021: the layers' weights are a softmax of learned numbers, equal at first; each convolution
    of 128 channels is followed by ReLU and dropout of .2. Our default; the paper says only "wav2vec 2.0 features".
    The mean is over all positions, zeros that fill a short clip included, as everywhere here (`SpeechEncoder`).
    """

    dimensions = DIMENSIONS

    def __init__(self, layers: int, inputs: int) -> None:
        super().__init__()
        self.layer_logits = nn.Parameter(torch.zeros(layers))
        self.convolutions = nn.Sequential(*_pointwise(inputs), *_pointwise(DIMENSIONS))

    def forward(self, states: Tensor) -> Tensor:
        """(batch, layers, T, inputs), in whatever precision they are kept, to (batch, 128) in that of the weights."""
        weights = self.layer_logits.softmax(0)
        average = torch.einsum("l,nltd->ndt", weights, states.to(weights.dtype))
        embedded: Tensor = self.convolutions(average)
        return embedded.mean(2)


def _pointwise(inputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv1d(inputs, DIMENSIONS, 1), nn.ReLU(), nn.Dropout(_DROPOUT)


class MelView(nn.Module):
    """Log-mel spectrogram: three convolutions over time, two transformer layers, mean over time.

    Channels 32, 64, 128, kernels of 5 frames, 2 heads: the shape of the same lab's networks for other signals
    (METHODS §7). Ours beyond that: each convolution steps 2 frames (8 in all, 80 ms) and is followed by ReLU, the
    transformer hears sinusoidal positions (Vaswani et al. 2017), its inner width is 256 and its dropout .1.
    """

    dimensions = DIMENSIONS

    def __init__(self, bands: int = 80) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*_strided(bands, 32), *_strided(32, 64), *_strided(64, DIMENSIONS))
        self.transformer = nn.Sequential(
            *(nn.TransformerEncoderLayer(DIMENSIONS, _HEADS, 256, dropout=0.1, batch_first=True) for _ in range(2))
        )

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, bands, frames) to (batch, 128); any number of frames."""
        local = self.convolutions(mel).transpose(1, 2)
        heard: Tensor = self.transformer(local + sinusoids(local.shape[1], local.device).to(local.dtype))
        return heard.mean(1)


def _strided(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv1d(inputs, outputs, 5, stride=2, padding=2), nn.ReLU()


def sinusoids(positions: int, device: torch.device) -> Tensor:
    """(positions, 128): sin(p / 10000^(i / 64)) in the first half of the columns i, cosines in the second."""
    rates = 10_000 ** -(torch.arange(DIMENSIONS // 2, device=device) / (DIMENSIONS // 2))
    angles = torch.arange(positions, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class StatisticsView(nn.Sequential):
    """z-scored eGeMAPS functionals (batch, 88) to (batch, 128): two linear layers of 256 and 128, ReLU after each.

    Our default; the last ReLU keeps the projection's first layer from merging with it.
    """

    dimensions = DIMENSIONS

    def __init__(self, features: int = FEATURES) -> None:
        super().__init__(nn.Linear(features, 256), nn.ReLU(), nn.Linear(256, DIMENSIONS), nn.ReLU())


def projection(dimensions: int) -> nn.Sequential:
    """(batch, dimensions) to (batch, 128), in which views are compared: linear of 256, batch norm, ReLU, linear.

    The paper's word is a separate head per view; its layers are our default (METHODS §7, FLAG 31).
    """
    return nn.Sequential(nn.Linear(dimensions, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 128))


class Views(nn.Module):
    """The networks of several views of a clip, by the views' names.

    `layers`, `width`: how many hidden states the frozen encoder gives, and how wide. `functionals` (clips, 88): of the
    clips whose mean and deviation eGeMAPS statistics are z-scored by, kept with the weights; None where weights are
    loaded afterwards.
    """

    def __init__(self, names: Sequence[str], layers: int, width: int, functionals: Tensor | None = None) -> None:
        super().__init__()
        functionals = torch.zeros(1, FEATURES) if functionals is None else functionals
        self.networks = nn.ModuleDict({name: _network(name, layers, width, functionals) for name in names})

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(batch, 128) of each view that inputs are given of, side by side: (batch, 128 · views)."""
        return torch.cat([self.networks[name](given) for name, given in inputs.items()], dim=1)


def _network(name: str, layers: int, width: int, functionals: Tensor) -> nn.Module:
    if name == "layers":
        return LayerView(layers, width)
    if name == "mel":
        return MelView()
    return nn.Sequential(ZScore(functionals), StatisticsView())
