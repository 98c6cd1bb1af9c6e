"""Floors: what a method must beat to have learned something (VALIDITY §2). None of them trains an encoder.

nuisance_only   level, silence and duration of the raw recording -> logistic regression
frozen_probe    mean-pooled embeddings of the untouched encoder -> logistic regression
own_statistics  the same, with each language's embeddings standardised by its own (unlabelled) training clips
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainers.corpora.prepared import Prepared
from trainers.encoders import encoder_of
from trainers.evaluation import BATCH, Evaluation, Predictions, group
from trainers.result import Result
from trainers.spec import CellSpec
from trainers.speech import Speech, level_and_silence, require_sound
from trainers.splits import Splits

INVERSE_PENALTY = 0.01
"""C of the logistic regression on embeddings; class-balanced, on standardised features."""

NUISANCE_INVERSE_PENALTY = 1.0
"""The same on the four nuisances: 0.01 would hide most of what they tell (on RAVDESS .48 instead of .50 UAR)."""

Features = NDArray[np.float64]
Describe = Callable[[Sequence[str]], Features]


@dataclass
class Embedder:
    """Mean-pooled embeddings of the untouched encoder, each clip's computed once."""

    speech: Speech
    backbone: nn.Module
    _known: dict[int, Features] = field(default_factory=dict)

    @torch.no_grad()
    def describe(self, ids: Sequence[str]) -> Features:
        """(n, d_model)."""
        numbers = self.speech.numbers(ids)
        missing = [number for number in dict.fromkeys(numbers.tolist()) if number not in self._known]
        if missing:
            encoder = encoder_of(self.backbone, self.speech.frames).to(self.speech.device).eval()
            for batch in torch.tensor(missing).split(BATCH):
                embedded = encoder(self.speech.heard(encoder.hears, batch)).double().cpu().numpy()
                self._known |= dict(zip(batch.tolist(), embedded, strict=True))
        return np.stack([self._known[number] for number in numbers.tolist()])


@dataclass
class Nuisances:
    """What is told by level, silence and duration alone, from the recording before any front end."""

    prepared: Prepared
    _known: dict[str, list[float]] = field(default_factory=dict)

    def describe(self, ids: Sequence[str]) -> Features:
        """(n, 4): level in dB, leading and trailing silence and duration in seconds."""
        for name in ids:
            if name not in self._known:
                samples = self.prepared.samples(self.prepared.index[name])
                require_sound(name, samples)
                self._known[name] = level_and_silence(samples)
        return np.array([self._known[name] for name in ids])


def run(spec: CellSpec, splits: Splits, evaluation: Evaluation, describe: Describe) -> Result:
    """Score one floor on all parts of its fold; `describe` turns clips into features."""
    found = _classified(spec, splits, evaluation, describe)
    scores = evaluation.scores(found)
    return Result(
        spec=spec,
        valid=group("valid", scores),
        test=group("test", scores),
        whole=group("whole", scores),
        predictions=evaluation.rows(found, {}),
    )


def _classified(spec: CellSpec, splits: Splits, evaluation: Evaluation, describe: Describe) -> Predictions:
    penalty = NUISANCE_INVERSE_PENALTY if spec.method == "nuisance_only" else INVERSE_PENALTY
    own = {}
    if spec.method == "own_statistics":
        own = {name: Standard(describe(splits.for_statistics(name, spec.fold))) for name in splits.languages}
    return probe(evaluation, describe, penalty, own)


def probe(
    evaluation: Evaluation,
    describe: Describe,
    inverse_penalty: float = INVERSE_PENALTY,
    own: Mapping[str, "Standard"] | None = None,
) -> Predictions:
    """Logistic regression on the labelled clips' features, standardised; `own`: languages with statistics of their own.

    Predictions of all parts of the split.
    """
    from sklearn.linear_model import LogisticRegression  # not above: most of a second to import, for floors alone

    labelled = evaluation.split.labelled
    high = Standard(describe(labelled))
    labels = evaluation.speech.labels(evaluation.speech.numbers(labelled)).numpy()
    model = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=2000)
    model.fit(high.of(describe(labelled)), labels)
    found = {}
    for part, ids in evaluation.parts.items():
        standard = (own or {}).get(part.split("/", 1)[1], high)
        found[part] = np.asarray(model.predict(standard.of(describe(ids))), dtype=np.int64)
    return found


class Standard:
    """Mean and standard deviation of each feature over one set of clips."""

    def __init__(self, features: Features) -> None:
        self.mean, self.sd = features.mean(0), features.std(0) + 1e-9

    def of(self, features: Features) -> Features:
        scaled: Features = (features - self.mean) / self.sd
        return scaled
