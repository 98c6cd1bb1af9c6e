"""Folds: the published groups on the real corpora, and nobody on both sides of anything."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.corpora import CORPORA
from trainers.corpora.folds import Fold, high_resource_folds, low_resource_folds
from trainers.corpora.groups import EMODB_GROUPS, GROUPS, URDU_GROUPS, speaker_groups
from trainers.corpora.scan import scan
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError

Parts = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

REAL = ("emodb", "urdu", "ravdess")


def clip(
    speaker: str, number: int = 0, *, corpus: str = "toy", gender: str = "female", emotion: str = "sad"
) -> Utterance:
    path = f"{corpus}/{speaker}_{emotion}_{number}.wav"
    return Utterance(path, corpus, "toyish", f"{corpus}:{speaker}", gender, emotion, 1.0)


def one_each(corpus: str) -> list[Utterance]:
    """A clip of every speaker that the corpus's groups name."""
    return [clip(speaker, corpus=corpus) for group in GROUPS[corpus] for speaker in group]


def of(data_root: Path, name: str) -> dict[str, Utterance]:
    return {each.id: each for each in scan(data_root, CORPORA[name]).utterances}


def all_folds(name: str, clips: Sequence[Utterance]) -> list[Fold]:
    return [*high_resource_folds(name, clips), *low_resource_folds(name, clips)]


def speakers(ids: Sequence[str], clips: dict[str, Utterance]) -> set[str]:
    return {clips[each].speaker for each in ids}


def test_emodb_folds_have_the_sizes_of_the_speaker_pairs(data_root: Path) -> None:
    folds = low_resource_folds("emodb", list(of(data_root, "emodb").values()))
    assert [len(fold.test) for fold in folds] == [81, 51, 71, 63, 73]


def test_each_emodb_test_fold_has_a_man_and_a_woman(data_root: Path) -> None:
    clips = of(data_root, "emodb")
    for fold in low_resource_folds("emodb", list(clips.values())):
        cast = {(clips[each].gender, clips[each].speaker) for each in fold.test}
        assert sorted(gender for gender, _ in cast) == ["female", "male"]


def test_urdu_speaker_folds_have_the_published_class_counts(data_root: Path) -> None:
    clips = of(data_root, "urdu")
    found = []
    for fold in low_resource_folds("urdu", list(clips.values())):
        counts = Counter(clips[each].emotion for each in fold.test)
        found.append(tuple(counts[emotion] for emotion in EMOTIONS))
    assert found == [(28, 28, 10, 10), (0, 16, 72, 4), (48, 18, 6, 8), (2, 20, 8, 40), (22, 18, 4, 38)]


def test_urdu_stratified_folds_have_twenty_a_class_and_say_that_speakers_are_on_both_sides(data_root: Path) -> None:
    clips = of(data_root, "urdu")
    folds = low_resource_folds("urdu", list(clips.values()), kind="stratified")
    for fold in folds:
        assert Counter(clips[each].emotion for each in fold.test) == dict.fromkeys(EMOTIONS, 20)
        assert not fold.speaker_disjoint
        assert speakers(fold.test, clips) & speakers(fold.train, clips)


def test_ravdess_groups_hold_three_three_two_two_two_pairs_of_actors(data_root: Path) -> None:
    groups = speaker_groups("ravdess", list(of(data_root, "ravdess").values()))
    actors = [sorted({int(each.speaker.split(":")[1]) for each in group}) for group in groups]
    assert [len(group) for group in actors] == [6, 6, 4, 4, 4]
    assert all(group[::2] == [man for man in group if man % 2] for group in actors)
    assert all(man + 1 == woman for group in actors for man, woman in zip(group[::2], group[1::2], strict=True))


@pytest.mark.parametrize("name", REAL)
def test_on_real_speech_no_speaker_is_in_two_parts_and_no_clip_is_lost(data_root: Path, name: str) -> None:
    clips = of(data_root, name)
    for fold in all_folds(name, list(clips.values())):
        parts = [speakers(part, clips) for part in (fold.train, fold.valid, fold.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert sorted(fold.train + fold.valid + fold.test) == sorted(clips)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("kind", ["speaker", "stratified"])
def test_every_clip_is_tested_once_over_the_five_folds(data_root: Path, name: str, kind: str) -> None:
    clips = of(data_root, name)
    folds = low_resource_folds(name, list(clips.values()), kind=kind)
    assert sorted(each for fold in folds for each in fold.test) == sorted(clips)
    assert all(fold.valid == () for fold in folds)


def test_a_high_resource_fold_validates_on_group_r_and_tests_on_the_next() -> None:
    clips = one_each("emodb")
    groups = [{each.id for each in group} for group in speaker_groups("emodb", clips)]
    for r, fold in enumerate(high_resource_folds("emodb", clips)):
        assert fold.index == r
        assert set(fold.valid) == groups[r]
        assert set(fold.test) == groups[(r + 1) % 5]
        assert len(fold.train) == 6


def test_the_order_of_the_clips_does_not_matter_to_stratified_folds() -> None:
    clips = [clip("F1", number, emotion=emotion) for emotion in EMOTIONS for number in range(7)]
    one, other = (low_resource_folds("toy", order, kind="stratified") for order in (clips, clips[::-1]))
    assert one == other


def test_stratified_folds_are_these_for_ever() -> None:
    """The order of `printf toy/F1_angry_0.wav | sha256sum`, class by class: no library's random numbers are in it."""
    clips = [clip("F1", number, emotion=emotion) for emotion in ("angry", "sad") for number in range(5)]
    folds = low_resource_folds("toy", clips, kind="stratified")
    assert [[name[7:-4] for name in fold.test] for fold in folds] == [
        ["angry_2", "sad_1"],
        ["angry_3", "sad_0"],
        ["angry_4", "sad_2"],
        ["angry_1", "sad_3"],
        ["angry_0", "sad_4"],
    ]


@given(
    st.dictionaries(st.tuples(st.sampled_from("FM"), st.integers(0, 40)), st.integers(1, 4), min_size=5, max_size=30)
)
def test_any_other_corpus_gets_disjoint_groups_that_differ_by_at_most_one_speaker_a_gender(
    cast: dict[tuple[str, int], int],
) -> None:
    genders = {"F": "female", "M": "male"}
    clips = [
        clip(f"{letter}{number}", take, gender=genders[letter])
        for (letter, number), takes in cast.items()
        for take in range(takes)
    ]
    known = {each.id: each for each in clips}
    for fold in all_folds("toy", clips):
        assert not speakers(fold.train, known) & speakers(fold.valid + fold.test, known)
    casts = [{(each.gender, each.speaker) for each in group} for group in speaker_groups("toy", clips)]
    for gender in genders.values():
        counts = [sum(each == gender for each, _ in group) for group in casts]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("name", REAL)
def test_of_an_incomplete_copy_the_folds_keep_the_speakers_that_are_there(name: str) -> None:
    whole, lost = one_each(name), GROUPS[name][0][0]
    rest = [each for each in whole if each.speaker != f"{name}:{lost}"]
    for complete, partial in zip(low_resource_folds(name, whole), low_resource_folds(name, rest), strict=True):
        assert set(partial.test) == set(complete.test) - {f"{name}/{lost}_sad_0.wav"}


def test_subesco_groups_are_two_women_and_two_men_each() -> None:
    assert GROUPS["subesco"][0] == ("F01", "F02", "M01", "M02")
    assert GROUPS["subesco"][4] == ("F09", "F10", "M09", "M10")


def test_the_two_speakers_of_an_iemocap_session_are_tested_together() -> None:
    clips = one_each("iemocap")
    tested = [set(fold.test) for fold in low_resource_folds("iemocap", clips)]
    assert tested == [{f"iemocap/Ses0{k}{letter}_sad_0.wav" for letter in "FM"} for k in range(1, 6)]


def test_clips_of_other_emotions_than_the_four_are_in_no_fold() -> None:
    clips = one_each("emodb")
    beside = [replace(each, path=f"{each.path}x", emotion="fear") for each in clips]
    assert all_folds("emodb", clips + beside) == all_folds("emodb", clips)


@pytest.mark.parametrize("name", REAL)
def test_a_speaker_that_no_group_knows_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no fold for speaker SX1, SX2"):
        low_resource_folds(name, [*one_each(name), clip("SX2", corpus=name), clip("SX1", corpus=name)])


def test_a_group_without_clips_names_its_speakers() -> None:
    rest = [each for each in one_each("emodb") if each.speaker not in ("emodb:11", "emodb:13")]
    with pytest.raises(UserError, match="no clip is here of 11, 13"):
        high_resource_folds("emodb", rest)


def test_four_speakers_are_too_few_for_five_folds() -> None:
    with pytest.raises(UserError, match="toy has 4 speakers"):
        low_resource_folds("toy", [clip(f"F{number}") for number in range(4)])


def test_an_unknown_kind_of_folds_is_answered_with_the_choices() -> None:
    with pytest.raises(
        UserError, match=r"unknown kind of folds 'random'; there are: speaker, speaker\+sentence, strat"
    ):
        low_resource_folds("toy", [], kind="random")


@pytest.mark.parametrize(
    "parts", [(("a",), ("a",), ("b",)), (("a",), (), ("a",)), (("c",), ("a",), ("a",)), (("a", "a"), (), ("b",))]
)
def test_a_fold_refuses_an_utterance_in_two_places(parts: Parts) -> None:
    with pytest.raises(ValueError, match="fold 3 has an utterance twice: 'a'"):
        Fold(3, *parts)


@pytest.mark.parametrize("parts", [((), (), ("a",)), (("a",), (), ())])
def test_a_fold_refuses_to_train_or_test_on_nothing(parts: Parts) -> None:
    with pytest.raises(ValueError, match="it needs some of both"):
        Fold(0, *parts)


def test_a_fold_refuses_a_speaker_in_two_parts_unless_it_says_so() -> None:
    train, test = (clip("F1", 1),), (clip("F1", 2),)
    with pytest.raises(ValueError, match="fold 0 has speaker 'toy:F1' in two parts"):
        Fold.of(0, train, (), test)
    assert not Fold.of(0, train, (), test, speaker_disjoint=False).speaker_disjoint


def test_the_groups_name_every_speaker_once() -> None:
    speakers = {"emodb": 10, "urdu": 29, "ravdess": 24, "subesco": 20, "iemocap": 10, "casia": 4}
    cast = speakers | {"ravdess_calm": 24, "subesco_emobox": 20}
    assert cast.keys() == GROUPS.keys()
    for name, expected in cast.items():
        named = [speaker for group in GROUPS[name] for speaker in group]
        assert len(named) == len(set(named)) == expected
    assert EMODB_GROUPS[1] == ("10", "09")
    assert URDU_GROUPS[2][5] == "SM4"
