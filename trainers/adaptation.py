"""What CL's adaptation alone does to an encoder: speakers and emotions in its embeddings, before and after.

Speakers: equal error rate of cosine scores over all pairs of clips, and nearest-neighbour identification, on the fold's
test clips of each language, without speakers that the adaptation heard (NaN where no others are tested). Emotions: the
frozen probe of `floors.py`, trained on the labelled clips, before (`secondary["before"]`) and after.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainers.encoders import encoder_of
from trainers.evaluation import BATCH, Evaluation, group
from trainers.floors import probe
from trainers.methods.configs import ClConfig
from trainers.pooling import pooled
from trainers.result import Result
from trainers.scores import equal_error_rate, knn_accuracy
from trainers.spec import CellSpec
from trainers.speech import Speech
from trainers.stages import StageResult

Floats = NDArray[np.float64]

MOST_CLIPS = 2000
"""Of a larger test part speakers are compared on so many clips, chosen by their names: two million pairs."""


def run(spec: CellSpec, evaluation: Evaluation, backbone: nn.Module, stage: StageResult | None) -> Result:
    """Score the encoder before and after its adaptation (after is before where there was none)."""
    clips = sorted({name for ids in evaluation.parts.values() for name in ids} | set(evaluation.split.labelled))
    assert isinstance(spec.config, ClConfig)
    kind = spec.config.pooling
    before = Embeddings(clips, _embedded(clips, evaluation.speech, backbone, kind))
    after = Embeddings(clips, _embedded(clips, evaluation.speech, backbone, kind, stage)) if stage else before
    found = {name: probe(evaluation, each.of) for name, each in (("before", before), ("after", after))}
    scores = {name: evaluation.scores(predictions) for name, predictions in found.items()}
    return Result(
        spec=spec,
        valid=group("valid", scores["after"]),
        test=group("test", scores["after"]),
        whole=group("whole", scores["after"]),
        secondary={"before": {part: scores["before"][part] for part in evaluation.compared}},
        facts={
            **{f"stage/{name}": value for name, value in (stage.facts if stage else {}).items()},
            **_speaker_facts("before", before, evaluation),
            **_speaker_facts("after", after, evaluation),
        },
        history=stage.history if stage else [],
        predictions=evaluation.rows(found["after"], {"before": found["before"]}),
    )


class Embeddings:
    """Embeddings of clips by their ids."""

    def __init__(self, clips: list[str], rows: Floats) -> None:
        self.place, self.rows = {name: place for place, name in enumerate(clips)}, rows

    def of(self, ids: Sequence[str]) -> Floats:
        """(n, d)."""
        found: Floats = self.rows[[self.place[name] for name in ids]]
        return found


@torch.no_grad()
def _embedded(
    clips: list[str], speech: Speech, backbone: nn.Module, pooling: str, stage: StageResult | None = None
) -> Floats:
    encoder = pooled(encoder_of(backbone, speech.frames), pooling)
    if stage:
        encoder.load_state_dict(stage.weights)
    encoder = encoder.to(speech.device).eval()
    batches = speech.numbers(clips).split(BATCH)
    return torch.cat([encoder(speech.heard(encoder.hears, batch)).double().cpu() for batch in batches]).numpy()


def _speaker_facts(when: str, embeddings: Embeddings, evaluation: Evaluation) -> dict[str, float]:
    """Equal error rate and identification of unseen speakers, by language."""
    facts = {}
    for language in evaluation.split.test:
        ids = _of_unseen_speakers(evaluation, language)
        speakers = evaluation.speech.numbered(evaluation.speech.numbers(ids), lambda clip: clip.speaker).numpy()
        rows = embeddings.of(ids)
        facts[f"speaker_eer/{when}/{language}"] = _verification(rows, speakers)
        facts[f"speaker_knn/{when}/{language}"] = _identification(rows, speakers)
    return facts


def _of_unseen_speakers(evaluation: Evaluation, language: str) -> list[str]:
    prepared, split = evaluation.speech.prepared, evaluation.split
    speaker_of = {name: prepared.utterances[prepared.index[name]].speaker for name in split.test[language]}
    heard = {prepared.utterances[prepared.index[name]].speaker for name in split.heard_by_stage}
    unseen = [name for name, speaker in speaker_of.items() if speaker not in heard]
    return sorted(sorted(unseen, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:MOST_CLIPS])


def _verification(rows: Floats, speakers: NDArray[np.int64]) -> float:
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    one, other = np.triu_indices(len(rows), k=1)
    return equal_error_rate((units @ units.T)[one, other], speakers[one] == speakers[other])


def _identification(rows: Floats, speakers: NDArray[np.int64]) -> float:
    """Of every second clip of each speaker, by its nearest neighbour among the others; NaN where nobody has two."""
    rank = np.array([int((speakers[:place] == speaker).sum()) for place, speaker in enumerate(speakers)])
    asked = rank % 2 == 1
    if not asked.any():
        return float("nan")
    return knn_accuracy(rows[~asked], speakers[~asked], rows[asked], speakers[asked], 1)
