"""Augmentation of waveforms (Gong et al. 2025 §2.1): speed, stretch, gain, noise, polarity, in this order.

Batched in torch on the waveforms' own device. Every clip has draws of its own, made on the CPU from the generator
that the caller passes, so that CPU and CUDA hear the same. The paper gives the operations and the range of the noise;
all other ranges are METHODS §3.2's and §10's defaults.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional
from torchaudio.functional import resample

from trainers.audio.draws import generator as stream

_WINDOW = 512
_HOP = 128


def augment(samples: NDArray[np.float32], *, strength: float, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """`augment_batch` for one clip (n,); the same for the same `seed`, which names seed, step and clip."""
    source = stream(seed[0], "waveform", *seed[1:])
    augmented = augment_batch(torch.from_numpy(samples)[None], strength=strength, generator=source)[0].numpy()
    return np.asarray(augmented, dtype=np.float32)


def augment_batch(waveforms: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """(batch, n) float32 at 16 kHz to (batch, n).

    Played at 1 − .1s, 1 or 1 + .1s times its speed; then, each in half of the cases, stretched in time by
    U(1.25^−s, 1.25^s), gain U(−12s, 12s) dB, noise U(20 − 10s, 30 − 10s) dB below the clip, polarity inverted.
    What becomes longer is cut at the end, what becomes shorter is followed by zeros. Strength 0 changes nothing.
    """
    if strength == 0:
        return waveforms
    applied = torch.rand(4, len(waveforms), generator=generator) < 0.5
    amount = torch.rand(4, len(waveforms), generator=generator)
    played = at_speeds(waveforms, (amount[0] * 3).long() - 1, step=0.1 * strength)
    rates = torch.where(applied[0], 1.25 ** (strength * (2 * amount[1] - 1)), 1.0)
    gain_db = torch.where(applied[1], 12 * strength * (2 * amount[2] - 1), 0.0)
    louder = stretch(played, rates) * _ratio(gain_db).to(played.device)
    snr_db = torch.where(applied[2], 20 - 10 * strength + 10 * amount[3], torch.inf)
    polarity = torch.where(applied[3], -1.0, 1.0)[:, None].to(played.device)
    return add_noise(louder, snr_db, generator) * polarity


def at_speeds(waveforms: Tensor, faster: Tensor, *, step: float) -> Tensor:
    """(batch, n) played at 1 + step · faster (−1, 0 or 1) times its speed, pitch and tempo alike (Ko et al. 2015)."""
    played = waveforms.clone()
    for sign in (-1, 1):
        chosen = (faster == sign).nonzero()[:, 0].to(waveforms.device)
        if len(chosen):
            resampled = resample(waveforms[chosen], round(1000 * (1 + sign * step)), 1000)
            played[chosen] = functional.pad(resampled, (0, waveforms.shape[1] - resampled.shape[1]))
    return played


def stretch(waveforms: Tensor, rates: Tensor) -> Tensor:
    """(batch, n) at `rates` (batch,) times its tempo and its own pitch, by a phase vocoder; untouched at rate 1.

    Each output frame stands `rate` frames after the last; between two input frames its magnitude is interpolated,
    and its phase goes on as theirs does (Flanagan & Golden 1966).
    """
    chosen = (rates != 1).nonzero()[:, 0]
    if not len(chosen):
        return waveforms
    where, n = chosen.to(waveforms.device), waveforms.shape[1]
    window = torch.hann_window(_WINDOW, device=waveforms.device)
    spectrum = torch.stft(
        waveforms[where], _WINDOW, _HOP, window=window, pad_mode="constant", return_complex=True
    ).transpose(1, 2)
    moved = _moved(spectrum, rates[chosen].to(waveforms.device))
    stretched = waveforms.clone()
    stretched[where] = torch.istft(moved.transpose(1, 2), _WINDOW, _HOP, window=window, length=n)
    return stretched


def _moved(spectrum: Tensor, rates: Tensor) -> Tensor:
    """(batch, frames, bins) read at `rates` frames a frame; beyond the end there is silence."""
    batch, frames, _ = spectrum.shape
    position = (torch.arange(frames, device=spectrum.device) * rates[:, None]).clamp(max=frames)
    before = position.long()
    padded, clip = functional.pad(spectrum, (0, 0, 0, 2)), torch.arange(batch, device=spectrum.device)[:, None]
    left, right = padded[clip, before], padded[clip, before + 1]
    magnitude = torch.lerp(left.abs(), right.abs(), (position - before)[..., None])
    phases = torch.cat([_phasor(left[:, :1]), (_phasor(right) * _phasor(left).conj())[:, :-1]], dim=1)
    return magnitude * phases.cumprod(dim=1)


def _phasor(z: Tensor) -> Tensor:
    """z / |z|, and 1 where there is nothing to turn."""
    size = z.abs()
    return torch.where(size > 1e-20, z / size.clamp(min=1e-20), 1.0)


def add_noise(waveforms: Tensor, snr_db: Tensor, generator: Generator) -> Tensor:
    """(batch, n) with white Gaussian noise `snr_db` (batch,) below each clip's own power; none at infinity."""
    noise = torch.randn(waveforms.shape, generator=generator).to(waveforms.device)
    rms = waveforms.square().mean(dim=1, keepdim=True).sqrt()
    return waveforms + noise * rms * _ratio(-snr_db).to(waveforms.device)


def _ratio(db: Tensor) -> Tensor:
    """(batch,) decibels to (batch, 1) ratios of amplitude."""
    return (10 ** (db / 20))[:, None]
