"""CL's first stage: the encoder learns to tell speakers apart (Gong et al. 2025 §2.2). The second is the baseline's."""

import torch
from torch import Tensor, nn

from trainers import ranks
from trainers.augmenting import Augmentation
from trainers.batches import SpeakerBatches
from trainers.encoders import Encoder
from trainers.losses import nt_xent, pair_counts
from trainers.methods.configs import ClConfig
from trainers.pooling import PooledEncoder, parts
from trainers.speech import Speech


def projection_head(inputs: int, outputs: int) -> nn.Module:
    """SimCLR's projection: linear, ReLU, linear; with 0 outputs none, as in Gong et al. 2025."""
    if not outputs:
        return nn.Identity()
    return nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, outputs))


class SpeakerContrast(nn.Module):
    """Each clip clean and augmented; two views of one speaker attract, of two speakers repel (eq. 1)."""

    def __init__(
        self, config: ClConfig, encoder: Encoder | PooledEncoder, speech: Speech, batches: SpeakerBatches, seed: int
    ) -> None:
        super().__init__()
        self.config, self.speech, self.batches = config, speech, batches
        self.augmentation = Augmentation(speech, encoder.hears, config.augmentations, config.adapt_strength, seed)
        self.online = encoder
        self.projection = projection_head(encoder.dimensions, config.adapt_projection)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The contrastive loss of the step's clips, clean and augmented."""
        numbers, speakers = self.batches.draw(step)
        clean = self.speech.heard(self.online.hears, numbers, self.batches.starts(step))
        augmented = self.augmentation.views(lambda step: self.batches.draw(step)[0], step, 1)
        embedded = ranks.embedded(self.online, torch.cat([clean, *augmented]))
        loss = nt_xent(self.projection(embedded), speakers.repeat(2), self.config.temperature, self.config.denominator)
        return {"total": loss, "nt_xent": loss}

    def after_step(self, _step: int) -> dict[str, float]:
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        encoder, pool = parts(self.online)
        return [encoder], [*pool, self.projection]

    def product(self) -> nn.Module:
        """What the stage leaves behind: the encoder, with its pooling."""
        return self.online

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """The clips without augmentation."""
        return self.speech.heard(self.online.hears, numbers, starts)

    def facts(self, steps: int) -> dict[str, float]:
        """How many clips and speakers it heard, and how many pairs a batch really has, by its first one."""
        numbers, speakers = self.batches.draw(0)
        counts = pair_counts(speakers.repeat(2))
        heard = {"speakers": float(len(self.batches.pools)), "clips": float(self.batches.clips)}
        return {**counts, **heard, "passes": steps * len(numbers) / self.batches.clips}
