"""The record that a sweep leaves says of itself what its plan and its ground say."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from orchestrator.answer import Answer
from orchestrator.asked import named
from orchestrator.circumstances import encoder_name, paper_name, revision
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.plan import Request, plan
from tests.synthetic_results import baseline_spec, spec
from tests.unheard import ground, unheard_papers
from trainers.methods.configs import ByolConfig
from trainers.protocols import PROTOCOLS

LANGUAGES = ("demo-arda", "demo-bela", "demo-cyra")


@pytest.fixture(scope="module")
def stood() -> Ground:
    return ground()


def answer(stood: Ground, store: Path, name: str = "byol_tau") -> Answer:
    sweep = search_spaces.load(name)
    command = f"python -m orchestrator.sweep {name}"
    return Answer(sweep, stood, plan(name, sweep, stood, Request()), Ledger(store), None, command)


def test_the_record_has_every_cell_and_floor_of_the_plan(stood: Ground, tmp_path: Path) -> None:
    asked = answer(stood, tmp_path)
    record = asked.record()
    assert record.keys == {cell.key for cell in asked.plan.cells + asked.plan.floors}
    for one, configuration in zip(record.configurations, asked.plan.configurations, strict=True):
        assert (one.name, one.values, one.method) == (configuration.name, configuration.values, "BYOL")
        assert one.cells == {
            (cell.spec.target, cell.spec.fold, cell.spec.seed): cell.key for cell in asked.plan.of(configuration.number)
        }
    assert [floor.name for floor in record.floors] == ["nuisance_only", "frozen_probe", "own_statistics"]
    assert {len(floor.cells) for floor in record.floors} == {5}


def test_the_record_says_how_was_asked(stood: Ground, tmp_path: Path) -> None:
    record = answer(stood, tmp_path).record({"k": "why"}, {"tau=0.99": "dropped after 1 of 5 blocks"})
    assert (record.sweep, record.protocol, record.languages, record.held_out) == (
        "byol_tau",
        "demo",
        LANGUAGES,
        ("demo-home",),
    )
    assert (record.selector, record.objective, record.reference, record.shows) == (
        "hrl",
        "mean",
        "tau=0.996",
        ("stability",),
    )
    assert record.folds == dict.fromkeys(LANGUAGES, 5)
    assert (record.failed, record.dropped) == ({"k": "why"}, {"tau=0.99": "dropped after 1 of 5 blocks"})
    assert record.note.startswith("DEMO")
    assert record.conditions["trained on"] == "demo_home"
    assert record.conditions["tested on, demo-arda"] == "demo_arda"
    assert (record.conditions["steps"], record.conditions["batch"]) == ("100", "8")
    longest = {
        language: max(u.duration_s for u in stood.prepared.utterances if u.language == language)
        for language in LANGUAGES
    }
    assert record.longest_s == longest


def test_the_answer_keeps_its_record_and_compares_from_it(stood: Ground, tmp_path: Path) -> None:
    one = answer(stood, tmp_path)
    comparison = one.compare(one.record(dropped={"tau=0.99": "dropped after 1 of 5 blocks"}))
    (kept,) = named(tmp_path, "byol_tau")
    assert kept.dropped == {"tau=0.99": "dropped after 1 of 5 blocks"}
    assert [row.name for row in comparison.unfinished] == ["tau=0.99", "tau=0.996", "tau=0.999"]
    assert comparison.unfinished[0].reason == "dropped after 1 of 5 blocks"
    assert (comparison.reference, comparison.claims) == ("tau=0.996", ())


def test_folds_within_corpora_are_counted_by_language(tmp_path: Path) -> None:
    """CASIA's four speakers make four folds, IEMOCAP's sessions five."""
    stood = ground(PROTOCOLS["xiang2024"], unheard_papers())
    record = answer(stood, tmp_path, "cross_lingual_matrix").record()
    assert (record.selector, record.held_out) == ("target", ())
    assert record.folds == {"english": 5, "mandarin": 4}
    for one in record.configurations:
        assert {fold for language, fold, _ in one.cells if language == "mandarin"} == set(range(4))


def test_byol_without_its_loss_is_no_papers_byol() -> None:
    assert paper_name(spec()) == "BYOL"
    assert paper_name(replace(spec(), config=ByolConfig(lambda_start=0.0, lambda_end=0.0))) == "BYOL without its loss"
    assert paper_name(baseline_spec()) == "baseline"


def test_encoders_are_called_by_their_names_also_in_the_hubs_folders() -> None:
    assert encoder_name(Path("/models/whisper-tiny.en-encoder")) == "whisper-tiny.en-encoder"
    assert encoder_name(Path("/hub/models--openai--whisper-small.en/snapshots/e8727524f")) == "whisper-small.en"


def test_the_commit_is_gits() -> None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        assert revision() == ""
        return
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", revision())
    assert head.stdout.startswith(revision()[:12])
