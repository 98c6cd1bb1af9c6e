"""Pairwise-CL (Khaertdinov et al. 2024): views of a clip learn to agree, then one of them classifies with few labels.

The frozen speech encoder behind the view `layers` is part of the inputs: nothing here trains or stores it.
"""

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import ranks
from trainers.audio.draws import generator
from trainers.batches import Balanced, distinct
from trainers.encoders import Head
from trainers.errors import UserError
from trainers.evaluation import BATCH
from trainers.freezing import as_if_frozen
from trainers.losses import cross_entropy, pair_counts, pairwise_nt_xent
from trainers.methods.configs import PairwiseConfig
from trainers.methods.view_inputs import Inputs
from trainers.methods.views import DIMENSIONS, Views, projection
from trainers.moving import onto
from trainers.scores import pwcca, shuffled_pwcca
from trainers.speech import Speech

CLIPS_PER_DIRECTION = 5
"""PWCCA is of so many principal directions that there are five clips for each: chance would else be near 1."""

Floats = NDArray[np.floating]


class ClipBatches:
    """Batches of distinct clips, without their labels; at most as many as there are. UserError for fewer than two."""

    def __init__(self, numbers: Tensor, batch_size: int, seed: int) -> None:
        if len(numbers) < 2:
            raise UserError(f"{len(numbers)} clips to pre-train on; views are told apart from those of another clip")
        self.numbers, self.count, self.seed = numbers, min(batch_size, len(numbers)), seed

    def draw(self, step: int) -> Tensor:
        """(batch,) utterance numbers of this step."""
        return distinct(self.numbers, self.count, generator(self.seed, "viewed clips", step))


class ViewContrast(nn.Module):
    """The stage: an encoder and a projection for each view; views of one clip attract, of two clips repel.

    Clips come as they are: their views are the contrast, and no augmentation is (our default). `valid` (clips,): on
    these, which it does not learn from, it is told afterwards how alike the views have become.
    """

    def __init__(
        self, config: PairwiseConfig, views: Views, inputs: Inputs, batches: ClipBatches, valid: Tensor
    ) -> None:
        super().__init__()
        self.config, self.inputs, self.batches, self.valid = config, inputs, batches, valid
        self.online = views
        self.projections = nn.ModuleDict({name: projection(DIMENSIONS) for name in config.view_names})

    def losses(self, step: int) -> dict[str, Tensor]:
        """Pairwise NT-Xent of the step's clips, summed over the pairs of views."""
        numbers = self.batches.draw(step)
        projected = [self.projections[name](self._embedded(name, numbers)) for name in self.config.view_names]
        loss = pairwise_nt_xent(projected, self.config.temperature, intra_view=self.config.intra_view)
        return {"total": loss, "pairwise": loss}

    def _embedded(self, name: str, numbers: Tensor) -> Tensor:
        network = self.online.networks[name]
        return ranks.embedded(lambda own: network(self.inputs.of(name, own)), numbers)

    def after_step(self, _step: int) -> dict[str, float]:
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate (none: the views begin from nothing) and at the head's."""
        return [], [self.online, self.projections]

    def product(self) -> nn.Module:
        """What the stage leaves behind: the views' encoders."""
        return self.online

    def hear(self, numbers: Tensor, _starts: Tensor | None = None) -> dict[str, Tensor]:
        """The inputs of all views: always of the same window."""
        return {name: self.inputs.of(name, numbers) for name in self.config.view_names}

    def facts(self, steps: int) -> dict[str, float]:
        """How many clips it heard, how many pairs a batch really has, and PWCCA of every two views beside chance."""
        numbers = self.batches.draw(0)
        views = len(self.config.view_names)
        counts = contrast_counts(numbers, views, intra_view=self.config.intra_view)
        clips = float(len(self.batches.numbers))
        heard = {"clips": clips, "passes": steps * len(numbers) / clips}
        return {**counts, **heard, **self._agreements()}

    @torch.no_grad()
    def _agreements(self) -> dict[str, float]:
        with as_if_frozen(self):
            rows = {name: self._representations(name) for name in self.config.view_names}
        found = {}
        for a, b in combinations(self.config.view_names, 2):
            found[f"pwcca/{a}-{b}"], found[f"pwcca_chance/{a}-{b}"] = alikeness(rows[a], rows[b], self.batches.seed)
        return found

    def _representations(self, name: str) -> Floats:
        network = self.online.networks[name]
        parts = [network(self.inputs.of(name, batch)).double().cpu() for batch in self.valid.split(BATCH)]
        return torch.cat(parts).numpy()


def contrast_counts(numbers: Tensor, views: int, *, intra_view: bool) -> dict[str, float]:
    """What a batch of clips offers: its `embeddings`, and how many positives and negatives an anchor has in each pair
    of views, mean and least."""
    counts = pair_counts(numbers.repeat(2))  # SimCLR's, of two views together
    if not intra_view:
        same = numbers[:, None] == numbers
        for name, pairs in (("positives", same), ("negatives", ~same)):
            of_anchor = pairs.sum(1).double()
            counts |= {f"{name}_mean": float(of_anchor.mean()), f"{name}_min": float(of_anchor.min())}
    return {**counts, "embeddings": float(len(numbers) * views), "view_pairs": views * (views - 1) / 2}


def alikeness(x: Floats, y: Floats, seed: int) -> tuple[float, float]:
    """PWCCA of two views' representations of the same clips, (n, d) each, and its mean over shuffled clips.

    Both sides are first cut to their n / 5 strongest principal directions (ours; as SVCCA does, Raghu et al. 2017).
    NaN where there are too few clips, or a view that is the same for all of them.
    """
    directions = max(1, len(x) // CLIPS_PER_DIRECTION)
    try:
        one, other = principal(x, directions), principal(y, directions)
        return pwcca(one, other), float(shuffled_pwcca(one, other, seed).mean())
    except UserError:
        return float("nan"), float("nan")


def principal(rows: Floats, directions: int) -> Floats:
    """(n, d) in its strongest principal directions: (n, at most `directions`)."""
    left, lengths, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found: Floats = left[:, :directions] * lengths[:directions]
    return found


class PairwiseClassifier(nn.Module):
    """Encoders of one view or of all, side by side, and a head, trained on labelled clips as they are.

    The head is the one that all methods here have (two layers; the paper's classifier is not known to us). The views'
    weights come from the stage; without it this is the twin that is trained from scratch, the same otherwise.
    """

    def __init__(
        self, config: PairwiseConfig, views: Views, inputs: Inputs, speech: Speech, labelled: Balanced
    ) -> None:
        super().__init__()
        self.config, self.inputs, self.speech, self.labelled = config, inputs, speech, labelled
        self.online = views
        self.head = Head(DIMENSIONS * len(config.classified), config.dropout)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The step's loss, `total`, which is the cross-entropy of its labelled clips."""
        numbers = self.labelled.draw(step)
        labels = onto(self.speech.device, self.speech.labels(numbers))
        loss = cross_entropy(self.head(self._embedded(numbers)), labels)
        return {"total": loss, "cross_entropy": loss}

    def _embedded(self, numbers: Tensor) -> Tensor:
        if not self.config.freeze_encoder:
            return ranks.embedded(lambda own: self.online(self.hear(own)), numbers)
        with as_if_frozen(self.online):
            return ranks.embedded(lambda own: self.online(self.hear(own)), numbers)

    def after_step(self, _step: int) -> dict[str, float]:
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate (none) and at the head's."""
        views = [] if self.config.freeze_encoder else [self.online.networks[name] for name in self.config.classified]
        return [], [*views, self.head]

    def hear(self, numbers: Tensor, _starts: Tensor | None = None) -> dict[str, Tensor]:
        """The inputs of the views that classify: always of the same window."""
        return {name: self.inputs.of(name, numbers) for name in self.config.classified}

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoders and head that validation and test go through."""
        return self.online, self.head

    def others(self) -> dict[str, nn.Module]:
        """Other encoders worth scoring, by name: none."""
        return {}

    def facts(self, steps: int) -> dict[str, float]:
        """How many labelled clips it learned from, and how often it heard them."""
        clips = sum(len(pool) for pool in self.labelled.pools)
        heard = steps * self.labelled.each * len(self.labelled.pools)
        return {"labelled_clips": float(clips), "passes_over_labelled": heard / clips}
