"""What test scores tell: each rule provoked by planted scores, and silent where there is none."""

from collections.abc import Mapping, Sequence
from math import nan, sqrt
from typing import Any

import pytest

from orchestrator.answers import transfer_faults
from orchestrator.answers.claims import MACRO, Claim
from orchestrator.answers.finding import Finding, tag
from orchestrator.answers.rows import Place
from tests.synthetic_results import baseline_spec, hits
from tests.test_training_faults import only
from trainers.corpora.utterance import EMOTIONS
from trainers.result import Result
from trainers.scores import Score

Found = Mapping[Place, Result]


def folds(*scores: Mapping[str, Score], predictions: Sequence[dict[str, Any]] = ()) -> Found:
    """A configuration with one cell a fold, tested on these scores."""
    valid = {"hrl": hits(7, 7, 7, 7)}
    return {
        (None, fold, 0): Result(baseline_spec(fold), valid, dict(own), predictions=list(predictions))
        for fold, own in enumerate(scores)
    }


def heard(counts: Mapping[tuple[str, str], tuple[int, int]]) -> list[dict[str, Any]]:
    """Rows of test clips: (gender, emotion) -> right ones of so many; the others are taken for the next emotion."""
    return [
        {
            "part": "test/urdu",
            "id": f"{gender}{emotion}{number}",
            "gender": gender,
            "emotion": emotion,
            "predicted": (EMOTIONS.index(emotion) + (number >= right)) % len(EMOTIONS),
        }
        for (gender, emotion), (right, of) in counts.items()
        for number in range(of)
    ]


def spoken(female: tuple[int, ...], male: tuple[int, ...], of: int = 20) -> Found:
    """Right answers for each emotion of women and of men."""
    counts = {
        (gender, emotion): (right, of)
        for gender, rights in (("female", female), ("male", male))
        for emotion, right in zip(EMOTIONS, rights, strict=True)
    }
    return folds({"urdu": hits(1, 1, 1, 1)}, predictions=heard(counts))


def regression(own: Found, reference: Found) -> list[Finding]:
    return list(transfer_faults.gender_regression(own, reference, ["urdu"]))


BEFORE = spoken((14, 14, 14, 14), (10, 10, 10, 10))


def test_gender_regression_is_what_women_lose_and_men_gain() -> None:
    found = only(regression(spoken((12, 13, 13, 13), (11, 11, 11, 11)), BEFORE), "gender regression")
    assert found.what == "women −6.2, men +5.0 points of accuracy; at equal emotions women 11.2 points behind men"
    assert found.certain


@pytest.mark.parametrize(
    ("female", "male"),
    [((12, 13, 13, 13), (10, 10, 10, 11)), ((14, 13, 14, 13), (13, 13, 13, 13)), ((16, 16, 16, 16), (14, 14, 14, 14))],
    ids=["men gain too little", "women lose too little", "all gain"],
)
def test_gender_regression_is_silent_where_one_side_hardly_moves(
    female: tuple[int, ...], male: tuple[int, ...]
) -> None:
    assert regression(spoken(female, male), BEFORE) == []


def uneven_genders(angry: int, happy: int) -> Found:
    """Women are mostly happy and men mostly angry; right ones of each emotion's, the same for both genders."""
    clips = {"female": (6, 90, 6, 6), "male": (90, 6, 6, 6)}
    right = (angry / 10, happy / 10, 0.5, 0.5)
    counts = {
        (gender, emotion): (round(share * of), of)
        for gender, of_gender in clips.items()
        for emotion, share, of in zip(EMOTIONS, right, of_gender, strict=True)
    }
    return folds({"urdu": hits(1, 1, 1, 1)}, predictions=heard(counts))


def test_gender_regression_is_silent_where_emotions_moved_and_not_genders() -> None:
    assert regression(uneven_genders(angry=8, happy=3), uneven_genders(angry=4, happy=7)) == []


def urdu(female_happy: int, male_angry: int) -> Found:
    """URDU's own clips: no angry woman, 46 happy, 4 neutral and 6 sad ones."""
    counts = {
        ("female", "happy"): (female_happy, 46),
        ("female", "neutral"): (2, 4),
        ("female", "sad"): (3, 6),
        ("male", "angry"): (male_angry, 100),
        ("male", "happy"): (20, 54),
        ("male", "neutral"): (50, 96),
        ("male", "sad"): (50, 94),
    }
    return folds({"urdu": hits(1, 1, 1, 1)}, predictions=heard(counts))


def test_gender_cannot_be_told_from_emotion_in_urdu() -> None:
    found = only(regression(urdu(20, 90), urdu(36, 50)), "gender regression")
    assert not found.certain
    assert "gender not separable from emotion (clips of women/men: angry 0/100, happy 46/54, neutral 4/96" in found.what
    assert tag([found]) == ""


def claim(difference: float, high: float) -> Claim:
    return Claim("ours", "theirs", MACRO, ("urdu", "german"), difference, -1.0, high, 0.5, 0.5, 5, 20, 0.05)


def transfer(english: float, found: Claim | None) -> list[Finding]:
    scores = [{"english": hits(right, right, right, right, of=100)} for right in (round(100 * english), 70)]
    own, reference = (folds(score, score) for score in scores)
    return list(transfer_faults.non_transfer(own, reference, ["english"], found))


def test_non_transfer_is_english_held_and_nothing_gained_elsewhere() -> None:
    found = only(transfer(0.68, claim(0.009, 0.029)), "non-transfer")
    assert found.what == "english −2.0 points against theirs, macro +0.9 (95 % CI to +2.9)"
    assert found.certain
    assert "lambda up" in found.try_next


def test_non_transfer_is_undecided_where_the_interval_is_wide() -> None:
    for high in (0.03, 0.2, nan):
        found = only(transfer(0.70, claim(-0.01, high)), "non-transfer")
        assert not found.certain
        assert found.what.endswith(": undecided")


def test_non_transfer_is_silent_where_english_fell_or_something_was_gained() -> None:
    assert transfer(0.67, claim(0.0, 0.02)) == []
    assert transfer(0.70, claim(0.01, 0.02)) == []
    assert transfer(0.70, None) == []


def of_folds(*rights: int, of: int = 20) -> Found:
    return folds(*({"urdu": hits(right, right, right, right, of=of)} for right in rights))


def variance(found: Found) -> list[Finding]:
    return list(transfer_faults.high_variance(found, ["urdu"]))


def test_high_variance_is_beyond_what_folds_of_that_size_have_by_chance() -> None:
    """Folds of 80 clips at a recall of one half: √(4 · .25 / (16 · 20)) is 5.6 points."""
    found = only(variance(of_folds(5, 15, 5, 15, 10)), "high variance")
    sd = sqrt(4 * 0.25**2 / 4)
    chance = sqrt((4 * 0.25 * 0.75 + 0.5 * 0.5) / 5 / 4 / 20)
    assert found.what == f"sd of UAR over folds {100 * sd:.1f} points, by chance alone {100 * chance:.1f}"
    assert found.certain


def test_high_variance_within_chance_is_explained_by_fold_size_and_a_small_one_is_none() -> None:
    found = only(variance(of_folds(9, 11, 9, 12, 10)), "high variance")  # sd 6.5, chance 5.6
    assert not found.certain
    assert found.what.endswith("explained by fold size")
    assert variance(of_folds(10, 10, 11, 10, 10)) == []
    assert variance(of_folds(5)) == []


def test_high_variance_of_large_folds_needs_no_more_than_five_points() -> None:
    assert only(variance(of_folds(450, 520, 580, 400, of=1000)), "high variance").certain
    assert variance(of_folds(460, 500, 540, 500, of=1000)) == []


def test_a_class_with_ten_clips_in_all_folds_that_is_never_right_is_told() -> None:
    never = folds({"urdu": hits(5, 0, 5, 5, of=5)}, {"urdu": hits(5, 0, 5, 5, of=5)})
    found = only(list(transfer_faults.class_never_predicted(never, ["urdu"])), "class never predicted")
    assert found.what == "happy: recall 0.0, 0.0 % of predictions, 10 clips"
    fewer = folds({"urdu": hits(4, 0, 4, 4, of=4)}, {"urdu": hits(5, 0, 5, 5, of=5)})
    assert list(transfer_faults.class_never_predicted(fewer, ["urdu"])) == []
    once = folds({"urdu": hits(5, 1, 5, 5, of=5)}, {"urdu": hits(5, 0, 5, 5, of=5)})
    assert list(transfer_faults.class_never_predicted(once, ["urdu"])) == []


def test_a_class_that_is_right_at_times_but_below_one_in_a_hundred_guesses_is_told() -> None:
    def guessed(right: int) -> Found:
        return folds({"urdu": hits(100, right, 100, 100, of=100)})

    found = only(list(transfer_faults.class_never_predicted(guessed(3), ["urdu"])), "class never predicted")
    assert found.what == "happy: recall 3.0, 0.8 % of predictions, 100 clips"
    assert list(transfer_faults.class_never_predicted(guessed(4), ["urdu"])) == []


def test_uneven_transfer_is_more_than_25_points_between_languages() -> None:
    def between(right: int) -> list[Finding]:
        scores = {"urdu": hits(10, 10, 10, 10, of=40), "german": hits(right, right, right, right, of=40)}
        return list(transfer_faults.uneven_transfer(folds(scores, scores), ["urdu", "german"]))

    assert only(between(21), "uneven transfer").what == "UAR 52.5 in german, 25.0 in urdu"
    assert between(20) == []


def test_nuisance_floor_is_three_points_above_what_level_and_silence_reach() -> None:
    floor = folds({"urdu": hits(50, 50, 50, 50, of=100)})

    def above(right: int) -> list[Finding]:
        return list(transfer_faults.nuisance_floor(folds({"urdu": hits(*[right] * 4, of=100)}), floor, ["urdu"]))

    assert only(above(53), "nuisance floor").where == "urdu"
    assert above(54) == []


@pytest.mark.parametrize(
    ("spearman", "regret", "found"),
    [
        (0.0, 0.01, True),
        (-0.5, 0.0, True),
        (0.9, 0.031, True),
        (None, 0.2, True),
        (0.1, 0.03, False),
        (None, None, False),
    ],
)
def test_selector_failure_is_a_rank_correlation_of_none_or_a_regret_of_three_points(
    spearman: float | None, regret: float | None, found: bool
) -> None:
    assert [one.rule for one in transfer_faults.selector_failure(spearman, regret)] == ["selector failure"] * found
