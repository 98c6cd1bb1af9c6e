"""Folds within a corpus, of four speakers where protocols have five, and what may be heard beside them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.casts import CASIA_CAST, casia, require_apart, shared, subesco
from trainers.corpora.folds import Fold, further_clips, high_resource_folds, low_resource_folds, within_folds
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

Folds = Callable[..., tuple[Fold, ...]]


def test_within_a_corpus_group_r_tests_and_the_next_validates() -> None:
    clips = subesco()
    tested = [set(fold.test) for fold in low_resource_folds("subesco", clips)]
    for r, fold in enumerate(within_folds("subesco", clips)):
        assert set(fold.test) == tested[r]
        assert set(fold.valid) == tested[(r + 1) % 5]
        assert len(fold.train) == 2400


@pytest.mark.parametrize("kind", ["speaker", "speaker+sentence"])
def test_within_casia_each_of_four_speakers_is_left_out_once_and_the_next_validates(kind: str) -> None:
    known = {each.id: each for each in casia()}
    folds = within_folds("casia", list(known.values()), kind=kind)
    cast = [f"casia:{who}" for who in CASIA_CAST]
    assert [{known[each].speaker for each in fold.test} for fold in folds] == [{who} for who in cast]
    assert [{known[each].speaker for each in fold.valid} for fold in folds] == [{who} for who in (*cast[1:], cast[0])]
    if kind == "speaker":
        assert {(len(fold.train), len(fold.valid), len(fold.test)) for fold in folds} == {(400, 200, 200)}


def test_within_casia_by_sentence_each_of_fifty_sentences_is_tested_on_one_of_four_speakers() -> None:
    known = {each.id: each for each in casia()}
    folds = within_folds("casia", list(known.values()), kind="speaker+sentence")
    for fold in folds:
        require_apart(fold, known)
    tested = [text for fold in folds for text in {known[each].text for each in fold.test}]
    assert sorted(tested) == [str(number) for number in range(201, 251)]


def test_random_folds_are_ten_even_tenths_of_every_class_and_say_that_speakers_are_on_both_sides() -> None:
    known = {each.id: each for each in casia()}
    folds = within_folds("casia", list(known.values()), kind="random")
    assert sorted(each for fold in folds for each in fold.test) == sorted(known)
    for r, fold in enumerate(folds):
        assert (len(fold.train), len(fold.valid), len(fold.test)) == (640, 80, 80)
        assert fold.valid == folds[(r + 1) % 10].test
        assert Counter(known[each].emotion for each in fold.test) == dict.fromkeys(EMOTIONS, 20)
        assert not fold.speaker_disjoint
        assert not fold.sentence_disjoint


def test_unknown_kinds_are_answered_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"'stratified'; there are: random, speaker, speaker\+sentence"):
        within_folds("casia", casia(), kind="stratified")


# --- four speakers in five folds


@pytest.mark.parametrize("folds", [high_resource_folds, low_resource_folds])
def test_four_speakers_make_five_folds_that_test_each_clip_once_and_keep_speakers_apart(folds: Folds) -> None:
    known = {each.id: each for each in casia()}
    made = folds("casia", list(known.values()))
    assert len(made) == 5
    assert sorted(each for fold in made for each in fold.test) == sorted(known)
    for fold in made:
        assert fold.speaker_disjoint
        assert len({known[each].speaker for each in fold.test}) == 1
        assert len({known[each].speaker for each in fold.train}) == (2 if fold.valid else 3)
        assert set(Counter(known[each].emotion for each in fold.test).values()) in ({50}, {25})


def test_in_high_resource_folds_of_four_speakers_each_clip_validates_once() -> None:
    clips = casia()
    folds = high_resource_folds("casia", clips)
    assert sorted(each for fold in folds for each in fold.valid) == sorted(each.id for each in clips)


def test_a_missing_speaker_of_four_is_named() -> None:
    with pytest.raises(UserError, match="casia needs 4 groups of speakers; no clip is here of wangzhe"):
        within_folds("casia", [each for each in casia() if each.speaker != "casia:wangzhe"])


# --- further emotions


def test_further_clips_are_of_speakers_and_sentences_that_are_not_tested() -> None:
    afraid = [replace(each, path=f"{each.path}x", emotion="fear") for each in casia() if each.emotion == "sad"]
    known = {each.id: each for each in [*casia(), *afraid]}
    for kind, heard in (("speaker", 2 * 50), ("speaker+sentence", 2 * 37), ("random", 200)):
        fold = within_folds("casia", list(known.values()), kind=kind)[0]
        further = further_clips(fold, known.values())
        assert len(further) in (heard, heard + 1, heard + 2)
        assert {known[each].emotion for each in further} == {"fear"}
        if kind != "random":
            assert not shared(further, fold.valid + fold.test, known, "speaker")
        if kind == "speaker+sentence":
            assert not shared(further, fold.test, known, "text")
