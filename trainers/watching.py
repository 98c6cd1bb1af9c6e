"""Looks at a training's embeddings now and then: at step 0, at some of its validations, and at its end.

What is looked at are fixed clips of the training speech, those whose names have the smallest hashes; nothing that is
tested is heard. A look draws no random number and changes no weight, so that a training which is watched has the
numbers of one which is not, and it costs at most about 3 % of the training (`frequency`).
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainers.building import Staged, Trained
from trainers.evaluation import BATCH
from trainers.geometry import between_share, figures, knn_uar
from trainers.health import Row, is_look
from trainers.methods.byol import Byol
from trainers.scores import score
from trainers.spec import Training
from trainers.speech import Speech
from trainers.split import Split, joined

MOST_CLIPS, FEWEST_CLIPS = 256, 32
"""Clips of each corpus in a look, by how long the training is."""

SHARE = 1 / 32
"""Of a training's work, counted in clips through the encoder, of which a step's cost three each: forward and back."""

LOOKS = 6
"""So many looks come before more clips, the last one's validation clips counted as one."""


class Heard(Protocol):
    """What a watch needs of a method."""

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Any:
        """Clips as the encoder takes them, without augmentation."""

    def eval(self) -> Any: ...


@dataclass
class Watch:
    """Of one training. `clips`: corpus -> utterance numbers; `labelled`: clips whose emotions are trained on; `valid`:
    clips of the validation part that chooses. Without a `head` (a stage) no emotion is looked at.

    `every`: optimiser steps between two looks; `steps`: the last one, after which a look is taken anyway.
    """

    method: Heard
    encoder: nn.Module
    head: nn.Module | None
    speech: Speech
    clips: Mapping[str, Tensor]
    labelled: Tensor
    valid: Tensor
    every: int
    steps: int
    seconds: float = field(default=0.0, init=False)

    @torch.no_grad()
    def look(self, step: int) -> dict[str, float]:
        """The figures after so many steps, nothing where no look is due; FloatingPointError where they are none."""
        if step % self.every and step != self.steps:
            return {}
        started = time.perf_counter()
        self.method.eval()
        embedded = self._embedded(self._numbers)
        row = self._shape(_finite(embedded, step)) | self._projection(embedded, step)
        if self.head is not None:
            row |= self._emotions(embedded, last=step == self.steps)
        self.seconds += time.perf_counter() - started
        return row

    def facts(self, start: Row, history: list[dict[str, float]]) -> dict[str, float]:
        """The figures of the last look, and those of step 0 under `start/`; nothing where there was no look."""
        looks = [row for row in history if is_look(row)]
        if not looks or not start:
            return {}
        now = {name: value for name, value in looks[-1].items() if name in start or name == "knn_uar"}
        return {**now, **{f"start/{name}": value for name, value in start.items() if name != "knn_uar"}}

    @property
    def _numbers(self) -> Tensor:
        return torch.cat(list(self.clips.values()))

    def _embedded(self, numbers: Tensor) -> Tensor:
        """(n, d)."""
        return torch.cat([self.encoder(self.method.hear(batch)).float() for batch in numbers.split(BATCH)])

    def _shape(self, embedded: Tensor) -> dict[str, float]:
        parts = self._by_corpus(embedded)
        row = figures("embedding", parts)
        if len(parts) > 1:
            units = [functional.normalize(part, dim=1) for part in parts.values()]
            row["embedding/between"] = between_share(list(parts.values()))
            row["embedding/between_normalised"] = between_share(units)
        return row

    def _projection(self, embedded: Tensor, step: int) -> dict[str, float]:
        """What BYOL's loss sees collapses first, and may do so alone, since cross-entropy keeps the embedding apart."""
        if not isinstance(self.method, Byol) or self.method.unlabelled is None:
            return {}
        return figures("projection", self._by_corpus(_finite(self.method.projected(embedded), step)))

    def _by_corpus(self, rows: Tensor) -> dict[str, Tensor]:
        sizes = [len(numbers) for numbers in self.clips.values()]
        return dict(zip(self.clips, rows.cpu().split(sizes), strict=True))

    def _emotions(self, embedded: Tensor, *, last: bool) -> dict[str, float]:
        """UAR on the labelled clips as they are, and of their nearest neighbours among validation clips at the end."""
        assert self.head is not None
        own = torch.isin(self._numbers, self.labelled)
        known, truth = embedded[own.to(embedded.device)], self._labels(self._numbers[own])
        predicted = self.head(known).argmax(1).cpu().numpy()
        row = {"train_uar": score(truth, predicted, [""] * len(truth)).uar}
        if last:
            row["knn_uar"] = knn_uar(known.cpu(), truth, self._embedded(self.valid).cpu(), self._labels(self.valid))
        return row

    def _labels(self, numbers: Tensor) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.speech.labels(numbers).numpy()
        return found


def _finite(rows: Tensor, step: int) -> Tensor:
    if not bool(torch.isfinite(rows).all()):
        raise FloatingPointError(f"embeddings are no numbers after step {step}")
    return rows


def watch_cell(
    method: Trained,
    speech: Speech,
    split: Split,
    training: Training,
    *,
    most: int = MOST_CLIPS,
    until: int | None = None,
) -> Watch:
    """A watch over a cell's training, on clips of each corpus that it hears with or without labels."""
    labelled = torch.cat(method.labelled.pools)
    numbers = torch.cat([labelled, speech.numbers(joined(split.unlabelled.values()))])
    clips, every = _clips_and_every(numbers, speech, training, most)
    valid = fixed(speech, speech.numbers(split.valid[split.selector]), max(map(len, clips.values())))
    encoder, head = method.inference()
    return Watch(method, encoder, head, speech, clips, labelled, valid, every, _last(training, until))


def watch_stage(
    method: Staged,
    speech: Speech,
    split: Split,
    training: Training,
    *,
    most: int = MOST_CLIPS,
    until: int | None = None,
) -> Watch:
    """A watch over a stage's training. It depends on nothing but the stage, which other cells may find done."""
    clips, every = _clips_and_every(speech.numbers(split.heard_by_stage), speech, training, most)
    nothing = torch.tensor([], dtype=torch.int64)
    return Watch(method, method.product(), None, speech, clips, nothing, nothing, every, _last(training, until))


def _last(training: Training, until: int | None) -> int:
    return training.steps if until is None else min(until, training.steps)


def _clips_and_every(numbers: Tensor, speech: Speech, training: Training, most: int) -> tuple[dict[str, Tensor], int]:
    corpora: dict[str, list[int]] = {}
    for number in dict.fromkeys(numbers.tolist()):
        corpora.setdefault(speech.prepared.utterances[number].corpus, []).append(number)
    count, every = frequency(training, len(corpora))
    return {name: fixed(speech, torch.tensor(own), min(count, most)) for name, own in sorted(corpora.items())}, every


def frequency(training: Training, corpora: int) -> tuple[int, int]:
    """Clips of each corpus in a look, and steps between two looks (a multiple of `epoch_steps`), which keep all looks
    within SHARE of the training. One of few steps has looks of 32 clips at its beginning and its end alone."""
    affordable = SHARE * 3 * training.batch_size * training.steps
    validations = -(-training.steps // training.epoch_steps)
    clips = min(MOST_CLIPS, max(FEWEST_CLIPS, int(affordable / corpora / min(validations + 2, LOOKS))))
    looks = max(2, int((affordable - clips) / (clips * corpora)))
    return clips, training.epoch_steps * -(-validations // (looks - 1))


def fixed(speech: Speech, numbers: Tensor, count: int) -> Tensor:
    """At most `count` of these clips, chosen by their names alone."""
    names = {number: speech.prepared.utterances[number].id for number in numbers.tolist()}
    first = sorted(names, key=lambda number: hashlib.sha256(names[number].encode()).hexdigest())[:count]
    return torch.tensor(first, dtype=torch.int64)
