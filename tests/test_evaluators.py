"""Trained with × evaluated with: each number is the mean over folds of its evaluator's own scores."""

from dataclasses import replace

import pytest

from orchestrator.answers.evaluators import OWN, evaluated
from orchestrator.answers.heard import Cells
from orchestrator.answers.tallies import tally
from tests.synthetic_results import baseline_spec, hits, result, spec
from trainers.scores import Score

LANGUAGES = ("urdu", "german")


def level(correct: int) -> Score:
    return hits(correct, correct, correct, correct)


def byol(tau: float, own: int, passive: int) -> Cells:
    """Two languages, two folds: tenths right through the own target and through a passive average; German one less."""
    found = {}
    for fold in range(2):
        for less, language in enumerate(LANGUAGES):
            test = {language: level(own + fold - less)}
            parts = {"valid/hrl": level(9), f"test/{language}": level(passive + fold - less)}
            one = replace(result(spec(tau, language, fold), level(5), test), secondary={"passive tau=0.99": parts})
            found[language, fold, 0] = tally(one)
    return found


def test_every_evaluator_has_a_column_and_every_language_a_row() -> None:
    section = evaluated(
        {"tau=0.99": byol(0.99, 4, 6), "tau=0.999": byol(0.999, 7, 2)}, LANGUAGES, ["tau=0.99", "tau=0.999"]
    )
    assert section is not None
    assert section.headings == ("trained with", "on", OWN, "passive tau=0.99")
    assert section.rows == (
        ("tau=0.99", "urdu", "45.0", "65.0"),
        ("tau=0.99", "german", "35.0", "55.0"),
        ("tau=0.99", "macro", "40.0", "60.0"),
        ("tau=0.999", "urdu", "75.0", "25.0"),
        ("tau=0.999", "german", "65.0", "15.0"),
        ("tau=0.999", "macro", "70.0", "20.0"),
    )


def test_methods_with_one_evaluator_have_no_such_table_and_no_row_in_one() -> None:
    one = replace(result(baseline_spec(), level(5), {"urdu": level(5)}), secondary={})
    plain: Cells = {(None, 0, 0): tally(one)}
    assert evaluated({"baseline": plain}, ["urdu"], ["baseline"]) is None
    section = evaluated({"baseline": plain, "BYOL": byol(0.99, 4, 6)}, ["urdu"], ["baseline", "BYOL"])
    assert section is not None
    assert [row[0] for row in section.rows] == ["BYOL"]


@pytest.mark.parametrize("lost", [("urdu", 1, 0)])
def test_a_score_that_is_missing_drops_out_of_no_mean(lost: tuple[str, int, int]) -> None:
    own = byol(0.99, 4, 6)
    bare = replace(result(spec(0.99, "urdu", 1), level(5), {"urdu": level(5)}), secondary={})
    section = evaluated({"a": {**own, lost: tally(bare)}}, LANGUAGES, ["a"])
    assert section is not None
    assert [row[1:] for row in section.rows] == [
        ("urdu", "45.0", "–"),
        ("german", "35.0", "55.0"),
        ("macro", "40.0", "–"),
    ]
