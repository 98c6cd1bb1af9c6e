"""Who is heard where, by every method, under every protocol, kind of folds, target and fold."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from tests.unheard import Unheard, clips, unheard_papers
from trainers.errors import UserError
from trainers.methods.configs import (
    ADAPT_ON,
    POSITIVES,
    UNLABELLED_ON,
    AdaptationConfig,
    BaselineConfig,
    ByolConfig,
    ClConfig,
    FloorConfig,
    MethodConfig,
    PairwiseConfig,
    SupConConfig,
)
from trainers.protocols import PROTOCOLS, Protocol
from trainers.split import Split
from trainers.splits import FOLDS_BY, Splits

CONFIGS: dict[str, MethodConfig] = {
    "baseline": BaselineConfig(),
    "floor": FloorConfig(),
    "λ = 0": ByolConfig(lambda_start=0.0, lambda_end=0.0),
    **{f"byol on {where}": ByolConfig(unlabelled_on=where) for where in UNLABELLED_ON},
    **{f"byol on few of {where}": ByolConfig(unlabelled_on=where, unlabelled_cap=7) for where in UNLABELLED_ON},
    **{f"cl on {where}": ClConfig(adapt_on=where) for where in ADAPT_ON},
    **{f"cl on few of {where}": ClConfig(adapt_on=where, adapt_cap=30) for where in ADAPT_ON},
    **{f"adaptation on {where}": AdaptationConfig(adapt_on=where) for where in ADAPT_ON},
    "cl without stage": ClConfig(adapt_share=0.0),
    **{f"supcon, {kind}": SupConConfig(positives=kind) for kind in POSITIVES},
    **{f"supcon on {count}": SupConConfig(adapt_corpora=count) for count in (1, 2)},
    **{f"pairwise on {kind}": PairwiseConfig(annotations=kind) for kind in ("target", "other", "both")},
}
SILENT = ("msp_podcast", "iemocap")
"""Corpora whose sentences are not told, or never repeat."""

EXCUSES = ("is not for protocol", "adaptation corp", "has no clips of other emotions")


@cache
def speech_of(protocol: str) -> Unheard:
    demo = protocol.startswith("demo")
    if demo:
        return Unheard(clips(PROTOCOLS[protocol].corpora))
    return Unheard(tuple(replace(c, text="") if c.corpus in SILENT else c for c in unheard_papers().utterances))


@cache
def splits_of(protocol: str, folds_by: str) -> Splits:
    return Splits(PROTOCOLS[protocol], speech_of(protocol).prepared, folds_by)


def hears_the_target(config: MethodConfig) -> bool:
    """Said once more, from what the docstrings promise."""
    if isinstance(config, ByolConfig):
        return config.lambda_start > 0 and config.unlabelled_on != "low"
    return (
        isinstance(config, ClConfig) and config.adapt_share > 0 and config.adapt_on in ("target", "adaptation-matched")
    )


def hears_all_targets(config: MethodConfig) -> bool:
    if isinstance(config, ByolConfig):
        return config.lambda_start > 0 and config.unlabelled_on == "low"
    return isinstance(config, ClConfig) and config.adapt_share > 0 and config.adapt_on in ("low", "low+high")


def cells(splits: Splits, config: MethodConfig) -> Iterator[tuple[str | None, int]]:
    """The places at which a plan would ask for this method, in two repeats where there are any."""
    within = splits.protocol.task == "within"
    targets = splits.languages if within or hears_the_target(config) else (None,)
    for target in targets:
        for fold in range((splits.folds(target) if target else 5) * min(2, splits.max_repeats)):
            yield target, fold


def found(protocol: str, folds_by: str, name: str) -> Iterator[tuple[Splits, str | None, int, Split]]:
    """Every split there is; what is refused must be refused for one of the known reasons."""
    config = CONFIGS[name]
    splits = splits_of(protocol, folds_by)
    for target, fold in cells(splits, config):
        try:
            split = splits.of(target, fold, config)
        except UserError as error:
            if not any(excuse in str(error) for excuse in EXCUSES):
                raise
            continue
        yield splits, target, fold, split


def heard(split: Split) -> set[str]:
    parts = (split.labelled, *split.unlabelled.values(), *split.stage.values())
    return {clip for part in parts for clip in part}


def scored(split: Split) -> dict[str, set[str]]:
    groups = {"valid": split.valid, "test": split.test, "whole": split.whole}
    return {f"{group}/{name}": set(ids) for group, parts in groups.items() for name, ids in parts.items()}


PLACES = [
    pytest.param(protocol, folds_by, id=f"{protocol}-{folds_by}")
    for protocol, folds_by in product(PROTOCOLS, FOLDS_BY)
    if (folds_by == "random") <= (PROTOCOLS[protocol].task == "within")
    and (folds_by == "stratified") <= (PROTOCOLS[protocol].task == "transfer")
]


@pytest.mark.parametrize(("protocol", "folds_by"), PLACES)
def test_nothing_that_is_scored_is_heard_and_no_scored_speaker_where_folds_go_by_speaker(
    protocol: str, folds_by: str
) -> None:
    speech = speech_of(protocol)
    speaker = {clip.id: clip.speaker for clip in speech.utterances}
    checked = 0
    for name in CONFIGS:
        for _, target, fold, split in found(protocol, folds_by, name):
            learned = heard(split)
            voices = {speaker[clip] for clip in learned}
            assert split.labelled
            for part, ids in scored(split).items():
                assert ids, (name, target, fold, part)
                assert not ids & learned, (name, target, fold, part)
                if folds_by in ("speaker", "speaker+sentence"):
                    assert not {speaker[clip] for clip in ids} & voices, (name, target, fold, part)
            assert not scored(split)[f"valid/{split.selector}"] & {clip for ids in split.test.values() for clip in ids}
            checked += 1
    assert checked >= 5 * sum(PROTOCOLS[protocol].task in config.TASKS for config in CONFIGS.values()) * 0.4


@pytest.mark.parametrize("protocol", [name for name, one in PROTOCOLS.items() if one.task == "transfer"])
def test_labels_are_looked_at_in_high_resource_speech_alone(protocol: str) -> None:
    speech = speech_of(protocol)
    corpus = {clip.id: clip.corpus for clip in speech.utterances}
    for name, config in CONFIGS.items():
        for _, _, _, split in found(protocol, "speaker", name):
            looked_at = {*split.labelled, *(split.heard_by_stage if isinstance(config, SupConConfig) else ())}
            assert {corpus[clip] for clip in looked_at} <= set(PROTOCOLS[protocol].high), name


@pytest.mark.parametrize("protocol", [name for name, one in PROTOCOLS.items() if one.task == "transfer"])
def test_all_clips_of_a_language_are_scored_as_one_exactly_where_none_of_them_is_heard(protocol: str) -> None:
    speech, checked = speech_of(protocol), 0
    for name, config in CONFIGS.items():
        for splits, target, _, split in found(protocol, "speaker", name):
            expected = {} if target or hears_all_targets(config) else set(splits.languages)
            assert set(split.whole) == set(expected), name
            for language, ids in split.whole.items():
                corpora = [corpus for corpus in PROTOCOLS[protocol].low if splits.language_of[corpus] == language]
                everything = {clip.id for clip in speech.utterances if clip.corpus in corpora and clip.emotion != ""}
                assert set(ids) == everything
                assert not everything & heard(split)
                checked += 1
    assert checked >= 15


@pytest.mark.parametrize("protocol", ["xiang2024", "open_within", "demo_corpora"])
@pytest.mark.parametrize("folds_by", ["speaker", "random"])
def test_emotion_contrast_hears_the_target_first_and_no_tested_clip_of_any_corpus(protocol: str, folds_by: str) -> None:
    speech = speech_of(protocol)
    language = {clip.id: clip.language for clip in speech.utterances}
    for count in (1, 2):
        for splits, target, _, split in found(protocol, folds_by, f"supcon on {count}"):
            assert {language[clip] for clip in split.heard_by_stage} == set(split.stage)
            assert next(iter(split.stage)) == target
            assert len(split.stage) == count
            tested = {clip for ids in split.test.values() for clip in ids}
            assert set(split.test) == set(splits.languages)
            assert not tested & set(split.heard_by_stage)
            assert set(split.labelled) <= set(split.stage[target or ""])


# --- planted faults


def test_a_stage_that_would_hear_a_tested_clip_is_refused_with_utterance_stage_and_fold() -> None:
    """A protocol whose adaptation corpus is a tested language's own."""
    planted = Protocol("made-up", ("demo_home",), ("demo_arda",), adaptation=("demo_arda",))
    splits = Splits(planted, Unheard(clips(("demo_home", "demo_arda"))).prepared)
    for fold in (*range(5), 5, 12):
        tested = splits.low["demo-arda"][fold].test
        with pytest.raises(UserError) as raised:
            splits.of("demo-arda", fold, ClConfig(adapt_on="adaptation"))
        assert str(raised.value) == (
            f"{len(tested)} clips of test/demo-arda in fold {fold} are heard by the stage 'speakers' too, "
            f"{min(tested)!r} first"
        )


def test_unlabelled_speech_that_is_tested_is_refused() -> None:
    planted = Protocol("made-up", ("demo_home",), ("demo_arda",), adaptation=("demo_arda",))
    splits = Splits(planted, Unheard(clips(("demo_home", "demo_arda"))).prepared)
    for fold in (2, 7):
        with pytest.raises(UserError, match=rf"clips of test/demo-arda in fold {fold} are trained on too, 'demo_arda/"):
            splits.of("demo-arda", fold, ByolConfig(unlabelled_on="adaptation"))


def test_a_method_that_hears_its_target_needs_one() -> None:
    splits = Splits(PROTOCOLS["demo_sources"], speech_of("demo_sources").prepared)
    for where in ("target", "adaptation-matched"):
        with pytest.raises(UserError, match="unknown language 'none'; there are: demo-arda"):
            splits.of(None, 0, ClConfig(adapt_on=where))
