"""The diagnosis as a whole: what is gathered from cells, ledger and failures, and how it is told."""

from dataclasses import replace
from pathlib import Path

from orchestrator.answers.diagnosis import SWEEP, diagnoses, of_choice, of_failures, of_tests, section, tags
from orchestrator.answers.finding import RULES, Finding, gathered, lines, tag
from orchestrator.answers.notes import Verdict
from orchestrator.answers.rows import Candidate, Place
from orchestrator.answers.section import Findings
from orchestrator.ledger import Ledger
from orchestrator.messages import WORDS
from tests.synthetic_results import floor_spec, hits, spec
from tests.test_training_faults import cell, faults, only
from tests.test_transfer_faults import BEFORE
from trainers.result import Result


def test_of_tests_asks_nothing_of_the_reference_against_itself() -> None:
    own = {place: replace(result, test={"urdu": hits(9, 9, 9, 9)}) for place, result in BEFORE.items()}
    assert of_tests(own, ["urdu"], held_out=["english"]) == []


def test_stopped_cells_are_told_by_why_they_have_no_result() -> None:
    candidate = Candidate("tau=0.1", {("urdu", fold, fold // 2): key for fold, key in enumerate("abcd")})
    failed = {
        "a": "collapsed: trainers.health.CollapsedError: embeddings alike at steps 100 and 200",
        "b": "memory: torch.OutOfMemoryError: no more",
        "c": "nan: FloatingPointError: the loss is nan at step 3",
        "d": f"{WORDS['collapsed']}: embeddings alike at steps 5 and 6",
    }
    assert [(one.rule, one.where, one.what) for one in of_failures(candidate, failed)] == [
        ("collapse", "urdu fold 0", "stopped early: embeddings alike at steps 100 and 200"),
        ("diverged", "urdu fold 2 seed 1", "stopped early: the loss is nan at step 3"),
        ("collapse", "urdu fold 3 seed 1", "stopped early: embeddings alike at steps 5 and 6"),
    ]


def test_findings_of_one_rule_are_gathered_and_the_tag_names_each_rule_once() -> None:
    made = [Finding("collapse", f"urdu fold {fold}", f"spread {fold}", "wait") for fold in range(3)]
    made += [Finding("high variance", "urdu", "explained by fold size", "repeats", certain=False)]
    made += [Finding("early stop", "", "2 of 3 folds", "slower")]
    assert tag(made) == "collapse, early stop"
    assert [(one.rule, one.where) for one in gathered(made)] == [
        ("collapse", "urdu fold 0 and 2 more"),
        ("high variance", "urdu"),
        ("early stop", ""),
    ]
    assert lines(made)[0] == "collapse (urdu fold 0 and 2 more): spread 0; try: wait"
    assert lines(made)[2] == "early stop: 2 of 3 folds; try: slower"


def test_a_section_has_a_line_a_configuration_and_what_to_try_below() -> None:
    told = {
        "a": [Finding("collapse", "urdu fold 0", "spread 0", "wait")],
        "b": [Finding("high variance", "urdu", "explained", "repeats", certain=False)],
        "c": [Finding("high variance", where, "9.0", "seeds", certain=where == "urdu") for where in ("german", "urdu")],
    }
    made = section(told)
    assert made.rows == (("a", "collapse"), ("b", "(high variance)"), ("c", "high variance"))
    assert made.notes[0] == "a: collapse (urdu fold 0): spread 0; try: wait"
    assert f"why collapse: {RULES['collapse']}" in made.notes
    assert tags(told) == {"a": "collapse", "c": "high variance"}
    assert section({}).notes[0].startswith("none of the known failures was found")


def test_every_rule_has_a_source_and_every_finding_a_rule() -> None:
    assert all(RULES.values())
    loud = cell(agreement=0.5, train_uar=0.4, best_step=100.0, knn_uar=0.2, **{"embedding/std/urdu": 0.0})
    assert {finding.rule for finding in faults(loud)} <= set(RULES)


def test_a_sweep_is_diagnosed_from_its_ledger(tmp_path: Path) -> None:
    ledger, languages = Ledger(tmp_path), ("urdu", "german")
    places: dict[str, dict[Place, str]] = {}
    for tau in (0.99, 0.996):
        for target in languages:
            for fold in range(2):
                facts = {"embedding/std/urdu": 0.001} if (tau, target, fold) == (0.99, "urdu", 1) else {}
                right = 9 if target == "urdu" else 2
                made = replace(
                    cell(spec(tau, target, fold), **facts),
                    test={target: hits(right, right, right, right), "english": hits(7, 7, 7, 7)},
                )
                ledger.write(made)
                places.setdefault(f"tau={tau}", {})[target, fold, 0] = made.spec.key()
    floor = Result(floor_spec("nuisance_only"), {}, {"urdu": hits(3, 3, 3, 3), "german": hits(3, 3, 3, 3)})
    ledger.write(floor)
    candidates = [Candidate(name, cells) for name, cells in places.items()] + [Candidate("tau=2", {(None, 0, 0): "x"})]
    found = diagnoses(
        Findings(ledger, candidates, languages, "hrl", "tau=0.996"),
        listed=list(places),
        held_out=["english"],
        floors=[Candidate("nuisance_only", {(None, 0, 0): floor.spec.key()})],
        verdict=None,
        failed={"x": "nan: FloatingPointError: the loss is nan at step 3"},
    )
    assert {name: tag(own) for name, own in found.items()} == {
        "tau=0.99": "collapse, uneven transfer, nuisance floor",
        "tau=0.996": "uneven transfer, nuisance floor",
        "tau=2": "diverged",
    }
    assert SWEEP not in found


def test_of_choice_reads_the_verdict() -> None:
    assert of_choice(None) == []
    verdict = Verdict(None, 3, 3, -0.5, 0.1)
    found = only(of_choice(verdict), "selector failure")
    assert found.what == "Spearman of validation and test −0.50, regret 10.0 points"
