"""What folds and speakers contribute to a score sums to that score, whatever classes a fold lacks."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import recall_score

from orchestrator.answers.heard import Cells, Heard, confusions, heard
from orchestrator.answers.statistics import Floats
from orchestrator.answers.tallies import Tally, tally
from tests.synthetic_results import hits, result, spec
from trainers.corpora.utterance import EMOTIONS
from trainers.scores import Score, score

DRAW = np.random.default_rng(0)
SIZES = {0: (9, 3, 8, 0), 1: (2, 14, 0, 5), 2: (6, 6, 7, 7), 3: (0, 4, 3, 12), 4: (5, 5, 5, 5)}
"""Clips of each class in each fold; some folds lack one."""


def guessed(fold: int) -> Score:
    """Guesses at a fold's clips."""
    truth = np.repeat(np.arange(4), SIZES[fold % 5])
    predicted = np.where(DRAW.random(len(truth)) < 0.5, truth, DRAW.integers(0, 4, len(truth)))
    return score(truth, predicted, ["female"] * len(truth))


def cells(folds: range, seeds: int = 1, tau: float = 0.99) -> Cells:
    valid = hits(5, 5, 5, 5)
    places = [(fold, seed) for fold in folds for seed in range(seeds)]
    results = [result(spec(tau, "urdu", fold, seed), valid, {"urdu": guessed(fold)}) for fold, seed in places]
    return {(one.spec.target, one.spec.fold, one.spec.seed): tally(one) for one in results}


def pooled_uar(own: Cells, seed: int, folds: range) -> float:
    """scikit-learn's, of all clips of these folds together."""
    told: list[tuple[int, int]] = []
    for fold in folds:
        confusion = own["urdu", fold, seed].test["urdu"].confusion
        told += [(y, g) for y in range(4) for g in range(4) for _ in range(confusion[y][g])]
    truth, guess = zip(*told, strict=True)
    return float(recall_score(truth, guess, average="macro"))


def laid(own: dict[str, Cells], reference: str = "a", partition: int = 5) -> Heard:
    found = heard("urdu", own, reference, partition)
    assert found is not None
    return found


def test_the_mean_of_folds_and_the_sum_of_speakers_are_the_pooled_uar() -> None:
    own = {"a": cells(range(5), seeds=2), "b": cells(range(5))}
    found = laid(own)
    expected = [np.mean([pooled_uar(own["a"], seed, range(5)) for seed in range(2)]), pooled_uar(own["b"], 0, range(5))]
    assert found.names == ("a", "b")
    assert found.contributions.shape == (2, 5)
    assert found.contributions.mean(1) == pytest.approx(expected)
    assert found.of_speakers.sum(1) == pytest.approx(expected)
    assert len(found.speakers) == sum(max(min(4, n) for n in SIZES[fold]) for fold in range(5))


def test_each_speaker_weighs_with_its_clips_over_classes_and_their_clips() -> None:
    """Σ w_i · correct_i with w_i = 1/(C · n_class), clip by clip."""
    own = {"a": cells(range(5))}
    found = laid(own)
    n_class = np.sum([SIZES[fold] for fold in range(5)], axis=0)
    for number, speaker in enumerate(found.speakers):
        fold = int(speaker.removeprefix("urdu:")[0])
        names, matrices = own["a"]["urdu", fold, 0].speakers("urdu")
        matrix = matrices[names.index(speaker)]
        expected = sum(matrix[y, y] / (4 * n_class[y]) for y in range(4))
        assert found.of_speakers[0, number] == pytest.approx(expected)


def test_a_folds_contribution_is_its_uar_where_folds_are_alike() -> None:
    own = {(t, f, s): tally(result(spec(0.99, t, f, s), hits(5, 5, 5, 5), {"urdu": hits(f, 4, 9, 2)}))
           for t, f, s in [("urdu", fold, 0) for fold in range(5)]}  # fmt: skip
    found = laid({"a": own})
    assert found.contributions[0] == pytest.approx([(fold + 15) / 40 for fold in range(5)])


def test_repeated_partitions_are_pooled_each_by_itself() -> None:
    own = {"a": cells(range(10)), "b": cells(range(10))}
    found = laid(own)
    assert found.repeats.tolist() == [0] * 5 + [1] * 5
    assert found.folds_each == 5
    for number, name in enumerate(own):
        halves = [pooled_uar(own[name], 0, range(start, start + 5)) for start in (0, 5)]
        assert found.contributions[number, :5].mean() == pytest.approx(halves[0])
        assert found.contributions[number, 5:].mean() == pytest.approx(halves[1])
        assert found.of_speakers[number].sum() == pytest.approx(np.mean(halves))


def test_a_partition_that_is_not_whole_is_left_out_and_some_folds_of_one_are_a_smaller_one() -> None:
    assert laid({"a": cells(range(7))}).folds == (0, 1, 2, 3, 4)
    few = laid({"a": cells(range(3))})
    assert (few.folds, few.folds_each) == ((0, 1, 2), 3)
    assert laid({"a": cells(range(8))}, partition=4).repeats.tolist() == [0] * 4 + [1] * 4


def test_who_was_tested_on_other_clips_or_folds_is_left_out() -> None:
    whole, own = cells(range(5)), cells(range(5))
    elsewhere = {
        **own,
        ("urdu", 2, 0): tally(result(spec(0.9, "urdu", 2), hits(5, 5, 5, 5), {"urdu": hits(9, 9, 9, 9)})),
    }
    fewer = {place: cell for place, cell in own.items() if place[1] != 4}
    thinned = {**own, ("urdu", 4, 0): _without_a_speaker()}
    assert laid({"a": whole, "b": elsewhere, "c": fewer, "d": own, "e": thinned}).names == ("a", "d")


def _without_a_speaker() -> Tally:
    one = result(spec(0.9, "urdu", 4), hits(5, 5, 5, 5), {"urdu": guessed(4)})
    return tally(replace(one, predictions=[row for row in one.predictions if not row["speaker"].endswith("3")]))


def test_without_speakers_there_is_nothing_to_lay_out() -> None:
    one = replace(result(spec(), hits(5, 5, 5, 5), {"urdu": guessed(0)}), predictions=[])
    assert heard("urdu", {"a": {("urdu", 0, 0): tally(one)}}, "a", 5) is None


def test_confusions_are_those_of_each_seed_by_speaker() -> None:
    own = cells(range(5), seeds=2)
    found = laid({"a": own})
    told: Floats = confusions(own, "urdu", found.folds, found.speakers)
    assert told.shape == (2, len(found.speakers), len(EMOTIONS), len(EMOTIONS))
    for seed in range(2):
        whole = np.sum([own["urdu", fold, seed].test["urdu"].confusion for fold in range(5)], axis=0)
        assert (told[seed].sum(0) == whole).all()
