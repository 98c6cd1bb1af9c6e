"""Whisper's log-mel spectrogram, batched, on the waveforms' own device (Radford et al. 2022 §2.2)."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from trainers.audio.front_end import SAMPLE_RATE_HZ

MELS = 80
HOP = 160
WINDOW = 400
_CPU_CLIPS = 16
"""Clips at a time on the CPU: their frames stay in its cache and its memory is not asked for anew."""


def log_mel(waveforms: Tensor, *, n_samples: int) -> Tensor:
    """(batch, n) waveforms at 16 kHz to (batch, 80, n_samples // 160) float32, as WhisperFeatureExtractor's.

    Clips are cut or zero-padded at the end to `n_samples` (at least 201, for the reflected edges). Power below
    1e-10 and below a clip's own maximum − 80 dB is raised to that; then (log10 + 4) / 4. Precision is float32
    under autocast too.
    """
    heard = functional.pad(waveforms.float(), (0, n_samples - waveforms.shape[-1]))
    at_once = _CPU_CLIPS if heard.device.type == "cpu" else max(1, len(heard))
    with torch.autocast(heard.device.type, enabled=False):
        return torch.cat([_log_mel(clips) for clips in torch.split(heard, at_once)])


def _log_mel(waveforms: Tensor) -> Tensor:
    window, filters = _window_and_filters(waveforms.device)
    reflected = functional.pad(waveforms[:, None], (WINDOW // 2, WINDOW // 2), mode="reflect")[:, 0]
    frames = reflected.unfold(-1, WINDOW, HOP)[:, : waveforms.shape[-1] // HOP]
    spectrum = torch.fft.rfft(frames * window)
    power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    levels = (filters @ power.transpose(1, 2)).clamp_(min=1e-10).log10_()
    floor = levels.amax(dim=(1, 2), keepdim=True) - 8
    return torch.maximum(levels, floor).add_(4).div_(4)


@lru_cache
def _window_and_filters(device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.hann_window(WINDOW, device=device), mel_filters().float().to(device)


def mel_filters() -> Tensor:
    """(80, 201) float64 triangles between 82 points equally far apart in mels from 0 to 8 kHz, each of area 1."""
    top = _hz_to_mel(torch.tensor(SAMPLE_RATE_HZ / 2, dtype=torch.float64))
    points_hz = _mel_to_hz(torch.linspace(0, float(top), MELS + 2, dtype=torch.float64))[:, None]
    bins_hz = torch.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW // 2 + 1, dtype=torch.float64)
    left, middle, right = points_hz[:-2], points_hz[1:-1], points_hz[2:]
    rising, falling = (bins_hz - left) / (middle - left), (right - bins_hz) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (right - left)


def _hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's scale (Auditory Toolbox, 1998): 3 mels per 200 Hz up to 1 kHz, then 27 mels per factor 6.4."""
    return torch.where(hz < 1000, hz * 3 / 200, 15 + 27 * torch.log(hz.clamp(min=1000) / 1000) / _LOG_STEP)


def _mel_to_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * _LOG_STEP / 27))


_LOG_STEP = float(torch.log(torch.tensor(6.4, dtype=torch.float64)))
