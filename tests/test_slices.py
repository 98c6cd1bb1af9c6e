"""Scores of groups against counts written by hand, and what the counts themselves forbid to say."""

from pathlib import Path

import numpy as np
import pytest

from orchestrator.answers.slices import accuracy, by_gender, by_speaker, confounds, sliced, uar
from orchestrator.answers.tallies import tally
from tests.synthetic_results import hits, predictions, result, spec
from trainers.corpora.urdu import CORPUS as URDU
from trainers.corpora.utterance import EMOTIONS

GENDERS = {"a": "female", "b": "female", "c": "male", "d": "male", "e": ""}


def counts(**rows: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(truth, prediction): emotion -> clips right and wrong; wrong ones are taken for the next emotion."""
    matrix = np.zeros((4, 4))
    for emotion, (right, wrong) in rows.items():
        place = EMOTIONS.index(emotion)
        matrix[place, place], matrix[place, (place + 1) % 4] = right, wrong
    return matrix


SPEAKERS = {
    "a": counts(happy=(8, 2), sad=(5, 5)),
    "b": counts(happy=(6, 4), sad=(3, 7)),
    "c": counts(happy=(2, 8), sad=(8, 2), angry=(10, 0)),
    "d": counts(happy=(4, 6), sad=(6, 4)),
    "e": counts(angry=(0, 4)),
}


def test_scores_of_groups_are_those_of_their_counts() -> None:
    found = sliced(SPEAKERS, GENDERS)
    women = (14 / 20 + 8 / 20) / 2
    men = (6 / 20 + 14 / 20 + 1) / 3
    assert found.uar == pytest.approx((women, men))
    assert found.accuracy == pytest.approx((22 / 40, 30 / 50))
    assert found.gap == pytest.approx(women - men)
    assert found.gap_alike == pytest.approx(((14 - 6) / 20 + (8 - 14) / 20) / 2), "anger, which women lack, is left out"
    assert found.of_all == pytest.approx((10 / 14 + 20 / 40 + 22 / 40) / 3)


def test_the_worst_speaker_is_one_of_those_with_ten_clips() -> None:
    found = sliced(SPEAKERS, GENDERS)
    assert set(found.speakers) == {"a", "b", "c", "d"}
    assert (found.worst, found.worst_uar) == ("b", pytest.approx((0.6 + 0.3) / 2))


def test_who_is_unknown_is_in_no_gender() -> None:
    both = by_gender(SPEAKERS, GENDERS)
    assert both.sum() == sum(SPEAKERS[name].sum() for name in "abcd")


def test_nothing_is_nothing() -> None:
    assert np.isnan(uar(np.zeros((4, 4))))
    assert np.isnan(accuracy(np.zeros((4, 4))))
    assert sliced({}, {}).worst == ""


@pytest.mark.parametrize(("folds", "seeds"), [(1, 1), (3, 1), (2, 3)])
def test_speakers_have_as_many_clips_as_there_are_whatever_the_seeds(folds: int, seeds: int) -> None:
    cells = {
        ("urdu", fold, seed): tally(result(spec(fold=fold, seed=seed), hits(5, 5, 5, 5), {"urdu": hits(8, 2, 5, seed)}))
        for fold in range(folds)
        for seed in range(seeds)
    }
    found = by_speaker(cells, "urdu", times=seeds)
    assert sum(matrix.sum() for matrix in found.values()) == pytest.approx(40 * folds)
    first = predictions("urdu", hits(8, 2, 5, 0), 0)
    told = sum(row["speaker"] == "urdu:01" for row in first)
    assert found["urdu:01"].sum() == pytest.approx(told)


# --- what the counts say


def test_balanced_counts_are_silent() -> None:
    assert list(confounds(np.full((2, 4), 20.0))) == []


def test_urdus_counts_say_what_a_womans_accuracy_is() -> None:
    """46 happy, 4 neutral, 6 sad clips of women, and none angry; 100, 54, 96, 94 of men."""
    said = list(confounds(np.array([[0, 46, 4, 6], [100, 54, 96, 94]], np.float64)))
    assert said == [
        "angry is all of men (100 clips, 0 of women)",
        "neutral is nearly all of men (96 clips, 4 of women)",
        "82 % of the 56 clips of women are happy: the accuracy of women is mostly the recall of happy",
        "only happy and sad have at least 5 clips of both: here gender cannot be told from emotion",
    ]


def test_a_gender_without_clips_is_all_that_is_said() -> None:
    said = list(confounds(np.array([[0, 0, 0, 0], [9, 9, 9, 9]], np.float64)))
    assert said == ["there are no clips of women, so nothing can be said of gender"]


def test_the_counts_of_real_urdu_are_these(data_root: Path) -> None:
    """From the file names alone: the gender is the second letter, the folder the emotion."""
    folder = data_root / URDU.folder
    names = sorted(folder.rglob("*.wav"))
    found = {
        emotion: tuple(
            sum(path.parent.name.lower() == emotion and path.name[1] == sex for path in names) for sex in "FM"
        )
        for emotion in EMOTIONS
    }
    assert found == {"angry": (0, 100), "happy": (46, 54), "neutral": (4, 96), "sad": (6, 94)}
