"""The 88 handcrafted features of a voice, eGeMAPSv02 (Eyben et al. 2016), by the optional package openSMILE.

    pip install -c constraints.txt -e '.[egemaps]'

openSMILE is free for research and not for commercial use (audEERING's licence); nothing else here needs it.
"""

import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.errors import UserError

FEATURES = 88
_SHORTEST = 960
"""Samples (60 ms) below which openSMILE's longest frame does not fit and it gives NaN."""
_THREADS = 4
_SAME = 1e-6
"""Features that vary by less than this share of their size vary by rounding."""


def require_installed() -> None:
    """UserError where openSMILE is not there; to be asked before anything is trained."""
    _smile()


def names() -> tuple[str, ...]:
    """The names of the 88 features, in their order; UserError where openSMILE is not there."""
    return tuple(_smile().feature_names)


def functionals(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) at 16 kHz to the 88 functionals of the whole clip; finite for silence and for clips of any length too.

    Zeros at the end, by which the front end fills its window, are taken off first: they would make a short clip one
    with a long pause. A clip below 60 ms is filled with zeros up to that. Both are ours. UserError without openSMILE.
    """
    speech = np.trim_zeros(np.asarray(samples, np.float32), "b")
    speech = np.pad(speech, (0, max(0, _SHORTEST - len(speech))))
    found: NDArray[np.float32] = _smile()(speech, SAMPLE_RATE_HZ)[0, :, 0]
    return found


@dataclass
class Functionals:
    """The functionals of utterances by their numbers, computed once (about 75 ms of one core for 3 s of speech).

    `waveforms`: (k,) utterance numbers to (k, n) waveforms, as `Speech.waveforms`.
    """

    waveforms: Callable[[Tensor], NDArray[np.float32]]
    _found: dict[int, Tensor] = field(default_factory=dict)

    def of(self, numbers: Tensor) -> Tensor:
        """(k,) utterance numbers to (k, 88) float32 on the CPU, not yet z-scored; UserError without openSMILE."""
        require_installed()
        missing = [number for number in dict.fromkeys(numbers.tolist()) if number not in self._found]
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
            self._found |= zip(missing, threads.map(self._compute, missing), strict=True)
        return torch.stack([self._found[number] for number in numbers.tolist()])

    def _compute(self, number: int) -> Tensor:
        return torch.from_numpy(functionals(self.waveforms(torch.tensor([number]))[0]))


class ZScore(nn.Module):
    """(k, 88) in the training clips' standard deviations from their mean; 0 where these have one and the same value.

    `training` (clips, 88): the clips that the statistics are of, never validation's or test's (METHODS §7). The
    statistics are buffers, so that they are kept with the weights that were trained on them.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, training: Tensor) -> None:
        super().__init__()
        values = training.double()
        mean, deviation = values.mean(0), values.std(0, correction=0)
        varies = deviation > _SAME * values.abs().amax(0)
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", torch.where(varies, 1 / deviation, 0.0).float())

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale


@lru_cache
def _smile() -> Any:
    try:
        opensmile = importlib.import_module("opensmile")
    except (ImportError, OSError) as error:  # OSError: its library is not for this machine
        install = "pip install -c constraints.txt -e '.[egemaps]'"
        raise UserError(f"eGeMAPS features need the package opensmile ({error}); {install}") from error
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
