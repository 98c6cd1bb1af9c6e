"""Whose speech a stage or BYOL hears, how much of it, what is saved by sharing, and who is tested within corpora."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ray import tune
from rich.console import Console

import search_spaces
from orchestrator import arguments
from orchestrator.announcing import announce
from orchestrator.answer import Answer
from orchestrator.ledger import Ledger
from orchestrator.plan import Request, plan
from search_spaces import Sweep
from tests.casts import casia, subesco
from tests.unheard import Unheard, clips, ground, unheard_papers
from trainers.errors import UserError
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, SupConConfig
from trainers.protocols import PROTOCOLS, Protocol, protocol_named
from trainers.splits import Splits


@pytest.fixture(scope="module")
def papers() -> Unheard:
    return unheard_papers()


@pytest.fixture(scope="module")
def gong(papers: Unheard) -> Splits:
    return Splits(PROTOCOLS["gong2025"], papers.prepared)


def speakers(ids: tuple[str, ...], speech: Unheard) -> Counter[str]:
    return Counter(speech.utterances[speech.index[each]].speaker for each in ids)


# --- as much as the target has


def test_matched_adaptation_speech_is_as_much_as_the_targets_and_of_its_language_alone(gong: Splits) -> None:
    for language, corpus in (("urdu", "common_voice_ur"), ("german", "common_voice_de")):
        size = len(gong.low[language][1].train)
        assert 0 < size < len(gong.adaptation[corpus])
        cl = gong.of(language, 1, ClConfig(adapt_on="adaptation-matched"))
        byol = gong.of(language, 1, ByolConfig(unlabelled_on="adaptation-matched"))
        for heard in (cl.stage, byol.unlabelled):
            assert list(heard) == [corpus]
            assert len(heard[corpus]) == size
            assert set(heard[corpus]) < set(gong.adaptation[corpus])


def test_what_cl_hears_of_few_clips_is_whole_speakers(gong: Splits, papers: Unheard) -> None:
    """Clips at random would leave one or two of each speaker, of which nothing can be contrasted."""
    everyone = speakers(gong.adaptation["common_voice_ur"], papers)
    for cap in (23, 40):
        heard = gong.of(None, 0, ClConfig(adapt_on="adaptation", adapt_cap=cap)).stage["common_voice_ur"]
        counts = speakers(heard, papers)
        cut = [name for name, count in counts.items() if count < everyone[name]]
        assert sum(counts.values()) == cap
        assert len(cut) <= 1
        fewer = gong.of(None, 0, ClConfig(adapt_on="adaptation", adapt_cap=cap - 7)).stage["common_voice_ur"]
        assert set(fewer) < set(heard)


def test_a_target_that_no_adaptation_corpus_speaks_is_refused() -> None:
    speech = Unheard(clips(["demo_home", "demo_bela", "demo_talk"]))
    splits = Splits(Protocol("p", ("demo_home",), ("demo_bela",), adaptation=("demo_talk",)), speech.prepared)
    for config in (ClConfig(adapt_on="adaptation-matched"), ByolConfig(unlabelled_on="adaptation")):
        with pytest.raises(UserError, match="protocol p has no adaptation corpus in demo-bela"):
            splits.of("demo-bela", 0, config)


# --- what sharing saves


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_cl_at_five_temperatures_adapts_five_times_a_seed_and_the_plan_says_what_that_saves(
    papers: Unheard, tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    sweep, stood = search_spaces.load("cl_temperature"), ground(PROTOCOLS["gong2025"], papers)
    planned = plan("cl_temperature", sweep, stood, Request(seeds=seeds))
    assert {cell.spec.config.adapt_on for cell in planned.cells} == {"adaptation"}
    assert len(planned.stages) == 5 * len(seeds)
    out = Console(record=True, width=200)
    announce(out, Answer(sweep, stood, planned, Ledger(tmp_path), None, "command"), "")
    said = f"{5 * len(seeds)} stages shared by {25 * len(seeds)} cells: 0 done; one for every configuration, language,"
    assert f"{said} fold and seed would be {75 * len(seeds)}" in out.export_text()


def test_an_adaptation_to_the_target_is_shared_by_nobody(papers: Unheard) -> None:
    asked = Request(settings={"adapt_on": "target"})
    planned = plan("cl_temperature", search_spaces.load("cl_temperature"), ground(PROTOCOLS["gong2025"], papers), asked)
    assert len(planned.stages) == len(planned.cells) == 75


# --- within corpora


@pytest.fixture(scope="module")
def two() -> Splits:
    """CASIA, which has four folds, and SUBESCO, which has five."""
    spoken = {"casia": "mandarin", "subesco": "bangla"}
    speech = Unheard(tuple(replace(clip, language=spoken[clip.corpus]) for clip in (*casia(), *subesco())))
    return Splits(Protocol("p", ("casia", "subesco"), (), task="within"), speech.prepared)


def test_a_cell_within_a_corpus_is_tested_on_every_other_one_too(two: Splits) -> None:
    for fold in range(5):
        split = two.of("bangla", fold, BaselineConfig())
        assert list(split.test) == ["bangla", "mandarin"]
        assert split.test["bangla"] == two.own["bangla"][fold].test
        assert split.test["mandarin"] == two.own["mandarin"][fold % 4].test
        assert list(split.valid) == ["target"]


def test_what_a_stage_across_corpora_hears_is_tested_in_none_of_them(two: Splits) -> None:
    for language, folds in (("bangla", 5), ("mandarin", 4)):
        for fold in range(folds):
            split = two.of(language, fold, SupConConfig())
            assert set(split.stage) == {"bangla", "mandarin"}
            tested = {clip for ids in split.test.values() for clip in ids}
            assert tested
            assert not tested & set(split.heard_by_stage)


# --- random search


def random_search(**changes: int) -> Sweep:
    axes = {"tau": tune.uniform(0.9, 0.999), "strength": tune.loguniform(0.25, 1.5)}
    return Sweep("?", ByolConfig(), axes=axes, reference={"tau": 0.996, "strength": 1.0}, **changes)


def test_a_random_search_begins_with_its_reference_and_keeps_its_points_when_it_grows() -> None:
    few, more = (random_search(samples=count).grid() for count in (3, 6))
    assert few[0] == {"tau": 0.996, "strength": 1.0}
    assert len(few) == 4
    assert more[:4] == few
    for point in more[1:]:
        assert 0.9 <= point["tau"] <= 0.999
        assert 0.25 <= point["strength"] <= 1.5
        assert all(float(f"{value:.4g}") == value for value in point.values())


def test_the_number_of_samples_is_the_users_and_none_of_a_grids_business() -> None:
    asked = arguments.parse(["joint", "--samples", "5"])
    assert len(search_spaces.load("joint").searched(None, asked.samples).points()) == 6
    assert len(search_spaces.load("joint").searched(None, None).points()) == 17
    with pytest.raises(UserError, match="samples is 5; this sweep is a grid and has all of its points"):
        search_spaces.load("byol_tau").searched(None, 5)
    with pytest.raises(UserError, match="samples is 0; it must be at least 1"):
        search_spaces.load("joint").searched(None, 0)


def test_a_sweep_may_part_folds_by_sentence_and_others_part_them_by_speaker() -> None:
    assert search_spaces.load("text_invariance").folds_by == "speaker+sentence"
    assert search_spaces.load("byol_tau").folds_by == "speaker"
    assert arguments.parse(["text_invariance"]).folds_by is None
    assert protocol_named("open_texts").high == ("emodb",)
