"""A split or folds that a corpus was published with come before ours."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.casts import clip, full, require_apart
from trainers.corpora.folds import Fold, further_clips, high_resource_folds, low_resource_folds, within_folds
from trainers.corpora.utterance import Utterance
from trainers.errors import UserError

Folds = Callable[..., tuple[Fold, ...]]


def published(*, unknown_speaker: bool = False) -> list[Utterance]:
    """Speakers A, B, C train; D validates; E is tested, and perhaps A too."""
    splits = dict(zip("ABCDE", ("train", "train", "train", "valid", "test"), strict=True))
    clips = [replace(each, split=splits[each.speaker[-1]]) for each in full("toy", "ABCDE", ["one", "two"])]
    return [*clips, clip("A", "three", split="test")] if unknown_speaker else clips


@pytest.mark.parametrize("folds", [high_resource_folds, within_folds])
def test_a_published_split_is_each_of_the_five_folds(folds: Folds) -> None:
    clips = published()
    parts = [tuple(sorted(each.id for each in clips if each.split == part)) for part in ("train", "valid", "test")]
    assert folds("toy", clips) == tuple(Fold(r, parts[0], parts[1], parts[2]) for r in range(5))


def test_a_low_resource_corpus_with_a_published_split_validates_on_nothing() -> None:
    for fold in low_resource_folds("toy", published()):
        assert (len(fold.train), fold.valid, len(fold.test)) == (24, (), 8)


def test_a_published_split_that_does_not_part_the_speakers_is_told_so() -> None:
    assert not any(fold.speaker_disjoint for fold in high_resource_folds("toy", published(unknown_speaker=True)))


def test_by_sentence_a_published_test_stays_whole_and_training_loses_its_sentences() -> None:
    clips = [each for each in published() if each.split != "test" or each.text == "one"]
    known = {each.id: each for each in clips}
    fold = high_resource_folds("toy", clips, kind="speaker+sentence")[0]
    require_apart(fold, known)
    assert (len(fold.train), len(fold.valid), len(fold.test)) == (12, 4, 4)
    with pytest.raises(UserError, match=r"fold 0 of toy by speaker\+sentence has 0 clips to train on"):
        high_resource_folds("toy", published(), kind="speaker+sentence")


def test_stratified_and_random_folds_do_not_ask_for_the_published_split() -> None:
    clips = published()
    unsplit = [replace(each, split="") for each in clips]
    assert low_resource_folds("toy", clips, kind="stratified") == low_resource_folds("toy", unsplit, kind="stratified")
    assert within_folds("toy", clips, kind="random") == within_folds("toy", unsplit, kind="random")


def test_folds_that_a_corpus_tells_are_its_groups() -> None:
    clips = [replace(each, fold="EDCBA".index(each.speaker[-1])) for each in full("toy", "ABCDE", ["one", "two"])]
    folds = low_resource_folds("toy", clips)
    assert [{each[4] for each in fold.test} for fold in folds] == [{"E"}, {"D"}, {"C"}, {"B"}, {"A"}]
    assert all(fold.speaker_disjoint for fold in folds)
    crossed = [replace(each, fold=number % 5) for number, each in enumerate(clips)]
    assert not any(fold.speaker_disjoint for fold in low_resource_folds("toy", crossed))


def test_a_split_or_fold_that_only_some_clips_tell_is_refused() -> None:
    first, *rest = published()
    with pytest.raises(UserError, match=r"toy tells no split of 1 of its 40 clips, 'toy/A_one_angry_0.wav' first"):
        high_resource_folds("toy", [replace(first, split=""), *rest])
    told = [replace(each, split="", fold=number % 5) for number, each in enumerate([first, *rest])]
    with pytest.raises(UserError, match="toy tells no fold of 1 of its 40 clips"):
        high_resource_folds("toy", [replace(told[0], fold=None), *told[1:]])
    with pytest.raises(UserError, match="toy tells the folds 1, 2, 3, 4; it must be all of 0 to 4"):
        high_resource_folds("toy", [each for each in told if each.fold])


def test_further_clips_of_a_published_split_are_those_of_its_training() -> None:
    clips = published(unknown_speaker=True)
    afraid = [replace(each, path=f"{each.path}x", emotion="fear") for each in clips if each.emotion == "sad"]
    fold = high_resource_folds("toy", [*clips, *afraid])[0]
    assert set(further_clips(fold, [*clips, *afraid])) == {each.id for each in afraid if each.split == "train"}
