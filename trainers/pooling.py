"""From hidden states over time to one embedding: a mean, or self-attention pooling (Safari et al. 2020)."""

import torch
from torch import Tensor, nn

from trainers.encoders import Encoder
from trainers.errors import unknown

POOLINGS = ("mean", "sounding", "attention")


class MeanPooling(nn.Module):
    """The average over time."""

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, T, d) to (batch, d). `mask`: (batch, T), true for the positions that count, at least one each."""
        if mask is None:
            return hidden.mean(dim=1)
        counted = mask.unsqueeze(2)
        total = hidden.masked_fill(~counted, 0).sum(dim=1)
        return total / counted.sum(dim=1)


class AttentionPooling(nn.Module):
    """Self-attention pooling (Safari, India and Hernando 2020): w = softmax(H W_c) over time, c = Σ_t w_t h_t.

    W_c starts at zero, so that training begins at the mean and no random number is drawn: a run with the mean and one
    with attention start from the same head. That start is our default; Xiang (2024) names the pooling alone.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimensions))

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, T, d) to (batch, d). `mask`: (batch, T), true for the positions that count, at least one each."""
        return torch.einsum("bt,btd->bd", self.weights(hidden, mask), hidden)

    def weights(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, T): how much each position counts; they sum to 1, masked positions have 0."""
        scores = hidden @ self.weight
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=1)


class SoundingPooling(MeanPooling):
    """The average over the time in which the clip sounds: without the zeros that fill it up (METHODS FLAG 1, ALT)."""


def sounding(heard: Tensor, positions: int) -> Tensor:
    """(batch, positions): whether a position hears more than the zeros after a clip; the first one always does.

    `heard`: log-mels (batch, bands, frames), where silence is each clip's lowest value in every band, or waveforms
    (batch, samples), where it is 0. Silence within a clip counts as sounding, what follows its last sound does not.
    """
    loud = heard != 0 if heard.dim() == 2 else (heard > heard.amin(dim=(1, 2), keepdim=True) + 1e-6).any(dim=1)
    steps = loud.shape[1]
    last = torch.where(loud, torch.arange(1, steps + 1, device=heard.device), 0).amax(dim=1)
    ends = (last * positions + steps - 1) // steps
    return torch.arange(positions, device=heard.device) < ends.clamp(min=1)[:, None]


def pooling(kind: str, dimensions: int) -> MeanPooling | AttentionPooling:
    """The pooling called "mean", "sounding" or "attention" over states of `dimensions`; UserError for another name."""
    if kind == "mean":
        return MeanPooling()
    if kind == "sounding":
        return SoundingPooling()
    if kind == "attention":
        return AttentionPooling(dimensions)
    raise unknown("pooling", kind, POOLINGS)


class PooledEncoder(nn.Module):
    """An encoder followed by a pooling of its hidden states: input to one embedding, as heads want it.

    With the mean it gives what the encoder alone gives.
    """

    def __init__(self, encoder: Encoder, pool: MeanPooling | AttentionPooling) -> None:
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.hears, self.dimensions = encoder.hears, encoder.dimensions

    def forward(self, heard: Tensor) -> Tensor:
        """Log-mels (batch, 80, frames) or waveforms (batch, samples) to (batch, d) in fp32."""
        states = self.encoder.hidden(heard)
        mask = sounding(heard, states.shape[1]) if isinstance(self.pool, SoundingPooling) else None
        pooled: Tensor = self.pool(states, mask)
        return pooled


def pooled(encoder: Encoder, kind: str) -> Encoder | PooledEncoder:
    """An encoder with this pooling: itself for the mean, which it takes anyway; UserError for an unknown one."""
    return encoder if kind == "mean" else PooledEncoder(encoder, pooling(kind, encoder.dimensions))


def parts(encoder: Encoder | PooledEncoder) -> tuple[nn.Module, list[nn.Module]]:
    """What trains at an encoder's learning rate, and at the head's: the pooling, where there is one."""
    return (encoder.encoder, [encoder.pool]) if isinstance(encoder, PooledEncoder) else (encoder, [])
