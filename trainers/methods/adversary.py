"""An embedding that does not tell which sentence was said: gradient reversal (Ganin & Lempitsky 2015)."""

from typing import Any

import torch
from torch import Tensor, nn

from trainers.errors import UserError
from trainers.losses import cross_entropy
from trainers.moving import onto
from trainers.speech import Speech


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, weight: float) -> Tensor:
        context.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -context.weight * gradients[0], None


def reversed_gradient(values: Tensor, weight: float) -> Tensor:
    """The values as they are; the gradient that comes back is multiplied by −weight (Ganin & Lempitsky, eq. 11)."""
    apply: Any = _Reversal.apply  # torch gives it no types
    reversed_: Tensor = apply(values, weight)
    return reversed_


class SentenceAdversary(nn.Module):
    """A head that learns to tell the sentence from the embedding, while the encoder unlearns it.

    The encoder's share is scaled by a fixed `weight`; the paper lets it rise from 0 (our default is without a rise,
    so that runs of different lengths have the same). `labelled`: (n,) the clips that are trained on. UserError where
    these say fewer than two sentences, or their corpus does not tell.
    """

    def __init__(self, speech: Speech, labelled: Tensor, dimensions: int, weight: float) -> None:
        super().__init__()
        self.speech, self.weight = speech, weight
        texts = set(_each(speech, labelled))
        self.places = {text: place for place, text in enumerate(sorted(texts))}
        if len(texts) < 2 or ("", "") in texts:
            raise UserError(f"text=adversarial needs labelled clips of two sentences or more; {_said(texts)}")
        self.head = nn.Sequential(nn.Linear(dimensions, dimensions), nn.ReLU(), nn.Linear(dimensions, len(texts)))

    def loss(self, embedded: Tensor, numbers: Tensor) -> Tensor:
        """Cross-entropy of the sentences of clips `numbers` (n,), given their embeddings (n, d)."""
        said = torch.tensor([self.places[text] for text in _each(self.speech, numbers)])
        return cross_entropy(self.head(reversed_gradient(embedded, self.weight)), onto(embedded.device, said))


def _each(speech: Speech, numbers: Tensor) -> list[tuple[str, str]]:
    """Of each clip its language and its sentence, ("", "") where that is not told."""
    clips = [speech.prepared.utterances[number] for number in numbers.tolist()]
    return [(clip.language, clip.text) if clip.text else ("", "") for clip in clips]


def _said(texts: set[tuple[str, str]]) -> str:
    return "of some here the sentence is not told" if ("", "") in texts else f"here they say {len(texts)}"
