"""Folds by speaker and sentence: no voice and no words of the test were heard before, in any corpus."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.casts import clip, full, require_apart, shared, subesco
from tests.unheard import clips as demo_clips
from trainers.corpora import CORPORA
from trainers.corpora.folds import Fold, high_resource_folds, low_resource_folds, within_folds
from trainers.corpora.scan import scan
from trainers.corpora.sentences import sentence_groups
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

Folds = Callable[..., tuple[Fold, ...]]

ALL = (high_resource_folds, low_resource_folds, within_folds)


@pytest.mark.parametrize("name", ["emodb", "ravdess"])
@pytest.mark.parametrize("folds", ALL)
def test_on_real_speech_no_voice_and_no_sentence_of_the_test_was_heard_before(
    data_root: Path, name: str, folds: Folds
) -> None:
    known = {each.id: each for each in scan(data_root, CORPORA[name]).utterances}
    made = folds(name, list(known.values()), kind="speaker+sentence")
    assert [fold.index for fold in made] == list(range(5))
    for fold in made:
        assert fold.speaker_disjoint
        assert fold.sentence_disjoint
        require_apart(fold, known)
        for part in (fold.train, fold.test):
            assert {known[each].emotion for each in part} == set(EMOTIONS)


def test_emodb_by_sentence_tests_two_of_ten_sentences_and_all_classes_at_least_twice(data_root: Path) -> None:
    known = {each.id: each for each in scan(data_root, CORPORA["emodb"]).utterances}
    folds = low_resource_folds("emodb", list(known.values()), kind="speaker+sentence")
    assert [sorted({known[each].text for each in fold.test}) for fold in folds] == [
        ["a05", "a07"],
        ["a01", "b03"],
        ["a02", "b09"],
        ["b01", "b02"],
        ["a04", "b10"],
    ]
    counts = [Counter(known[each].emotion for each in fold.test) for fold in folds]
    assert [tuple(count[emotion] for emotion in EMOTIONS) for count in counts] == [
        (5, 5, 4, 4),
        (4, 3, 3, 2),
        (4, 5, 4, 3),
        (7, 4, 3, 2),
        (7, 3, 4, 3),
    ]
    assert [len(fold.train) for fold in folds] == [201, 235, 217, 226, 217]


def test_ravdess_by_sentence_alternates_its_two_statements(data_root: Path) -> None:
    known = {each.id: each for each in scan(data_root, CORPORA["ravdess"]).utterances}
    folds = low_resource_folds("ravdess", list(known.values()), kind="speaker+sentence")
    assert [{known[each].text for each in fold.test} for fold in folds] == [{"01"}, {"02"}, {"01"}, {"02"}, {"01"}]
    assert [{known[each].text for each in fold.train} for fold in folds] == [{"02"}, {"01"}, {"02"}, {"01"}, {"02"}]
    for fold, actors in zip(folds, (6, 6, 4, 4, 4), strict=True):
        counts = Counter(known[each].emotion for each in fold.test)
        assert counts == {"angry": 4 * actors, "happy": 4 * actors, "neutral": 2 * actors, "sad": 4 * actors}


def test_subesco_by_sentence_tests_a_fifth_of_the_speakers_on_a_fifth_of_the_sentences() -> None:
    clips = subesco()
    known = {each.id: each for each in clips}
    for fold in low_resource_folds("subesco", clips, kind="speaker+sentence"):
        require_apart(fold, known)
        assert len(fold.test) == 4000 // 25
        assert len(fold.train) == 4000 * 16 // 25
        assert set(Counter(known[each].emotion for each in fold.test).values()) == {40}


@pytest.mark.parametrize("corpus", ["demo_home", "demo_arda", "demo_bela", "demo_cyra"])
def test_the_demo_has_folds_by_sentence_with_all_classes(corpus: str) -> None:
    known = {each.id: each for each in demo_clips([corpus])}
    for folds in ALL:
        for fold in folds(corpus, list(known.values()), kind="speaker+sentence"):
            require_apart(fold, known)
            assert {known[each].emotion for each in fold.test} == set(EMOTIONS)


def test_of_two_ways_to_deal_the_sentences_the_one_that_gives_every_fold_all_classes_is_taken() -> None:
    """Only speaker A's sentence 2 and B's sentence 1 have both emotions; dealt in order A would be tested on 1."""
    said = {("A", "1"): ["sad"], ("A", "2"): EMOTIONS, ("B", "1"): EMOTIONS, ("B", "2"): ["sad"]}
    turns = [
        tuple(
            clip(speaker, text, emotion)
            for (who, text), emotions in said.items()
            if who == speaker
            for emotion in emotions
        )
        for speaker in "AB"
    ]
    assert sentence_groups("toy", turns) == (frozenset("2"), frozenset("1"))


def test_a_corpus_that_tells_no_sentences_or_only_one_has_no_folds_by_sentence() -> None:
    silent = [replace(each, text="") for each in subesco()]
    with pytest.raises(UserError, match="subesco tells no sentences"):
        low_resource_folds("subesco", silent, kind="speaker+sentence")
    with pytest.raises(UserError, match="toy has 1 sentence;"):
        low_resource_folds("toy", full("toy", "ABCDE", ["one"]), kind="speaker+sentence")


def test_a_fold_that_sentences_leave_empty_is_refused_in_words() -> None:
    """A alone says the second sentence, so that somebody is to be tested on it who never says it."""
    clips = [*(clip(speaker, "one") for speaker in "ABCDE"), clip("A", "two")]
    with pytest.raises(UserError, match=r"fold \d of toy by speaker\+sentence has .* it needs some of both"):
        low_resource_folds("toy", clips, kind="speaker+sentence")


@pytest.mark.parametrize("heard", [("train", "valid"), ("valid", "train")])
def test_a_fold_refuses_a_tested_sentence_that_is_heard_before(heard: tuple[str, str]) -> None:
    parts = {heard[0]: (clip("A", "one"),), heard[1]: (clip("B", "two"),)}
    with pytest.raises(ValueError, match="fold 2 tests sentence 'one', which is heard before"):
        Fold.of(2, parts["train"], parts["valid"], (clip("C", "one"),), sentence_disjoint=True)
    assert not Fold.of(2, parts["train"], parts["valid"], (clip("C", "one"),)).sentence_disjoint


# --- any corpus

SAID = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(0, 6), st.sampled_from(EMOTIONS)), st.integers(1, 2), min_size=30
)


@settings(max_examples=30, deadline=None)
@given(
    SAID, st.randoms(use_true_random=False), st.sampled_from(["speaker", "speaker+sentence", "stratified", "random"])
)
def test_folds_of_any_corpus_keep_apart_what_they_promise_in_whatever_order_its_clips_come(
    said: dict[tuple[int, int, str], int], random: Random, kind: str
) -> None:
    clips = [
        clip(f"S{speaker}", f"t{text}", emotion, take)
        for (speaker, text, emotion), takes in said.items()
        for take in range(takes)
    ]
    known = {each.id: each for each in clips}
    mixed = random.sample(clips, len(clips))
    for folds in ALL:
        if kind == ("random" if folds is not within_folds else "stratified"):
            continue
        try:
            made = folds("toy", clips, kind=kind)
        except UserError:
            assume(False)
        assert folds("toy", mixed, kind=kind) == made
        tested = [each for fold in made for each in fold.test]
        assert len(tested) == len(set(tested))
        if kind != "speaker+sentence":
            assert set(tested) == set(known)
        for fold in made:
            assert fold.speaker_disjoint == kind.startswith("speaker")
            assert fold.sentence_disjoint == (kind == "speaker+sentence")
            if fold.sentence_disjoint:
                require_apart(fold, known)
            elif fold.speaker_disjoint:
                assert not shared(fold.train, fold.valid + fold.test, known, "speaker")
