"""Splits: who may be heard where, on the demo's names and on the real corpora, and what a fingerprint says."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from tests.unheard import Unheard, clips, unheard_demo
from trainers.corpora import CORPORA
from trainers.corpora.scan import scan
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig
from trainers.protocols import PROTOCOLS, Protocol, protocol_named
from trainers.split import Split
from trainers.splits import Splits

FOLDS = range(5)
DEMO = PROTOCOLS["demo"]


def demo_splits() -> tuple[Splits, Unheard]:
    speech = unheard_demo()
    return Splits(DEMO, speech.prepared), speech


@pytest.fixture(scope="module")
def real(data_root: Path) -> Unheard:
    found = [clip for name in PROTOCOLS["open"].corpora for clip in scan(data_root, CORPORA[name]).utterances]
    return Unheard(tuple(sorted(found, key=lambda clip: clip.path)))


def all_of(splits: Splits) -> list[Split]:
    return [splits.of(target, fold, ByolConfig()) for target in (None, *splits.languages) for fold in FOLDS]


def roles(split: Split) -> dict[str, tuple[str, ...]]:
    """Every part but `whole`, which holds the fold's test clips once more."""
    return {name: ids for name, ids in split._parts() if not name.startswith("whole")}


def speakers(ids: tuple[str, ...], speech: Unheard) -> set[str]:
    return {speech.utterances[speech.index[each]].speaker for each in ids}


def require_apart(split: Split) -> None:
    for (one, these), (other, those) in combinations(roles(split).items(), 2):
        assert not set(these) & set(those), (one, other)


def require_strange_speakers(split: Split, speech: Unheard) -> None:
    """Who is validated or tested on is never heard in training."""
    trained = speakers(split.labelled, speech).union(*(speakers(ids, speech) for ids in split.unlabelled.values()))
    for name, ids in {**roles(split), **{f"whole/{name}": ids for name, ids in split.whole.items()}}.items():
        if not name.startswith(("labelled", "unlabelled")):
            assert not speakers(ids, speech) & trained, name


def require_tested_once(splits: Splits, speech: Unheard, target: str | None) -> None:
    """Over the five folds: each clip of the tested languages and of the high-resource one, exactly once."""
    heard = Counter(
        clip for fold in FOLDS for ids in splits.of(target, fold, ByolConfig()).test.values() for clip in ids
    )
    tested = {*splits.held_out_languages, *([target] if target else splits.languages)}
    assert heard == Counter(clip.id for clip in speech.utterances if clip.language in tested)


def test_no_clip_of_the_demo_has_two_roles_and_no_tested_speaker_is_trained_on() -> None:
    splits, speech = demo_splits()
    for split in all_of(splits):
        require_apart(split)
        require_strange_speakers(split, speech)


def test_every_clip_of_the_demo_is_tested_once_over_the_five_folds() -> None:
    splits, speech = demo_splits()
    for target in (None, *splits.languages):
        require_tested_once(splits, speech, target)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["speaker", "stratified"])
def test_no_real_clip_has_two_roles_and_each_is_tested_once(real: Unheard, kind: str) -> None:
    splits = Splits(PROTOCOLS["open"], real.prepared, kind)
    assert splits.languages == ("urdu", "german")
    assert splits.held_out_languages == ("english",)
    for split in all_of(splits):
        require_apart(split)
    for target in (None, *splits.languages):
        require_tested_once(splits, real, target)


@pytest.mark.slow
def test_no_tested_real_speaker_is_trained_on_in_folds_by_speaker(real: Unheard) -> None:
    splits = Splits(PROTOCOLS["open"], real.prepared, "speaker")
    assert splits.shared_speakers == frozenset()
    for split in all_of(splits):
        require_strange_speakers(split, real)


@pytest.mark.slow
def test_stratified_urdu_says_that_its_test_speakers_are_heard_in_training(real: Unheard) -> None:
    splits = Splits(PROTOCOLS["open"], real.prepared, "stratified")
    assert "urdu" in splits.shared_speakers
    split = splits.of("urdu", 0, ByolConfig())
    assert speakers(split.test["urdu"], real) & speakers(split.unlabelled["urdu"], real)


def test_fold_r_validates_on_group_r_and_tests_on_the_next() -> None:
    splits, speech = demo_splits()
    valid = [speakers(splits.of(None, fold, ByolConfig()).valid["hrl"], speech) for fold in FOLDS]
    tested = [speakers(splits.of(None, fold, ByolConfig()).test["demo-home"], speech) for fold in FOLDS]
    assert tested == valid[1:] + valid[:1]
    assert sorted(name for group in valid for name in group) == sorted(
        {clip.speaker for clip in speech.utterances if clip.corpus == "demo_home"}
    )


def test_a_cell_hears_its_target_without_labels_and_nothing_of_the_others() -> None:
    splits, speech = demo_splits()
    split = splits.of("demo-arda", 2, ByolConfig())
    assert list(split.unlabelled) == ["demo-arda"]
    assert set(split.test) == {"demo-arda", "demo-home"}
    assert split.whole == {}
    assert {speech.utterances[speech.index[clip]].corpus for clip in split.labelled} == {"demo_home"}
    others = {speech.utterances[speech.index[clip]].language for clip in split.valid["other-languages"]}
    assert others == {"demo-bela", "demo-cyra"}
    assert not set(split.valid["other-languages"]) & set(splits.of("demo-bela", 2, ByolConfig()).test["demo-bela"])


def test_a_cell_without_target_tests_every_language_and_all_of_each_beside_the_folds() -> None:
    splits, speech = demo_splits()
    split = splits.of(None, 0, ByolConfig())
    assert split.unlabelled == {}
    assert set(split.test) == {*splits.languages, "demo-home"}
    for language in splits.languages:
        assert set(split.whole[language]) == {clip.id for clip in speech.utterances if clip.language == language}


# --- more corpora of one language


@pytest.fixture
def bela_in_homes_language(monkeypatch: pytest.MonkeyPatch) -> Unheard:
    """The demo, if the people of two of its corpora spoke one language."""
    monkeypatch.setitem(CORPORA, "demo_bela", replace(CORPORA["demo_bela"], language="demo-home"))
    made = (replace(c, language="demo-home") if c.corpus == "demo_bela" else c for c in unheard_demo().utterances)
    return Unheard(tuple(made))


def test_a_held_out_corpus_of_the_high_resource_language_keeps_its_own_test(bela_in_homes_language: Unheard) -> None:
    """As RAVDESS beside MSP-Podcast and IEMOCAP in gong2025, all English."""
    english = bela_in_homes_language
    splits = Splits(Protocol("made-up", ("demo_home",), ("demo_arda",), ("demo_bela",)), english.prepared)
    split = splits.of("demo-arda", 0, ByolConfig())
    assert splits.held_out_languages == ("demo-home", "demo_bela")
    assert split.test["demo-home"] == splits.high["demo_home"][0].test
    assert set(split.test["demo_bela"]) == {clip.id for clip in english.utterances if clip.corpus == "demo_bela"}
    require_apart(split)


def test_two_high_resource_corpora_are_both_trained_validated_and_tested_on() -> None:
    speech = unheard_demo()
    splits = Splits(Protocol("made-up", ("demo_home", "demo_bela"), ("demo_arda",)), speech.prepared)
    split = splits.of("demo-arda", 1, ByolConfig())
    for part in (split.labelled, split.valid["hrl"]):
        assert {speech.utterances[speech.index[clip]].corpus for clip in part} == {"demo_home", "demo_bela"}
    assert set(split.test) == {"demo-arda", "demo-home", "demo-bela"}


def test_two_high_resource_corpora_of_one_language_share_its_test(bela_in_homes_language: Unheard) -> None:
    speech = bela_in_homes_language
    splits = Splits(Protocol("made-up", ("demo_home", "demo_bela"), ("demo_arda",)), speech.prepared)
    split = splits.of("demo-arda", 1, ByolConfig())
    assert splits.held_out_languages == ("demo-home",)
    assert set(split.test["demo-home"]) == {*splits.high["demo_home"][1].test, *splits.high["demo_bela"][1].test}
    for target in (None, "demo-arda"):
        require_tested_once(splits, speech, target)


def test_two_tests_of_one_name_are_refused(bela_in_homes_language: Unheard) -> None:
    speech = bela_in_homes_language
    with pytest.raises(UserError, match="protocol made-up has two tests of the name 'demo-home'"):
        Splits(Protocol("made-up", ("demo_home",), ("demo_arda", "demo_bela")), speech.prepared)


# --- what is refused


def test_an_unknown_language_fold_kind_or_protocol_is_answered_with_the_choices() -> None:
    splits, speech = demo_splits()
    with pytest.raises(UserError, match="unknown language 'klingon'; there are: demo-arda, demo-bela, demo-cyra"):
        splits.of("klingon", 0, ByolConfig())
    for fold in (500, -1):
        with pytest.raises(UserError, match=f"unknown fold '{fold}'; there are: 0, 1, 2, 3, 4"):
            splits.of(None, fold, ByolConfig())
    with pytest.raises(UserError, match=r"unknown kind of folds 'alphabet'; there are: random, speaker, speaker\+sen"):
        Splits(DEMO, speech.prepared, "alphabet")
    with pytest.raises(UserError, match="unknown protocol 'gong'; there are: demo, demo_corpora, demo_sources, "):
        protocol_named("gong")


def test_corpora_that_are_not_here_are_no_languages_if_low_resource_and_refused_if_not() -> None:
    speech = Unheard(clips(["demo_home", "demo_cyra"]))
    assert Splits(DEMO, speech.prepared).languages == ("demo-cyra",)
    with pytest.raises(UserError, match="demo_home has 0 speakers"):
        Splits(DEMO, Unheard(clips(["demo_arda"])).prepared)
    with pytest.raises(UserError, match="protocol p tests on demo_bela, of which no clip is here"):
        Splits(Protocol("p", ("demo_home",), ("demo_cyra",), ("demo_bela",)), speech.prepared)


def test_an_utterance_that_is_trained_and_tested_on_is_refused() -> None:
    twice = Protocol("made-up", ("demo_home",), ("demo_arda",), ("demo_home",))
    with pytest.raises(UserError, match=r"\d+ clips of test/demo_home in fold 0 are trained on too, 'demo_home/F03_"):
        Splits(twice, unheard_demo().prepared).of("demo-arda", 0, ByolConfig())


# --- fingerprints


def fingerprint(speech: Unheard, target: str | None = "demo-arda", fold: int = 0) -> str:
    return Splits(DEMO, speech.prepared).of(target, fold, ByolConfig()).fingerprint(speech.prepared)


def test_each_cells_speech_has_its_own_fingerprint_and_always_the_same() -> None:
    splits, speech = demo_splits()
    found = [split.fingerprint(speech.prepared) for split in all_of(splits)]
    assert len(set(found)) == len(found) == 20
    again = Splits(DEMO, unheard_demo().prepared)
    assert [split.fingerprint(speech.prepared) for split in all_of(again)] == found


@pytest.mark.parametrize("group", ["labelled", "unlabelled/demo-arda", "valid/hrl", "test/demo-arda", "test/demo-home"])
def test_a_fingerprint_changes_with_a_label_or_the_sound_of_a_clip_in_any_part(group: str) -> None:
    splits, speech = demo_splits()
    clip = roles(splits.of("demo-arda", 0, ByolConfig()))[group][0]
    emotion = speech.utterances[speech.index[clip]].emotion
    relabelled = speech.but(clip, emotion="sad" if emotion == "angry" else "angry")
    resounding = Unheard(speech.utterances, {clip: "other samples"})
    assert len({fingerprint(speech), fingerprint(relabelled), fingerprint(resounding)}) == 3


def test_a_fingerprint_changes_when_a_clip_is_missing_or_changes_its_part() -> None:
    splits, speech = demo_splits()
    split = splits.of("demo-arda", 0, ByolConfig())
    known = split.fingerprint(speech.prepared)
    without = replace(split, labelled=split.labelled[1:])
    moved = replace(without, valid={**split.valid, "hrl": (*split.valid["hrl"], split.labelled[0])})
    renamed = replace(split, test={"elsewhere": split.test["demo-arda"], "demo-home": split.test["demo-home"]})
    assert len({known, *(one.fingerprint(speech.prepared) for one in (without, moved, renamed))}) == 4


def test_a_fingerprint_does_not_change_with_what_the_cell_never_hears() -> None:
    splits, speech = demo_splits()
    heard = {clip for ids in roles(splits.of("demo-arda", 0, ByolConfig())).values() for clip in ids}
    beside = next(clip for clip in speech.utterances if clip.id not in heard)
    assert beside.corpus in {"demo_bela", "demo_cyra"}
    assert fingerprint(Unheard(speech.utterances, {beside.id: "other samples"})) == fingerprint(speech)
    shuffled = Unheard(tuple(reversed(speech.utterances)))
    assert splits.of("demo-arda", 0, ByolConfig()).fingerprint(shuffled.prepared) == fingerprint(speech)
