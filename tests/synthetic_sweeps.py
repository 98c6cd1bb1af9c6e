"""Sweeps that no training made, small enough to reckon by hand: how many tenths of the clips each cell gets right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.answers.comparison import Comparison, compare
from orchestrator.answers.rows import Candidate, Place
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger
from tests.synthetic_results import hits, result, spec
from trainers.result import Result
from trainers.scores import Score

LANGUAGES = ("urdu", "german")


def level(correct: int) -> Score:
    """A score whose UAR, accuracy and (every class failing alike) macro-F1 are `correct` / 10."""
    return hits(correct, correct, correct, correct)


def byol(tau: float, cells: Mapping[Place, tuple[int, int]]) -> list[Result]:
    """BYOL cells: place -> tenths of the clips right on validation and on test."""
    return [
        result(spec(tau, target, fold, seed), level(valid), {str(target): level(test), "english": level(valid)})
        for (target, fold, seed), (valid, test) in cells.items()
    ]


def candidate(name: str, results: list[Result]) -> Candidate:
    return Candidate(name, {(r.spec.target, r.spec.fold, r.spec.seed): r.spec.key() for r in results})


def flat(tau: float, valid: int, test: int) -> list[Result]:
    """Two languages, two folds, one seed, all alike."""
    return byol(tau, {(language, fold, 0): (valid, test) for language in LANGUAGES for fold in range(2)})


def kept(store: Path, *groups: list[Result]) -> Ledger:
    ledger = Ledger(store)
    for group in groups:
        for one in group:
            ledger.write(one)
    return ledger


def varied(tau: float, test: list[int], seed: int = 0) -> list[Result]:
    """Two languages, five folds: tenths right on test in each fold."""
    places = {(language, fold, seed): (5, right) for language in LANGUAGES for fold, right in enumerate(test)}
    return byol(tau, places)


def against(store: Path, reference: str, groups: Mapping[str, list[Result]], **more: Any) -> Comparison:
    candidates = [candidate(*pair) for pair in groups.items()]
    return compare(kept(store, *groups.values()), "s", candidates, LANGUAGES, reference=reference, **more)


def asked(groups: Mapping[str, list[Result]], **more: Any) -> Asked:
    """The record of a sweep of these configurations, the first of them its reference."""
    plain: dict[str, Any] = {
        "sweep": "byol_tau",
        "question": "Which τ?",
        "command": "python -m orchestrator.sweep byol_tau",
        "at": "2026-11-21T10:00:00+00:00",
        "commit": "0123456789ab",
        "note": "",
        "protocol": "open",
        "folds_by": "speaker",
        "languages": LANGUAGES,
        "held_out": ("english",),
        "selector": "hrl",
        "objective": "mean",
        "shared_speakers": (),
        "folds": dict.fromkeys(LANGUAGES, 5),
        "reference": next(iter(groups)),
        "shows": (),
        "configurations": tuple(candidate(*pair) for pair in groups.items()),
        "floors": (),
    }
    return Asked(**{**plain, **more})
