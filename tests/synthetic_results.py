"""Results that no training made, of the real types, for the tests of what comes after training."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from trainers.audio.front_end import FrontEnd
from trainers.corpora.utterance import EMOTIONS
from trainers.methods.configs import BaselineConfig, ByolConfig, FloorConfig
from trainers.result import Result
from trainers.scores import Score, score
from trainers.spec import CellSpec, Training


def spec(tau: float = 0.996, target: str | None = "urdu", fold: int = 0, seed: int = 0) -> CellSpec:
    """A BYOL cell."""
    return CellSpec(
        method="byol",
        config=ByolConfig(tau=tau),
        training=Training(),
        front_end=FrontEnd(),
        protocol="open",
        folds_by="speaker",
        target=target,
        fold=fold,
        seed=seed,
        encoder_fingerprint="e" * 64,
        data_fingerprint="d" * 64,
    )


def baseline_spec(fold: int = 0, seed: int = 0) -> CellSpec:
    """A baseline cell: no target language, so it serves all of them."""
    return replace(spec(target=None, fold=fold, seed=seed), method="baseline", config=BaselineConfig())


def floor_spec(method: str, fold: int = 0) -> CellSpec:
    return replace(spec(target=None, fold=fold), method=method, config=FloorConfig())


def hits(*correct: int, of: int = 10) -> Score:
    """A score with so many of `of` clips right in each of the four classes; the others are taken for the next class."""
    truth = np.repeat(np.arange(4), of)
    predicted = np.concatenate([[k] * right + [(k + 1) % 4] * (of - right) for k, right in enumerate(correct)])
    return score(truth.astype(np.int64), predicted.astype(np.int64), ["female", "male"] * (2 * of))


def drawn(accuracy: float, n: int, draws: np.random.Generator) -> Score:
    """A score of `n` random clips, each right with this chance."""
    truth = draws.integers(0, 4, n)
    guessed = np.where(draws.random(n) < accuracy, truth, draws.integers(0, 4, n))
    return score(truth, guessed, draws.choice(["female", "male"], n).tolist())


def result(of: CellSpec, valid: Score, test: Mapping[str, Score], epochs: int = 3) -> Result:
    """A finished cell with a curve of `epochs` rows and a prediction for every clip of `test`."""
    secondary = {"online": {"valid/hrl": valid, **{f"test/{name}": value for name, value in test.items()}}}
    return Result(
        spec=of,
        valid={"hrl": valid},
        test=dict(test),
        secondary={**secondary, "passive tau=0.99": secondary["online"]},
        facts={"target_initial_share": 0.01, "agreement": 0.97},
        history=[
            {"step": 100.0 * (row + 1), "loss": 1.0 / (row + 1), "tau": of.settings().get("tau", 0.0)}
            for row in range(epochs)
        ],
        predictions=[row for language, value in test.items() for row in predictions(language, value, of.fold)],
        seconds={"train": 12.5},
        versions={"torch": "2.11"},
    )


def curve_row(of: CellSpec, row: int) -> dict[str, float]:
    return {"step": 100.0 * (row + 1), "loss": 1.0 / (row + 1), "tau": of.settings().get("tau", 0.0)}


def predictions(language: str, value: Score, fold: int = 0, speakers: int = 4) -> list[dict[str, Any]]:
    """The rows that a confusion matrix stands for. The clips of each class are dealt to the fold's speakers in turn, so
    that equal counts of truths are the same clips whatever they were taken for."""
    rows = []
    for truth, guesses in enumerate(value.confusion):
        predicted = [guess for guess, count in enumerate(guesses) for _ in range(count)]
        for place, guess in enumerate(predicted):
            rows.append(
                {
                    "part": f"test/{language}",
                    "id": f"{language}/{fold}/{EMOTIONS[truth]}{place}.wav",
                    "language": language,
                    "speaker": f"{language}:{fold}{place % speakers}",
                    "gender": ("female", "male")[place % 2],
                    "emotion": EMOTIONS[truth],
                    "predicted": guess,
                }
            )
    return rows
