"""Whose speech a training hears that leaves no fold out: everything that some fold trains on, and nothing held out."""

import pytest

from tests.unheard import Unheard, unheard_demo, unheard_papers
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError
from trainers.methods.configs import (
    BaselineConfig,
    ByolConfig,
    ClConfig,
    MethodConfig,
    PairwiseConfig,
    SupConConfig,
)
from trainers.protocols import PROTOCOLS
from trainers.splits import EVERY_FOLD, Splits


@pytest.fixture(scope="module")
def papers() -> Unheard:
    return unheard_papers()


def clips(speech: Unheard, *corpora: str, split: str = "", emotions: tuple[str, ...] = EMOTIONS) -> set[str]:
    """By labels alone, which no fold has dealt."""
    own = [clip for clip in speech.utterances if clip.corpus in corpora and clip.emotion in emotions]
    return {clip.id for clip in own if not split or clip.split == split}


def test_all_labelled_clips_of_the_demo_are_heard_and_none_is_tested() -> None:
    speech = unheard_demo()
    split = Splits(PROTOCOLS["demo"], speech.prepared).of(None, EVERY_FOLD, BaselineConfig())
    assert set(split.labelled) == clips(speech, "demo_home")
    assert len(set(split.labelled)) == len(split.labelled)
    assert (split.unlabelled, split.stage, split.valid, split.test, split.whole) == ({}, {}, {}, {}, {})


def test_a_published_split_keeps_its_test_and_a_held_out_corpus_stays_unheard(papers: Unheard) -> None:
    splits = Splits(PROTOCOLS["gong2025"], papers.prepared)
    byol = splits.of("urdu", EVERY_FOLD, ByolConfig())
    assert set(byol.labelled) == clips(papers, "msp_podcast", split="train") | clips(papers, "iemocap")
    assert {name: set(heard) for name, heard in byol.unlabelled.items()} == {"urdu": clips(papers, "urdu")}
    cl = splits.of(None, EVERY_FOLD, ClConfig(adapt_on="adaptation"))
    spoken = ("common_voice_de", "common_voice_ur", "common_voice_bn")
    assert set(cl.heard_by_stage) == clips(papers, *spoken, emotions=("",))


def test_speech_matched_to_the_targets_is_as_much_as_all_of_it(papers: Unheard) -> None:
    splits = Splits(PROTOCOLS["gong2025"], papers.prepared)
    heard = splits.of("german", EVERY_FOLD, ByolConfig(unlabelled_on="adaptation-matched")).unlabelled
    assert [*heard] == ["common_voice_de"]
    assert len(heard["common_voice_de"]) == len(clips(papers, "emodb")) < len(splits.adaptation["common_voice_de"])


def test_speakers_of_all_low_resource_languages_are_adapted_to(papers: Unheard) -> None:
    cl = Splits(PROTOCOLS["open"], papers.prepared).of(None, EVERY_FOLD, ClConfig(adapt_on="low"))
    assert {name: set(heard) for name, heard in cl.stage.items()} == {
        "urdu": clips(papers, "urdu"),
        "german": clips(papers, "emodb"),
    }


def test_within_corpora_it_hears_its_own_labels_and_its_stage_what_the_method_takes(papers: Unheard) -> None:
    splits = Splits(PROTOCOLS["xiang2024"], papers.prepared)
    english, further = clips(papers, "iemocap"), clips(papers, "iemocap", emotions=("frustration",))
    supcon = splits.of("english", EVERY_FOLD, SupConConfig())
    assert set(supcon.labelled) == english
    assert set(supcon.stage["english"]) == english | further
    assert set(supcon.stage["mandarin"]) == clips(papers, "casia") | clips(papers, "casia", emotions=("fear",))
    pairwise = splits.of("english", EVERY_FOLD, PairwiseConfig(annotations="other", view_names=("layers", "mel")))
    assert set(pairwise.heard_by_stage) == further
    with pytest.raises(UserError, match="unknown language 'none'"):
        splits.of(None, EVERY_FOLD, BaselineConfig())


@pytest.mark.parametrize("folds_by", ["speaker", "speaker+sentence", "stratified"])
@pytest.mark.parametrize("config", [ByolConfig(), ClConfig(adapt_on="target")])
def test_it_hears_all_that_any_fold_hears_however_folds_are_dealt(folds_by: str, config: MethodConfig) -> None:
    splits = Splits(PROTOCOLS["demo"], unheard_demo().prepared, folds_by)
    whole = splits.of("demo-arda", EVERY_FOLD, config)
    folds = [splits.of("demo-arda", fold, config) for fold in range(5)]
    assert set(whole.labelled) == {clip for fold in folds for clip in fold.labelled}
    assert set(whole.heard_by_stage) == {clip for fold in folds for clip in fold.heard_by_stage}
    for language, heard in whole.unlabelled.items():
        assert set(heard) == {clip for fold in folds for clip in fold.unlabelled[language]}


def test_there_is_nothing_to_choose_by() -> None:
    split = Splits(PROTOCOLS["demo"], unheard_demo().prepared).of(None, EVERY_FOLD, BaselineConfig())
    with pytest.raises(UserError, match="leaves no fold out"):
        _ = split.selector
