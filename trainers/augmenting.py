"""Augmented views of clips as supervised and contrastive training hear them (Gong et al. 2025 §2.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.audio import spectrogram, waveform
from trainers.audio.draws import generator
from trainers.audio.log_mel import log_mel
from trainers.speech import Speech

REACH = 1.5
"""Times the window that is heard before the augmentation: at its fastest (speed 1.15, stretch 1.4 at strength 1.5) the
clip still fills most of the window, and at strength 1 (1.1 · 1.25) all of it; it is cut afterwards (METHODS §3.2)."""


@dataclass(frozen=True)
class Augmentation:
    """Which kinds of augmentation are on, how strong, and what the encoder hears ("mel" or "waveform").

    Masks and vocal tract length are changes of a mel, so an encoder of waveforms goes without them.
    """

    speech: Speech
    hears: str
    kinds: Sequence[str]
    strength: float
    seed: int

    def view(self, numbers: Tensor, step: int, view: int) -> Tensor:
        """(batch, 80, frames) log-mels or (batch, samples) waveforms, the same for the same step and view."""
        source = generator(self.seed, "view", step, view)
        clean = self.speech.waveforms(numbers, torch.rand(len(numbers), generator=source), reach=REACH)
        chosen = tuple(kind for kind in self.kinds if kind in waveform.ALL_KINDS)
        heard = [
            waveform.augment(clip, strength=self.strength, seed=(self.seed, step, view, place), kinds=chosen)
            for place, clip in enumerate(clean)
        ]
        waveforms = torch.from_numpy(np.stack(heard)).to(self.speech.device)
        n_samples = self.speech.front_end.n_samples
        if self.hears == "waveform":
            return waveforms[:, :n_samples]
        mel = log_mel(waveforms, n_samples=n_samples)
        if "vtlp" in self.kinds:
            lengths = generator(self.seed, "vtlp", step, view)
            mel = spectrogram.vtlp(mel, strength=self.strength, generator=lengths)
        return self._masked(mel, source)

    def _masked(self, mel: Tensor, source: torch.Generator) -> Tensor:
        if "mask" not in self.kinds:
            return mel
        bands, frames = int(27 * self.strength), int(100 * self.strength)
        return spectrogram.mask(mel, bands=bands, frames=frames, generator=source)
