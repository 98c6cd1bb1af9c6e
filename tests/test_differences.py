"""Against the reference: claims follow from folds and speakers, and what cannot be compared is said."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from orchestrator.answers.comparison import compare
from orchestrator.answers.rows import Candidate
from tests.synthetic_results import baseline_spec, hits, result, spec
from tests.synthetic_sweeps import LANGUAGES, against, candidate, kept, level, varied


def test_each_configuration_is_compared_with_the_reference_and_only_what_is_shown_is_claimed(tmp_path: Path) -> None:
    groups = {
        "a": varied(0.9, [4, 5, 4, 5, 4]),
        "b": varied(0.99, [8, 9, 8, 8, 8]),
        "c": varied(0.999, [4, 5, 5, 5, 3]),
    }
    told = against(tmp_path, "a", groups)
    assert [(claim.configuration, claim.place) for claim in told.claims] == [
        (name, place) for place in ("macro", *LANGUAGES) for name in "bc"
    ]
    shown = {(claim.configuration, claim.place): claim.verdict for claim in told.claims}
    assert {verdict for (name, _), verdict in shown.items() if name == "c"} == {"not shown"}
    assert {verdict for (name, _), verdict in shown.items() if name == "b"} == {"beats"}
    notes = "\n".join(told.notes)
    assert "b beats a on the mean of urdu and german (these clips) by 38.0 UAR points, 95 % CI" in notes
    assert "b beats a on urdu (these clips) by 38.0 UAR points" in notes
    assert "c against a on the mean of urdu and german (these clips): not shown (0.0 UAR points" in notes
    section = next(section for section in told.sections if section.title == "differences to a, in points")
    assert [(row[0], row[1], row[2], row[-1]) for row in section.rows[:2]] == [
        ("b", "macro", "+38.0", "beats"),
        ("b", "urdu", "+38.0", "beats"),
    ]


def test_a_claims_difference_is_that_of_the_means_where_folds_are_alike(tmp_path: Path) -> None:
    told = against(tmp_path, "a", {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [6, 9, 5, 8, 8])})
    rows = {row.name: row for row in told.rows}
    for claim in told.claims:
        means = [rows[name].macro if claim.place == "macro" else rows[name].test[claim.place] for name in "ab"]
        assert all(means)
        assert claim.difference == pytest.approx(means[1].uar.mean - means[0].uar.mean)


def test_seeds_and_a_training_that_serves_all_languages_do_not_make_more_blocks(tmp_path: Path) -> None:
    """Two seeds of BYOL, and one baseline for both languages, whose five trainings count once each."""
    baseline = [
        result(baseline_spec(fold), level(5), {name: level(4 + fold % 2) for name in LANGUAGES}) for fold in range(5)
    ]
    twice = [*varied(0.99, [6, 7, 6, 7, 8]), *varied(0.99, [8, 7, 8, 7, 8], seed=1)]
    told = against(tmp_path, "baseline", {"baseline": baseline, "BYOL": twice})
    macro = next(claim for claim in told.claims if claim.place == "macro")
    d = (np.array([7, 7, 7, 7, 8]) - np.array([4, 5, 4, 5, 4])) / 10
    assert (macro.blocks, macro.difference) == (5, pytest.approx(d.mean()))
    half = stats.t.ppf(0.975, 4) * d.std(ddof=1) * sqrt(1 / 5 + 1 / 4)
    assert (macro.low, macro.high) == (pytest.approx(d.mean() - half), pytest.approx(d.mean() + half))


def test_without_a_reference_nothing_is_tested_and_that_is_said(tmp_path: Path) -> None:
    groups = {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [8, 9, 8, 8, 8])}
    told = against(tmp_path, "", groups)
    assert told.claims == ()
    assert any(note.startswith("no difference is tested: the sweep declares no reference") for note in told.notes)


def test_a_reference_that_is_not_complete_is_compared_with_nothing(tmp_path: Path) -> None:
    groups = {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [8, 9, 8, 8, 8])}
    lost = groups["a"].pop()
    cells = {**candidate("a", groups["a"]).cells, (lost.spec.target, 4, 0): lost.spec.key()}
    candidates = [Candidate("a", cells), candidate("b", groups["b"])]
    told = compare(kept(tmp_path, *groups.values()), "s", candidates, LANGUAGES, reference="a")
    assert told.claims == ()
    assert any("the reference a is not complete: 1 of 10 cells missing" in note for note in told.notes)


def test_who_was_tested_on_other_clips_is_not_compared(tmp_path: Path) -> None:
    other = [
        result(spec(0.999, language, fold), level(5), {language: hits(9, 9, 9, 9, of=20)})
        for language in LANGUAGES
        for fold in range(5)
    ]
    groups = {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [8, 9, 8, 8, 8]), "c": other}
    told = against(tmp_path, "a", groups)
    assert {claim.configuration for claim in told.claims} == {"b"}
    assert "not compared, because tested on other clips than a: c" in told.notes
    alone = against(tmp_path, "a", {"a": groups["a"], "c": other})
    assert any("were tested on other clips than the reference's" in note for note in alone.notes)


def test_three_folds_are_descriptive(tmp_path: Path) -> None:
    told = against(tmp_path, "a", {"a": varied(0.9, [4, 5, 4]), "b": varied(0.99, [8, 9, 8])})
    assert {claim.verdict for claim in told.claims} == {"descriptive"}
    assert not any(" beats " in note for note in told.notes)


def test_repeated_partitions_are_blocks_of_their_own(tmp_path: Path) -> None:
    told = against(
        tmp_path,
        "a",
        {"a": varied(0.9, [4, 5, 4, 5, 4, 4, 4, 5, 4, 5]), "b": varied(0.99, [6, 5, 4, 8, 8, 5, 6, 7, 8, 9])},
    )
    assert {claim.blocks for claim in told.claims} == {10}
    assert told.rows[0].test["urdu"].uar.n == 10
    fewer = against(
        tmp_path / "fours",
        "a",
        {"a": varied(0.9, [4, 5] * 4), "b": varied(0.99, [6, 5] * 4)},
        folds={"urdu": 4, "german": 4},
    )
    assert {claim.blocks for claim in fewer.claims} == {8}
