"""Where a gain comes from adds up, and planted confusions are found where they were planted."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from orchestrator.answers.arousal import arousal_uar, gains, origins, rates, valence_accuracy
from orchestrator.answers.heard import Cells
from orchestrator.answers.tallies import tally
from tests.synthetic_results import baseline_spec, drawn, hits, result
from trainers.corpora.utterance import EMOTIONS
from trainers.scores import score

DRAW = np.random.default_rng(0)
ANGRY, HAPPY, NEUTRAL, SAD = map(EMOTIONS.index, ("angry", "happy", "neutral", "sad"))


def cells(confusions: Sequence[np.ndarray]) -> Cells:
    """One cell a fold."""
    found = {}
    for fold, confusion in enumerate(confusions):
        clips = [(y, g) for y in range(4) for g in range(4) for _ in range(confusion[y][g])]
        truth, guess = np.array(clips).T
        one = score(truth, guess, ["female"] * len(truth))
        found[None, fold, 0] = tally(result(baseline_spec(fold), hits(5, 5, 5, 5), {"urdu": one}))
    return found


def test_arousal_is_scikit_learns_balanced_accuracy_of_two_groups() -> None:
    """Where emotions are as frequent as each other; else each weighs the same within its arousal."""
    truth = np.repeat(np.arange(4), 50)
    guess = np.where(DRAW.random(200) < 0.5, truth, DRAW.integers(0, 4, 200))
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (truth, guess), 1)
    found = rates(cells([confusion]), "urdu")
    low = [NEUTRAL, SAD]
    assert arousal_uar(found) == pytest.approx(balanced_accuracy_score(np.isin(truth, low), np.isin(guess, low)))


def test_valence_is_told_among_clips_whose_arousal_is_right_by_hand() -> None:
    confusion = np.array([[6, 2, 1, 1], [3, 3, 4, 0], [5, 0, 5, 0], [0, 10, 0, 0]])
    found = rates(cells([confusion]), "urdu")
    assert valence_accuracy(found) == pytest.approx((6 / 8 + 3 / 6 + 5 / 5) / 3), "no sad clip is heard as low arousal"
    assert arousal_uar(found) == pytest.approx(((0.8 + 0.6) / 2 + (0.5 + 0.0) / 2) / 2)


def test_folds_are_pooled_and_seeds_averaged() -> None:
    one, other = np.diag([4, 4, 4, 0]), np.array([[0, 4, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 1, 3]])
    found = rates(cells([one, other]), "urdu")
    assert found[ANGRY].tolist() == [0.5, 0.5, 0, 0]
    assert found[SAD].tolist() == [0, 0, 0.25, 0.75]


def test_a_gain_is_the_sum_of_the_confusions_that_went() -> None:
    before, after = (rates(cells([np.array(drawn(p, 400, DRAW).confusion)]), "urdu") for p in (0.4, 0.6))
    whole, *parts = gains(after, before)
    assert whole == pytest.approx(np.diagonal(after).mean() - np.diagonal(before).mean()), "the gain in UAR"
    assert sum(parts) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("truth", "guess", "part"),
    [(ANGRY, HAPPY, 0), (HAPPY, ANGRY, 0), (NEUTRAL, SAD, 1), (SAD, NEUTRAL, 1), (ANGRY, SAD, 2), (NEUTRAL, HAPPY, 2)],
)
def test_a_planted_confusion_is_found_in_its_part(truth: int, guess: int, part: int) -> None:
    before, after = np.diag([10] * 4), np.diag([10] * 4)
    before[truth, truth], before[truth, guess] = 6, 4
    whole, *parts = gains(rates(cells([after]), "urdu"), rates(cells([before]), "urdu"))
    assert whole == pytest.approx(0.1)
    assert parts == pytest.approx([0.1 if place == part else 0 for place in range(3)])


def test_an_absent_class_counts_in_nothing() -> None:
    before, after = np.diag([10, 10, 10, 0]), np.diag([10, 10, 10, 0])
    before[ANGRY] = [4, 6, 0, 0]
    assert gains(rates(cells([after]), "urdu"), rates(cells([before]), "urdu")) == pytest.approx((0.2, 0.2, 0, 0))
    assert arousal_uar(rates(cells([before]), "urdu")) == pytest.approx(1)


def test_the_table_has_each_language_and_no_share_of_a_gain_that_is_none() -> None:
    before, after = np.diag([10] * 4), np.diag([10] * 4)
    before[ANGRY] = [6, 4, 0, 0]
    own = {"a": cells([before]), "b": cells([after]), "c": cells([after])}
    section = origins(own, ["urdu"], "a", ["a", "b"])
    assert section.rows == (
        ("a", "urdu", "100.0", "90.0", "–", "–", "–", "–", "–"),
        ("b", "urdu", "100.0", "100.0", "+10.0", "+10.0", "0.0", "0.0", "100"),
    )
    worse = origins({"a": cells([after]), "b": cells([before])}, ["urdu"], "a", ["b"])
    assert worse.rows == (("b", "urdu", "100.0", "90.0", "−10.0", "−10.0", "0.0", "0.0", "–"),)
