"""What a cell gives back, and its JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainers.scores import Score
from trainers.spec import CellSpec

Scores = dict[str, Score]


@dataclass(frozen=True)
class Result:
    """Scores, curves and predictions of one cell.

    `valid`: selector -> score ("hrl": the high-resource validation part; "other-languages": labelled clips of the
    other low-resource languages). `test`: language -> score of this fold's test part, sealed until `compare`
    opens it. `whole`: language -> score of all its clips, only where the training saw none of them.
    `secondary`: evaluator ("online", "early_stopped", "passive tau=0.99") -> part ("valid/hrl", "test/urdu") -> score.
    `facts`: single numbers (target_initial_share, agreement, train_uar, embedding/std/urdu and start/embedding/std/urdu
    of step 0, …); results of older versions have fewer. `history`: one row of numbers per validation.
    `predictions`: one row per test clip (id, language, speaker, gender, emotion, predicted, …).
    `embeddings`: part ("test/urdu") -> its clips' embeddings in the order of their rows, as `embeddings.packed` makes
    them; empty where nothing was trained, and in results of older versions.
    `seconds`: where the time went. `versions`: what it ran on.
    """

    spec: CellSpec
    valid: Scores
    test: Scores
    whole: Scores = field(default_factory=dict)
    secondary: dict[str, Scores] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    embeddings: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Result":
        scores = {name: _scores(values[name]) for name in ("valid", "test", "whole")}
        secondary = {name: _scores(parts) for name, parts in values["secondary"].items()}
        return cls(**{**values, **scores, "secondary": secondary, "spec": CellSpec.from_dict(values["spec"])})


def _scores(values: Mapping[str, Any]) -> Scores:
    return {name: Score.from_dict(score) for name, score in values.items()}
