"""SupCon's first stage: emotions are told apart across corpora and languages (Xiang 2024; Khosla et al. 2020).

The second stage is the baseline's, with a frozen or a training encoder and mean or self-attention pooling.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainers import ranks
from trainers.audio.draws import generator
from trainers.augmenting import Augmentation
from trainers.batches import EmotionBatches
from trainers.corpora.utterance import EMOTIONS
from trainers.encoders import Encoder
from trainers.errors import UserError
from trainers.losses import info_nce, pair_counts, sup_con
from trainers.margin_losses import cosface, cosine_pairs, cosine_triplets
from trainers.methods.cl import projection_head
from trainers.methods.configs import SupConConfig
from trainers.moving import onto
from trainers.pooling import PooledEncoder, parts
from trainers.speech import Speech


class EmotionContrast(nn.Module):
    """Two augmented views of each clip; views of one emotion attract, whatever their corpus or language.

    The contrastive loss is taken after a projection head that is dropped afterwards, the margin loss on the embedding
    itself (our choice; the paper does not say).
    """

    def __init__(
        self, config: SupConConfig, encoder: Encoder | PooledEncoder, speech: Speech, batches: EmotionBatches, seed: int
    ) -> None:
        super().__init__()
        self.config, self.speech, self.batches, self.seed = config, speech, batches, seed
        self.augmentation = Augmentation(speech, encoder.hears, config.augmentations, config.adapt_strength, seed)
        self.online = encoder
        self.projection = projection_head(encoder.dimensions, config.adapt_projection)
        self.classes = nn.Linear(encoder.dimensions, len(EMOTIONS), bias=False)
        if config.positives == "other-text":
            self.texts = _texts(speech, list(batches.known))

    def losses(self, step: int) -> dict[str, Tensor]:
        """The contrastive loss, plus the margin loss times its weight."""
        numbers, emotions, corpora = self.batches.draw(step)
        views = torch.cat(self.augmentation.views(lambda step: self.batches.draw(step)[0], step, 2))
        embedded = ranks.embedded(self.online, views)
        labels = emotions.repeat(2)
        allowed = self.allowed(numbers, labels, corpora.repeat(2))
        contrast = self._contrast(self.projection(embedded), labels, allowed, step)
        if not self.config.margin_weight:
            return {"total": contrast, "contrast": contrast}
        margin = self._margin(embedded, labels, allowed)
        return {"total": contrast + self.config.margin_weight * margin, "contrast": contrast, "margin": margin}

    def allowed(self, numbers: Tensor, labels: Tensor, corpora: Tensor) -> Tensor | None:
        """Which pairs of views may be positives, beside having one emotion; None is all. `numbers` (n,) of the clips,
        `labels` and `corpora` (2n,) of their views. Clips of further emotions are negatives only."""
        chosen, known = self._chosen(numbers, corpora), labels < len(EMOTIONS)
        if known.all():
            return chosen
        of_the_four = known[:, None] & known
        return of_the_four if chosen is None else chosen & of_the_four

    def _chosen(self, numbers: Tensor, corpora: Tensor) -> Tensor | None:
        """By `positives`: two views of one clip always may attract, unless it takes another text."""
        if self.config.positives == "any":
            return None
        if self.config.positives == "other-text":
            texts = self.texts[numbers].repeat(2)
            return texts[:, None] != texts
        same = corpora[:, None] == corpora
        own_view = torch.eye(len(corpora) // 2, dtype=torch.bool).repeat(2, 2)
        return same if self.config.positives == "same-corpus" else ~same | own_view

    def _contrast(self, z: Tensor, labels: Tensor, allowed: Tensor | None, step: int) -> Tensor:
        temperature = self.config.temperature
        if self.config.contrast == "sup_con":
            return sup_con(z, labels, temperature, allowed=allowed)
        drawn = generator(self.seed, "positives", step)
        return info_nce(z, labels, temperature, generator=drawn, allowed=allowed)

    def _margin(self, embedded: Tensor, labels: Tensor, allowed: Tensor | None) -> Tensor:
        match self.config.margin_form:
            case "pairs":
                return cosine_pairs(embedded, labels, self.config.margin, allowed=allowed)
            case "triplets":
                return cosine_triplets(embedded, labels, self.config.margin, allowed=allowed)
            case _:
                known = (labels < len(EMOTIONS)).nonzero().flatten()  # a further emotion is no class to be learned
                own = embedded[onto(embedded.device, known)]
                return cosface(own, onto(own.device, labels[known]), self.classes.weight, self.config.margin)

    def after_step(self, _step: int) -> dict[str, float]:
        return {}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        encoder, pool = parts(self.online)
        return [encoder], [*pool, self.projection, self.classes]

    def product(self) -> nn.Module:
        """What the stage leaves behind: the encoder, with its pooling."""
        return self.online

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """The clips without augmentation."""
        return self.speech.heard(self.online.hears, numbers, starts)

    def facts(self, steps: int) -> dict[str, float]:
        """How many clips and corpora it heard, and how many pairs a batch really has, by its first one."""
        numbers, emotions, corpora = self.batches.draw(0)
        labels = emotions.repeat(2)
        counts = pair_counts(labels, self.allowed(numbers, labels, corpora.repeat(2)))
        heard = {"corpora": float(len(self.batches.corpora)), "clips": float(self.batches.clips)}
        return {**counts, **heard, "passes": steps * len(numbers) / self.batches.clips}


def _texts(speech: Speech, heard: Sequence[int]) -> Tensor:
    """(clips of all corpora,) the number of each one's sentence; UserError where a clip that is heard tells none."""
    clips = speech.prepared.utterances
    for number in heard:
        if not clips[number].text:
            raise UserError(f"positives=other-text needs the sentence of every clip; {clips[number].id!r} tells none")
    said = [(clip.language, clip.text) for clip in clips]
    places = {text: place for place, text in enumerate(sorted(set(said)))}
    return torch.tensor([places[text] for text in said])
