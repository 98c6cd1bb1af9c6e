"""Which clips a step trains on: pure functions of (seed, step), so that a resumed run draws the same."""

from functools import lru_cache

import torch
from torch import Tensor

from trainers.audio.draws import generator
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError


def distinct(pool: Tensor, count: int, source: torch.Generator) -> Tensor:
    """`count` members of `pool`, distinct as long as the pool has that many, else each as often as any other."""
    rounds = -(-count // len(pool))
    drawn = [pool[torch.randperm(len(pool), generator=source)] for _ in range(rounds)]
    return torch.cat(drawn)[:count]


class Balanced:
    """Labelled batches with equally many clips of each emotion (Gong et al. 2025 §2.2).

    UserError where an emotion has no clip to train on.
    """

    def __init__(self, indices: Tensor, labels: Tensor, batch_size: int, seed: int) -> None:
        self.pools = [indices[labels == label] for label in range(len(EMOTIONS))]
        self.each, self.seed = batch_size // len(EMOTIONS), seed
        for emotion, pool in zip(EMOTIONS, self.pools, strict=True):
            if not len(pool):
                raise UserError(f"no labelled clip to train on is {emotion}; every batch needs all four emotions")

    def draw(self, step: int) -> Tensor:
        """The (batch,) utterance indices of this step, class by class."""
        source = generator(self.seed, "labelled", step)
        return torch.cat([distinct(pool, self.each, source) for pool in self.pools])


class TwoSources:
    """Unlabelled batches, half high-resource and half low-resource speech (METHODS FLAG 25)."""

    def __init__(self, high: Tensor, low: Tensor, batch_size: int, seed: int) -> None:
        self.high, self.low, self.half, self.seed = high, low, batch_size // 2, seed
        self.draw = lru_cache(maxsize=1024)(self._draw)

    def _draw(self, step: int) -> Tensor:
        """The (batch,) utterance indices of this step, the high-resource half first."""
        source = generator(self.seed, "unlabelled", step)
        return torch.cat([distinct(pool, self.half, source) for pool in (self.high, self.low)])
