"""Supervised training on labelled speech (Gong et al. 2025 §2.2, §3.2): the baseline, and others' second stage."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers import ranks
from trainers.augmenting import Augmentation
from trainers.batches import Balanced
from trainers.encoders import Encoder, Head
from trainers.losses import cross_entropy
from trainers.methods.adversary import SentenceAdversary
from trainers.methods.configs import BaselineConfig
from trainers.moving import onto
from trainers.pooling import PooledEncoder, parts
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
        everything = torch.cat(labelled.pools)
        self.adversary = (
            SentenceAdversary(speech, everything, encoder.dimensions, config.text_weight)
            if config.text == "adversarial"
            else None
        )
        self.weights = weights_by_gender(labelled.pools, speech) if config.class_weights == "gender" else None

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss, `total`, which is the cross-entropy of all views."""
        numbers = self.labelled.draw(step)
        labels = onto(self.speech.device, self.speech.labels(numbers))
        views = torch.cat(self.augmentation.views(self.labelled.draw, step, self.config.views))
        embedded = ranks.embedded(self.online, views)
        loss = self._cross_entropy(self.head(embedded), labels, numbers)
        if self.adversary is None:
            return {"total": loss, "cross_entropy": loss}
        told = self.adversary.loss(embedded, numbers.repeat(self.config.views))
        return {"total": loss + told, "cross_entropy": loss, "sentence": told}

    def _cross_entropy(self, logits: Tensor, labels: Tensor, numbers: Tensor) -> Tensor:
        views = self.config.views
        if self.weights is None:
            return cross_entropy(logits, labels.repeat(views))
        weights = onto(logits.device, torch.tensor([self.weights[number] for number in numbers.tolist()]))
        losses = functional.cross_entropy(logits.float(), labels.repeat(views), reduction="none")
        return (weights.repeat(views) * losses).mean()

    def after_step(self, _step: int) -> dict[str, float]:
        """Nothing follows the optimiser here."""
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        heads = [self.head, self.adversary] if self.adversary else [self.head]
        encoder, pool = parts(self.online)
        return [encoder], [*pool, *heads]

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """The clips as validation and test hear them: without augmentation."""
        return self.speech.heard(self.online.hears, numbers, starts)

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and head that validation and test go through."""
        return self.online, self.head

    def others(self) -> dict[str, nn.Module]:
        """Other encoders worth scoring, by name: none."""
        return {}

    def facts(self, _steps: int) -> dict[str, float]:
        return {}


def weights_by_gender(pools: Sequence[Tensor], speech: Speech) -> dict[int, float]:
    """Clip -> weight with which women and men weigh the same within each emotion; the mean of an emotion's is 1.

    `pools`: the clips of each emotion. A clip of g of the G genders of an emotion (unknown is one of them) weighs
    n / (G · n_g). A gender that an emotion lacks altogether (an angry woman in URDU) no weight can make up for.
    """
    weights: dict[int, float] = {}
    for pool in pools:
        genders = {number: speech.prepared.utterances[number].gender for number in pool.tolist()}
        counts = Counter(genders.values())
        weights |= {number: len(genders) / (len(counts) * counts[gender]) for number, gender in genders.items()}
    return weights
