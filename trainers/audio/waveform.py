"""Augmentation of waveforms (Gong et al. 2025 §2.1): speed, stretch, gain, noise, polarity, in this order.

The paper gives the operations and the range of the noise; all other ranges are METHODS §3.2's and §10's defaults.
Pitch is ours: the paper has no such operation.
"""

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainers.audio.draws import numpy_generator, stable_seed
from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.errors import unknown

if TYPE_CHECKING:  # imported where they are called: only some methods hear waveforms otherwise
    from audiomentations import PitchShift
    from audiomentations.core.transforms_interface import BaseWaveformTransform

KINDS = ("speed", "stretch", "gain", "noise", "polarity")
"""The paper's operations, in the order in which they are applied; a clip gets all of them by default."""

ALL_KINDS = ("speed", "pitch", "stretch", "gain", "noise", "polarity")
"""All that there are, in the order in which they are applied."""

_one_at_a_time = Lock()


def augment(
    samples: NDArray[np.float32], *, strength: float, seed: tuple[int, ...], kinds: Collection[str] = KINDS
) -> NDArray[np.float32]:
    """(n,) float32 to (n,) float32; the same for the same `seed`, which names seed, step and clip.

    `speed`: played at 1 − .1s, 1 or 1 + .1s times its speed. Then, each in half of the cases, `pitch`: moved by
    U(−2s, 2s) semitones at constant tempo; `stretch`: stretched by U(1.25^−s, 1.25^s) at constant pitch; `gain`:
    U(−12s, 12s) dB; `noise`: Gaussian, U(20 − 10s, 30 − 10s) dB below the clip; `polarity`: inverted. Whatever becomes
    longer is cut at the end, shorter is followed by zeros. s = 0: no change.

    `kinds`: those that are applied. What one of them draws does not depend on which others are; so leaving one out
    changes nothing else. UserError names a kind that there is not.
    """
    for kind in kinds:
        if kind not in ALL_KINDS:
            raise unknown("augmentation", kind, ALL_KINDS)
    if strength == 0:
        return samples
    if "speed" in kinds:
        samples = at_speed(samples, 1 + 0.1 * strength * int(numpy_generator(*seed, "speed").integers(-1, 2)))
    if "pitch" in kinds:
        with _global_seeds(stable_seed(*seed, "pitch")):
            samples = _pitch(strength)(samples, sample_rate=SAMPLE_RATE_HZ)
    with _global_seeds(stable_seed(*seed, "waveform")):
        samples = _drawn_and_applied(_chain(strength), samples, kinds)
    return samples.astype(np.float32, copy=False)


def _drawn_and_applied(
    chain: "dict[str, BaseWaveformTransform]", samples: NDArray[np.float32], kinds: Collection[str]
) -> NDArray[np.float32]:
    """All kinds draw, one after the other, but only those asked for are applied: the others leave a gap, no shift."""
    random.random()  # the draw of the Compose that these kinds once stood in; without it all views would change
    for kind, transform in chain.items():
        transform.randomize_parameters(samples, SAMPLE_RATE_HZ)
        if kind in kinds and transform.parameters["should_apply"]:
            samples = transform.apply(samples, SAMPLE_RATE_HZ)
    return samples


def at_speed(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """(n,) played at `rate` times its speed, pitch and tempo alike (Ko et al. 2015), cut or zero-padded to (n,)."""
    if rate == 1:
        return samples
    import soxr

    played = soxr.resample(samples, SAMPLE_RATE_HZ * rate, SAMPLE_RATE_HZ)[: len(samples)]
    return np.pad(played, (0, len(samples) - len(played)))


@lru_cache
def _chain(strength: float) -> "dict[str, BaseWaveformTransform]":
    from audiomentations import AddGaussianSNR, Gain, PolarityInversion, TimeStretch

    return {
        "stretch": TimeStretch(1.25**-strength, 1.25**strength, leave_length_unchanged=True, p=0.5),
        "gain": Gain(-12 * strength, 12 * strength, p=0.5),
        "noise": AddGaussianSNR(20 - 10 * strength, 30 - 10 * strength, p=0.5),
        "polarity": PolarityInversion(p=0.5),
    }


@lru_cache
def _pitch(strength: float) -> "PitchShift":
    from audiomentations import PitchShift

    return PitchShift(-2 * strength, 2 * strength, p=0.5)


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
