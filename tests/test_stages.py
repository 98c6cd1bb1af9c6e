"""Stages: who shares one, what it depends on, and what becomes of it on disk, whoever is killed or damaged."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from orchestrator.plan import Draft, PlannedCell, Request
from search_spaces import Point
from tests.unheard import Unheard, ground, unheard_demo, unheard_papers
from trainers.errors import UserError
from trainers.methods.configs import AdaptationConfig, BaselineConfig, ClConfig, MethodConfig, SupConConfig
from trainers.protocols import PROTOCOLS
from trainers.spec import Training
from trainers.splits import Splits
from trainers.stages import stage_steps, stage_training

DEMO, SOURCES = PROTOCOLS["demo"], PROTOCOLS["demo_sources"]


def planned(
    config: MethodConfig,
    *,
    protocol: str = "demo",
    speech: Unheard | None = None,
    place: tuple[str | None, int, int] = (None, 0, 0),
    **settings: Any,
) -> PlannedCell:
    """The cell of a target, fold and seed, as a sweep's plan has it."""
    heard = speech or unheard_demo()
    stood = ground(PROTOCOLS[protocol], heard)
    request = Request(settings=settings)
    draft = Draft(stood, request, Splits(stood.protocol, heard.prepared))
    return draft.placed(draft.configured(Point("", config, {}), Training()), 0, *place)


# --- who shares a stage

SHARED = {
    "views": 2,
    "strength": 0.5,
    "dropout": 0.3,
    "trainable_layers": 1,
    "class_weights": "gender",
    "epoch_steps": 7,
}
"""Settings of the training that follows alone."""


@pytest.mark.parametrize("setting", SHARED)
@pytest.mark.parametrize("config", [ClConfig(), SupConConfig()], ids=["cl", "supcon"])
def test_cells_that_differ_in_what_follows_the_stage_share_it(config: MethodConfig, setting: str) -> None:
    one, other = planned(config), planned(config, **{setting: SHARED[setting]})
    assert one.stage == other.stage != ""
    assert one.key != other.key


def test_speaker_contrast_looks_at_no_label_so_it_is_shared_by_those_who_see_few() -> None:
    assert planned(ClConfig()).stage == planned(ClConfig(), label_fraction=0.1).stage


def test_emotion_contrast_looks_at_all_labels_so_few_labels_are_refused() -> None:
    with pytest.raises(UserError, match=r"label_fraction is 0\.1; it must be 1 for supcon, whose stage looks at all"):
        planned(SupConConfig(), label_fraction=0.1)
    assert planned(SupConConfig(adapt_share=0.0), label_fraction=0.1).stage == ""


def test_the_adaptation_alone_and_cl_share_it() -> None:
    assert planned(AdaptationConfig()).stage == planned(ClConfig()).stage


def test_half_the_share_of_twice_the_steps_is_the_same_stage() -> None:
    assert planned(ClConfig(adapt_share=0.5), steps=200).stage == planned(ClConfig(), steps=100).stage


def test_speech_that_does_not_depend_on_fold_or_target_makes_one_stage_for_all() -> None:
    """CL at five temperatures, three languages and five folds needs five adaptations a seed, not 75."""
    papers = unheard_papers()
    stood = ground(PROTOCOLS["gong2025"], papers)
    draft = Draft(stood, Request(), Splits(stood.protocol, papers.prepared))
    found = {
        draft.placed(draft.configured(Point("", ClConfig(), {"temperature": t}), Training()), 0, None, fold, seed).stage
        for t in (0.05, 0.07, 0.1, 0.2, 0.5)
        for fold in range(5)
        for seed in (0, 1)
    }
    assert len(found) == 10


def test_each_fold_adapts_to_its_own_training_speech() -> None:
    assert len({planned(ClConfig(), place=(None, fold, 0)).stage for fold in range(5)}) == 5
    targets = [planned(ClConfig(adapt_on="target"), place=(name, 0, 0)).stage for name in ("demo-arda", "demo-bela")]
    assert len(set(targets)) == 2


def test_both_corpora_of_one_fold_share_the_contrast_that_hears_both() -> None:
    papers = unheard_papers()
    found = [
        planned(SupConConfig(), protocol="xiang2024", speech=papers, place=(language, fold, 0)).stage
        for language in ("english", "mandarin")
        for fold in range(4)
    ]
    assert found[:4] == found[4:]
    assert len(set(found)) == 4


@pytest.mark.parametrize("config", [BaselineConfig(), ClConfig(adapt_share=0.0), SupConConfig(adapt_share=0.0)])
def test_what_has_no_stage_names_none(config: MethodConfig) -> None:
    assert planned(config).stage == ""


# --- what a stage depends on

TRAINING = {
    "steps": 99,
    "batch_size": 16,
    "encoder_lr": 2e-5,
    "head_lr": 2e-3,
    "warmup_steps": 3,
    "weight_decay": 0.5,
    "grad_clip": 1.0,
    "precision": "bf16",
    "trim_db": 30.0,
    "rms_db": None,
    "crop": "centre",
    "length_s": 1.0,
    "adapt_share": 0.5,
    "augmentations": ("gain",),
    "pooling": "attention",
    "adapt_strength": 0.5,
}
CL = {
    "temperature": 0.2,
    "denominator": "negatives+positive",
    "clips_per_speaker": 3,
    "balance": "gender",
    "adapt_projection": 8,
    "permuted_speakers": True,
    "adapt_on": "low+high",
    "adapt_cap": 20,
}
SUPCON = {
    "temperature": 0.2,
    "contrast": "info_nce",
    "margin": 0.1,
    "margin_form": "classes",
    "margin_weight": 0.5,
    "positives": "same-corpus",
    "adapt_projection": 8,
}


@pytest.mark.parametrize("setting", TRAINING | CL)
def test_a_speaker_contrast_of_another_setting_is_another_stage(setting: str) -> None:
    one, other = planned(ClConfig()), planned(ClConfig(), **{setting: (TRAINING | CL)[setting]})
    assert one.stage != other.stage
    assert one.key != other.key


@pytest.mark.parametrize("setting", TRAINING | SUPCON)
def test_an_emotion_contrast_of_another_setting_is_another_stage(setting: str) -> None:
    one, other = planned(SupConConfig()), planned(SupConConfig(), **{setting: (TRAINING | SUPCON)[setting]})
    assert one.stage != other.stage
    assert one.key != other.key


def test_no_setting_was_forgotten() -> None:
    """Each is either shared, another stage's, or (of SupCon's corpora) told by the speech that the stage hears."""
    text = {"text", "text_weight"}  # of the training that follows
    known = {*SHARED, *TRAINING, *text, "label_fraction", "corpus_mix", "monitor"}
    assert {one.name for one in fields(ClConfig)} <= known | set(CL)
    assert {one.name for one in fields(SupConConfig)} <= known | set(SUPCON) | {"adapt_corpora"}
    assert {one.name for one in fields(Training)} <= known


def test_how_many_corpora_are_heard_makes_another_stage() -> None:
    places = {"protocol": "demo_corpora", "place": ("demo-home", 0, 0)}
    assert len({planned(SupConConfig(adapt_corpora=count), **places).stage for count in (1, 2, 3)}) == 3


@pytest.mark.parametrize("config", [ClConfig(), SupConConfig()], ids=["cl", "supcon"])
def test_another_seed_or_encoder_is_another_stage(config: MethodConfig) -> None:
    one, other = planned(config), planned(config, place=(None, 0, 1))
    assert one.stage != other.stage
    heard = unheard_demo()
    stood = replace(ground(DEMO, heard), encoder_fingerprint="f" * 64)
    draft = Draft(stood, Request(), Splits(DEMO, heard.prepared))
    elsewhere = draft.placed(draft.configured(Point("", config, {}), Training()), 0, None, 0, 0)
    assert elsewhere.stage != one.stage


CHANGES: dict[str, Callable[[Unheard, str], Unheard]] = {
    "audio": lambda speech, clip: Unheard(speech.utterances, {clip: "other samples"}),
    "speaker": lambda speech, clip: speech.but(clip, speaker="demo_arda:F01" if "M0" in clip else "demo_arda:M01"),
    "gender": lambda speech, clip: speech.but(clip, gender=""),
    "language": lambda speech, clip: speech.but(clip, language="demo-arda-dialect"),
    "text": lambda speech, clip: speech.but(clip, text="another sentence"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_clip_of_another_sound_or_label_makes_another_stage_and_another_cell(change: str) -> None:
    speech = unheard_demo()
    split = Splits(DEMO, speech.prepared).of(None, 0, ClConfig())
    changed = CHANGES[change](speech, split.stage["demo-arda"][0])
    assert split.stage_fingerprint(speech.prepared) != split.stage_fingerprint(changed.prepared)
    assert split.fingerprint(speech.prepared) != split.fingerprint(changed.prepared)


def test_another_emotion_of_a_clip_makes_another_emotion_contrast() -> None:
    speech = unheard_demo()
    split = Splits(DEMO, speech.prepared).of(None, 0, SupConConfig())
    clip = next(clip for clip in split.stage["high"] if "angry" in clip)
    changed = speech.but(clip, emotion="sad")
    assert split.stage_fingerprint(speech.prepared) != split.stage_fingerprint(changed.prepared)


def test_a_test_clip_of_another_sound_leaves_the_stage_as_it_is_and_changes_the_cell() -> None:
    speech = unheard_demo()
    split = Splits(DEMO, speech.prepared).of(None, 0, ClConfig())
    changed = Unheard(speech.utterances, {split.test["demo-arda"][0]: "other samples"})
    one, other = planned(ClConfig(), speech=speech), planned(ClConfig(), speech=changed)
    assert one.stage == other.stage
    assert one.key != other.key


def test_the_curve_of_a_stage_does_not_depend_on_who_asked_for_it() -> None:
    """Its history goes into the result of an adaptation, which may not depend on whose cell came first."""
    one, other = planned(ClConfig(), epoch_steps=7), planned(ClConfig(), epoch_steps=50)
    assert one.stage == other.stage
    assert stage_training(one.spec) == stage_training(other.spec)
    assert stage_training(one.spec).steps == stage_steps(one.spec)
