"""Augmentation of Whisper log-mels: mixup and random resize crop for BYOL (Niizumi et al. 2021), masks (Park et al.
2019), and vocal tract length perturbation (Jaitly & Hinton 2013).

Written from the papers' formulas. A batch is (batch, bands, frames) on any device; every clip has draws of its own,
made on the CPU from the generator that the caller passes, so that CPU and CUDA see the same views.
`strength` s scales everything; 0 changes nothing, 1 is the published setting (METHODS §10 defines the rest).
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.audio.log_mel import _hz_to_mel, _mel_to_hz
from trainers.moving import onto

MIXUP_ALPHA = 0.4
MASK_BANDS = 27
MASK_SHARE = 0.3
VTLP_RANGE = 1.1
"""The most by which frequencies are stretched; our default (Jaitly & Hinton: .9 to 1.1)."""

VTLP_BEND_HZ = 4800.0
"""Where the stretch bends towards the fixed end at 8 kHz (Jaitly & Hinton's F_hi)."""

_NEPERS = 4 * math.log(10)
"""Whisper's scale is log10(power) / 4 + 1, so this times a difference is a natural log of a power ratio."""


def byol_view(x: Tensor, partners: Tensor, mixed: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """A view of each clip: mixup with `partners` (like x), random resize crop, masks.

    `mixed` (batch,) bool: which clips have a partner; the others go unmixed.
    """
    share = torch.rand(len(x), generator=generator) * MIXUP_ALPHA * strength
    alpha = onto(x.device, torch.where(mixed.to(share.device), share, 0.0))
    return supervised_view(mixup(x, partners, alpha), strength=strength, generator=generator)


def supervised_view(x: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """A view of each clip: random resize crop, then at most 27s bands and 30s % of the frames masked."""
    cropped = random_resize_crop(x, strength=strength, generator=generator)
    frames = int(MASK_SHARE * strength * x.shape[2])
    return mask(cropped, bands=int(MASK_BANDS * strength), frames=frames, generator=generator)


def mixup(x: Tensor, partners: Tensor, alpha: Tensor) -> Tensor:
    """log((1 − α) e^x + α e^z) in true power: (log10((1 − α) 10^(4x − 4) + α 10^(4z − 4)) + 4) / 4.

    `alpha` (batch,) in [0, 1). Computed as x plus a correction, which is exactly 0 where α is 0.
    """
    excess = torch.expm1((partners - x).mul_(_NEPERS))
    return x + excess.mul_(alpha[:, None, None]).log1p_().div_(_NEPERS)


def random_resize_crop(x: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """A random rectangle of each clip, bicubically resized (corners aligned) to the clip's own size.

    The clip lies in the middle of a canvas of 1 + .5s times its frames, filled with its mean. Height and width are
    U(1 − .4s, 1 + .5s) of the clip's, at most the canvas's, at any offset.
    """
    if strength == 0:
        return x
    bands, frames = x.shape[1:]
    canvas = int(frames * (1 + 0.5 * strength))
    scales_and_places = torch.rand(4, len(x), generator=generator)
    top, height = _rectangle_side(bands, bands, strength, scales_and_places[:2])
    left, width = _rectangle_side(frames, canvas, strength, scales_and_places[2:])
    return resized_crop(x, top, height, left - (canvas - frames) // 2, width)


def _rectangle_side(size: int, canvas: int, strength: float, draws: Tensor) -> tuple[Tensor, Tensor]:
    """First pixel and length (batch,) of one side of each rectangle, from two rows of draws in [0, 1)."""
    low, high = max(1 - 0.4 * strength, 0.3), 1 + 0.5 * strength
    length = ((low + (high - low) * draws[0]) * size).long().clamp(1, canvas)
    return (draws[1] * (canvas - length + 1)).long(), length


def resized_crop(x: Tensor, top: Tensor, height: Tensor, left: Tensor, width: Tensor) -> Tensor:
    """Rows top … top + height − 1 and columns left … left + width − 1 of each clip, resized to the clip's size.

    What lies outside of the clip is its mean: with the mean taken off, that is nothing, and no canvas is needed.
    """
    mean = x.mean(dim=(1, 2), keepdim=True)
    rows = _resizing(onto(x.device, top), onto(x.device, height), x.shape[1])
    columns = _resizing(onto(x.device, left), onto(x.device, width), x.shape[2])
    with torch.autocast(x.device.type, enabled=False):
        return (rows @ (x - mean) @ columns.transpose(1, 2)).add_(mean)


def _resizing(start: Tensor, length: Tensor, size: int) -> Tensor:
    """(batch, size, size) matrices that bicubically resize `length` pixels from `start` on to `size` pixels."""
    device = start.device
    position = torch.arange(size, device=device) * ((length - 1) / max(size - 1, 1))[:, None]
    before = position.floor()
    neighbours = torch.arange(-1, 3, device=device)
    distances = (position - before)[..., None] - neighbours
    nearest = before.long()[..., None] + neighbours
    pixel = nearest.clamp(min=0).minimum((length - 1)[:, None, None]) + start[:, None, None]
    weights = torch.where((pixel >= 0) & (pixel < size), _cubic(distances.abs()), 0.0)
    matrices = torch.zeros(len(start), size, size, device=device)
    return matrices.scatter_add_(2, pixel.clamp(0, size - 1), weights)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981) with a = −.75, as torch's, at distances from 0 to 2."""
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    return torch.where(distance <= 1, near, far)


def mask(x: Tensor, *, bands: int, frames: int, generator: Generator) -> Tensor:
    """One mask of at most `bands` bands and one of at most `frames` frames per clip, filled with the clip's mean.

    SpecAugment without warping: a width from 0 to the most (at most the clip's size), then any place.
    """
    draws = torch.rand(4, len(x), generator=generator)
    in_band = onto(x.device, _interval(x.shape[1], bands, draws[:2]))
    in_frame = onto(x.device, _interval(x.shape[2], frames, draws[2:]))
    return torch.where(in_band[:, :, None] | in_frame[:, None, :], x.mean(dim=(1, 2), keepdim=True), x)


def _interval(size: int, most: int, draws: Tensor) -> Tensor:
    """(batch, size) bool: a random interval of at most `most` places in each row."""
    width = (draws[0] * (min(most, size) + 1)).long()
    first = (draws[1] * (size - width + 1)).long()[:, None]
    place = torch.arange(size)
    return (place >= first) & (place < first + width[:, None])


def vtlp(x: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """A view of each clip as if its speaker's vocal tract were shorter or longer, by U(1.1^−s, 1.1^s); s = 0: itself.

    Our reading of the paper's "spectral stretch" where it is not one of time (METHODS §3.2, FLAG 15).
    """
    if strength == 0:
        return x
    low, high = VTLP_RANGE**-strength, VTLP_RANGE**strength
    return stretched_bands(x, low + (high - low) * torch.rand(len(x), generator=generator))


def stretched_bands(x: Tensor, factors: Tensor) -> Tensor:
    """(batch, bands, frames) with all frequencies multiplied by each clip's factor (batch,): what was at f is at f · α.

    Above F_hi · min(α, 1), with F_hi 4.8 kHz, the stretch is the straight line that leaves 8 kHz where it is (Jaitly &
    Hinton 2013 eq. 1). Each band takes the level between the two bands nearest to where it comes from, on the mel axis.
    """
    bands, top_hz = x.shape[1], torch.tensor(SAMPLE_RATE_HZ / 2, dtype=torch.float64)
    step = _hz_to_mel(top_hz) / (bands + 1)
    target_hz = _mel_to_hz(step * torch.arange(1, bands + 1))
    source = (_hz_to_mel(_unstretched_hz(target_hz, factors.double()[:, None])) / step - 1).clamp(0, bands - 1)
    below = source.long().clamp(max=bands - 2)
    share = onto(x.device, (source - below).float())[:, :, None]
    below = onto(x.device, below)[:, :, None].expand_as(x)
    return torch.lerp(x.gather(1, below), x.gather(1, below + 1), share)


def _unstretched_hz(hz: Tensor, factor: Tensor) -> Tensor:
    """Where in the clip a frequency of the stretched clip comes from."""
    top_hz = SAMPLE_RATE_HZ / 2
    bend = VTLP_BEND_HZ * factor.clamp(max=1)
    slope = (top_hz - bend / factor) / (top_hz - bend)
    return torch.where(hz <= bend, hz / factor, top_hz - slope * (top_hz - hz))


def mixup_partners(drawn: Callable[[int], Tensor], step: int, *, bank: int, across: bool, source: Generator) -> Tensor:
    """(batch,) utterance indices to mix into the clips of `step`, or −1 where no clip came before.

    `drawn(step)`: the utterance indices of a step's batch. Each partner is uniform over the last `bank` clips before
    `step`. The bank is recomputed from the steps and never kept, so a resumed run draws the same. Not `across`: the
    batch's first and second half (the sources) each draw from their own half of the bank.
    """
    batch = len(drawn(step))
    sources = 1 if across else 2
    each = batch // sources
    past = min(bank // sources, step * each)
    ages = (torch.rand(batch, generator=source) * past).long()
    if past == 0:
        return torch.full((batch,), -1)
    clip = step * each - 1 - ages
    place = clip % each + torch.arange(batch) // each * each
    steps, which = torch.unique(clip // each, return_inverse=True)
    return torch.stack([drawn(int(earlier)) for earlier in steps])[which, place]
