"""Supervised training on labelled speech (Gong et al. 2025 §2.2, §3.2): the baseline, and others' second stage."""

import torch
from torch import Tensor, nn

from trainers import ranks
from trainers.augmenting import Augmentation
from trainers.batches import Balanced
from trainers.encoders import Encoder, Head
from trainers.losses import cross_entropy
from trainers.methods.configs import BaselineConfig
from trainers.pooling import PooledEncoder
from trainers.speech import Speech


class Baseline(nn.Module):
    """Encoder and head, trained on augmented views of class-balanced labelled batches.

    The encoder is the pretrained one, or what a first stage made of it: then this is the second stage of CL or SupCon.
    """

    def __init__(
        self,
        config: BaselineConfig,
        encoder: Encoder | PooledEncoder,
        speech: Speech,
        labelled: Balanced,
        seed: int,
    ) -> None:
        super().__init__()
        self.config, self.speech, self.labelled = config, speech, labelled
        self.augmentation = Augmentation(speech, encoder.hears, config.augmentations, config.strength, seed)
        self.online = encoder
        self.head = Head(encoder.dimensions, config.dropout)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss, `total`, which is the cross-entropy of all views."""
        numbers = self.labelled.draw(step)
        labels = self.speech.labels(numbers).to(self.speech.device)
        views = torch.cat([self.augmentation.view(numbers, step, view) for view in range(self.config.views)])
        logits = self.head(ranks.embedded(self.online, views))
        loss = cross_entropy(logits, labels.repeat(self.config.views))
        return {"total": loss, "cross_entropy": loss}

    def after_step(self, _step: int) -> dict[str, float]:
        """Nothing follows the optimiser here."""
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        if isinstance(self.online, PooledEncoder):
            return [self.online.encoder], [self.online.pool, self.head]
        return [self.online], [self.head]

    def hear(self, numbers: Tensor) -> Tensor:
        """The clips as validation and test hear them: without augmentation."""
        return self.speech.heard(self.online.hears, numbers)

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and head that validation and test go through."""
        return self.online, self.head

    def others(self) -> dict[str, nn.Module]:
        """Other encoders worth scoring, by name: none."""
        return {}

    def facts(self, _steps: int) -> dict[str, float]:
        return {}
