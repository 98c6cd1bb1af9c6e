"""Baseline: cross-entropy on the high-resource language, tested zero-shot (Gong et al. 2025 §2.2, §3.2)."""

import numpy as np
import torch
from torch import Tensor, nn

from trainers.audio import spectrogram, waveform
from trainers.audio.draws import generator
from trainers.audio.log_mel import log_mel
from trainers.batches import Balanced
from trainers.encoders import Head, SpeechEncoder
from trainers.losses import cross_entropy
from trainers.methods.configs import BaselineConfig
from trainers.speech import Speech

REACH = 1.5
"""Times the window that is heard before the augmentation: at its fastest (speed 1.15, stretch 1.4 at strength 1.5) the
clip still fills most of the window, and at strength 1 (1.1 · 1.25) all of it; it is cut afterwards (METHODS §3.2)."""


class Baseline(nn.Module):
    """Encoder and head, trained on augmented views of class-balanced labelled batches."""

    def __init__(
        self, config: BaselineConfig, encoder: SpeechEncoder, speech: Speech, labelled: Balanced, seed: int
    ) -> None:
        super().__init__()
        self.config, self.speech, self.labelled, self.seed = config, speech, labelled, seed
        self.online = encoder
        self.head = Head(encoder.dimensions, config.dropout)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss, `total`, which is the cross-entropy of all views."""
        numbers = self.labelled.draw(step)
        labels = self.speech.labels(numbers).to(self.speech.device)
        logits = self.head(
            self.online(torch.cat([self._view(numbers, step, view) for view in range(self.config.views)]))
        )
        loss = cross_entropy(logits, labels.repeat(self.config.views))
        return {"total": loss, "cross_entropy": loss}

    def _view(self, numbers: Tensor, step: int, view: int) -> Tensor:
        """(batch, 80, frames): waveform augmentation, log-mel, masks."""
        source = generator(self.seed, "view", step, view)
        clean = self.speech.waveforms(numbers, torch.rand(len(numbers), generator=source), reach=REACH)
        strength = self.config.strength
        heard = [
            waveform.augment(clip, strength=strength, seed=(self.seed, step, view, place))
            for place, clip in enumerate(clean)
        ]
        waveforms = torch.from_numpy(np.stack(heard)).to(self.speech.device)
        mel = log_mel(waveforms, n_samples=self.speech.front_end.n_samples)
        return spectrogram.mask(mel, bands=int(27 * strength), frames=int(100 * strength), generator=source)

    def after_step(self, _step: int) -> dict[str, float]:
        """Nothing follows the optimiser here."""
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        return [self.online], [self.head]

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and head that validation and test go through."""
        return self.online, self.head

    def others(self) -> dict[str, nn.Module]:
        """Other encoders worth scoring, by name: none."""
        return {}

    def facts(self, _steps: int) -> dict[str, float]:
        return {}
