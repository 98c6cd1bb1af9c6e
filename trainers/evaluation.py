"""Scoring a trained method on the parts of its split, through any of its encoders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers.result import Scores
from trainers.scores import Score, score
from trainers.speech import Speech
from trainers.split import Split

BATCH = 64

Predictions = dict[str, NDArray[np.int64]]
"""Part ("valid/hrl", "test/urdu", "whole/urdu") -> (n,) class numbers, in the order of the split's ids."""


class Classifier(Protocol):
    """A method that can classify."""

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and head that classify."""

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Any:
        """Clips as the encoder takes them, without augmentation; `starts` places their windows."""

    def eval(self) -> Any: ...


@dataclass
class Evaluation:
    """The clips of a cell's split and how their predictions are scored."""

    speech: Speech
    split: Split

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """All clips that are scored, by part."""
        groups = ("valid", "test", "whole")
        return {f"{group}/{name}": ids for group in groups for name, ids in getattr(self.split, group).items()}

    @torch.no_grad()
    def predict(
        self, method: Classifier, encoder: nn.Module | None = None, only: Sequence[str] | None = None
    ) -> Predictions:
        """Predictions of all parts, or only some, by the method's inference path or through another encoder."""
        inference, head = method.inference()
        through = encoder or inference
        chosen = {part: ids for part, ids in self.parts.items() if only is None or part in only}
        return {part: self._outputs(ids, method, through, head)[0].numpy() for part, ids in chosen.items()}

    @torch.no_grad()
    def predict_embedded(self, method: Classifier) -> tuple[Predictions, dict[str, Tensor]]:
        """Predictions of all parts by the method's inference path, and (n, d) embeddings of those that are tested."""
        found = {part: self._outputs(ids, method, *method.inference()) for part, ids in self.parts.items()}
        embedded = {part: rows for part, (_, rows) in found.items() if not part.startswith("valid/")}
        return {part: classes.numpy() for part, (classes, _) in found.items()}, embedded

    @property
    def compared(self) -> list[str]:
        """The parts on which further evaluators are scored too: what chooses, and the target languages' tests."""
        low = [name for name in self.split.unlabelled or self.split.whole if name in self.split.test]
        return [f"valid/{self.split.selector}", *(f"test/{name}" for name in low or self.split.test)]

    def _outputs(
        self, ids: Sequence[str], method: Classifier, encoder: nn.Module, head: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """(n,) class numbers and (n, d) embeddings; of a clip in windows, of its mean logits and its mean embedding."""
        method.eval()
        found = [self._of_batch(batch, method.hear, encoder, head) for batch in self.speech.numbers(ids).split(BATCH)]
        logits, embedded = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logits.argmax(1).cpu(), embedded.float().cpu()

    def _of_batch(
        self, batch: Tensor, hear: Callable[..., Any], encoder: nn.Module, head: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """(n, classes) logits and (n, d) embeddings."""
        if self.speech.front_end.crop != "chunks":
            embedded: Tensor = encoder(hear(batch))
            return head(embedded), embedded
        places, starts = self.speech.windows(batch)
        embedded = encoder(hear(batch[places], starts))
        return _averaged(head(embedded), places, len(batch)), _averaged(embedded, places, len(batch))

    def scores(self, predictions: Predictions, only: Sequence[str] | None = None) -> Scores:
        """The score of each part that was predicted, or of some of them."""
        every = self.parts
        return {part: self._score(every[part], predictions[part]) for part in only or predictions}

    def _score(self, ids: Sequence[str], classes: NDArray[np.int64]) -> Score:
        genders = [self.speech.prepared.utterances[self.speech.prepared.index[name]].gender for name in ids]
        return score(self.speech.labels(self.speech.numbers(ids)).numpy(), classes, genders)

    def rows(self, predictions: Predictions, others: Mapping[str, Predictions]) -> list[dict[str, Any]]:
        """One row per clip of the test and whole parts, with what further evaluators said of it, where they did."""
        rows = []
        for part, ids in self.parts.items():
            if part.startswith("valid/"):
                continue
            for place, name in enumerate(ids):
                said = {other: int(found[part][place]) for other, found in others.items() if part in found}
                rows.append(self._row(part, name) | {"predicted": int(predictions[part][place])} | said)
        return rows

    def _row(self, part: str, name: str) -> dict[str, Any]:
        clip = self.speech.prepared.utterances[self.speech.prepared.index[name]]
        labels = {"language": clip.language, "speaker": clip.speaker, "gender": clip.gender, "emotion": clip.emotion}
        return {"part": part, "id": name, **labels}


def _averaged(rows: Tensor, places: Tensor, clips: int) -> Tensor:
    """(clips, d): the mean of the windows that cover each clip."""
    where = places.to(rows.device)
    summed = rows.new_zeros(clips, rows.shape[1]).index_add_(0, where, rows)
    return summed / torch.bincount(where, minlength=clips)[:, None]


def group(name: str, scores: Scores) -> Scores:
    """The scores of one group of parts, by what follows the stroke: "test" of {"test/urdu": …} is {"urdu": …}."""
    return {part.split("/", 1)[1]: value for part, value in scores.items() if part.startswith(name + "/")}


def agreement(one: Predictions, other: Predictions, part: str) -> float:
    """Share of a part's clips that both classify alike."""
    return float(np.mean(one[part] == other[part]))
