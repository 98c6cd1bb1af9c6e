"""Augmentation of waveforms (Gong et al. 2025 §2.1): speed, stretch, gain, noise, polarity, in this order.

The paper gives the operations and the range of the noise; all other ranges are METHODS §3.2's and §10's defaults.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

import numpy as np
import soxr
from audiomentations import AddGaussianSNR, Compose, Gain, PolarityInversion, TimeStretch
from numpy.typing import NDArray

from trainers.audio.draws import numpy_generator, stable_seed
from trainers.audio.front_end import SAMPLE_RATE_HZ

_one_at_a_time = Lock()


def augment(samples: NDArray[np.float32], *, strength: float, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """(n,) float32 to (n,) float32; the same for the same `seed`, which names seed, step and clip.

    Played at 1 − .1s, 1 or 1 + .1s times its speed; then, each in half of the cases, stretched by
    U(1.25^−s, 1.25^s) at constant pitch, gain U(−12s, 12s) dB, Gaussian noise at U(20 − 10s, 30 − 10s) dB below the
    clip, polarity inverted. Whatever becomes longer is cut at the end, shorter is followed by zeros. s = 0: no change.
    """
    if strength == 0:
        return samples
    rate = 1 + 0.1 * strength * int(numpy_generator(*seed, "speed").integers(-1, 2))
    played = at_speed(samples, rate)
    with _global_seeds(stable_seed(*seed, "waveform")):
        augmented: NDArray[np.float32] = _chain(strength)(played, sample_rate=SAMPLE_RATE_HZ)
    return augmented.astype(np.float32, copy=False)


def at_speed(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """(n,) played at `rate` times its speed, pitch and tempo alike (Ko et al. 2015), cut or zero-padded to (n,)."""
    if rate == 1:
        return samples
    played = soxr.resample(samples, SAMPLE_RATE_HZ * rate, SAMPLE_RATE_HZ)[: len(samples)]
    return np.pad(played, (0, len(samples) - len(played)))


@lru_cache
def _chain(strength: float) -> Compose:
    return Compose(
        [
            TimeStretch(1.25**-strength, 1.25**strength, leave_length_unchanged=True, p=0.5),
            Gain(-12 * strength, 12 * strength, p=0.5),
            AddGaussianSNR(20 - 10 * strength, 30 - 10 * strength, p=0.5),
            PolarityInversion(p=0.5),
        ]
    )


@contextmanager
def _global_seeds(seed: int) -> Iterator[None]:
    """Seed the two global streams that audiomentations draws from, and put them back as they were.

    One clip at a time, or threads would draw from each other's seeds.
    """
    with _one_at_a_time:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
