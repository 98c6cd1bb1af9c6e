"""Source and filter: glottal pulses, noise, and a cascade of moving resonators (Klatt 1980; Klatt & Klatt 1990)."""

import numpy as np
from numpy.typing import NDArray

from trainers.audio.front_end import SAMPLE_RATE_HZ

Array = NDArray[np.float64]

FRAME = 80
"""Samples per control frame (5 ms): pitch, loudness and formants are set once a frame."""


def glottis(pitch_hz: Array, tilt_db: float, jitter: float, rng: np.random.Generator) -> Array:
    """Pulse train of unit RMS: a band-limited period read at the running phase, each period a little off."""
    hz = per_sample(pitch_hz)
    even = np.cumsum(hz / SAMPLE_RATE_HZ)
    off = rng.standard_normal((2, int(1.5 * even[-1]) + 1))  # room for periods that jitter has shortened
    phase = np.cumsum(hz * (1 + jitter * off[0, even.astype(int)]) / SAMPLE_RATE_HZ)
    period = _period(float(np.mean(pitch_hz)), float(np.max(pitch_hz)), tilt_db)
    pulses: Array = np.interp(phase % 1, np.linspace(0, 1, period.size), period)
    pulses *= 1 + 3 * jitter * off[1, phase.astype(int)]
    return pulses


def _period(mean_hz: float, highest_hz: float, tilt_db: float) -> Array:
    """One period of the glottal flow's derivative, 2t − 3t² while open (60 %), tilted above 300 Hz, unit RMS."""
    t = np.arange(512) / 512 / 0.6
    spectrum = np.fft.rfft(np.where(t < 1, 2 * t - 3 * t**2, 0.0))
    harmonic = np.arange(spectrum.size)
    octaves = np.log2(np.maximum(harmonic * mean_hz, 300.0) / 300.0)
    spectrum = spectrum * 10 ** (tilt_db * octaves / 20)
    spectrum[(harmonic == 0) | (harmonic * highest_hz > SAMPLE_RATE_HZ / 2)] = 0
    period = np.fft.irfft(spectrum)
    return scaled(np.append(period, period[0]), 1.0)  # the circle is closed for the interpolation


def resonate(samples: Array, centres_hz: Array, widths_hz: Array) -> Array:
    """`samples` (160·steps) through resonators in cascade whose `centres_hz` (steps, k) move; `widths_hz` is (k,).

    Each resonator is Klatt's (1980), 1 at 0 Hz. Pieces of 20 ms, half overlapping, each get the response that holds
    at their middle: in the frequency domain, with room for a tail of 30 ms.
    """
    hop, size = 2 * FRAME, 10 * FRAME
    window = np.hanning(2 * hop + 1)[:-1]
    padded = np.pad(samples, hop // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window.size)[::hop][: len(centres_hz)] * window
    spectra = np.fft.rfft(pieces, size) / np.fft.rfft(_denominators(centres_hz, widths_hz), size)
    tails = np.fft.irfft(spectra, size).reshape(len(pieces), -1, hop)
    out = np.zeros((len(pieces) + tails.shape[1], hop))
    for late in range(tails.shape[1]):
        out[late : late + len(pieces)] += tails[:, late]
    return out.reshape(-1)[hop // 2 : hop // 2 + samples.size]


def _denominators(centres_hz: Array, widths_hz: Array) -> Array:
    """(steps, 2k + 1) coefficients of the cascades' denominators, each divided by its value at 0 Hz."""
    radius = np.exp(-np.pi * widths_hz / SAMPLE_RATE_HZ)
    first = -2 * radius * np.cos(2 * np.pi * centres_hz / SAMPLE_RATE_HZ)
    product = np.zeros((len(centres_hz), 2 * widths_hz.size + 1))
    product[:, 0] = 1
    for b, c in zip(first.T, radius**2, strict=True):
        once, twice = np.roll(product, 1, axis=1), np.roll(product, 2, axis=1)  # zeros wrap round: there is room
        product = product + b[:, None] * once + c * twice
    normalised: Array = product / product.sum(axis=1, keepdims=True)
    return normalised


def band(noise: Array, centre_hz: float) -> Array:
    """Noise shaped to a bell of ± 22 % around a centre."""
    hz = np.fft.rfftfreq(noise.size, 1 / SAMPLE_RATE_HZ)
    bell = np.exp(-0.5 * ((hz - centre_hz) / (0.22 * centre_hz)) ** 2)
    return np.fft.irfft(np.fft.rfft(noise) * bell, noise.size)


def per_sample(frames: Array) -> Array:
    """Linear between frame middles: (frames,) to (frames·80,)."""
    at = (np.arange(frames.size * FRAME) + 0.5) / FRAME - 0.5
    return np.interp(at, np.arange(frames.size), frames)


def scaled(samples: Array, rms: float) -> Array:
    """To this RMS; silence (a sentence without hisses) stays silence."""
    return samples * (rms / max(float(np.sqrt(np.mean(samples**2))), 1e-9))
