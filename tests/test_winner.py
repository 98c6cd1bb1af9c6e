"""Which configuration becomes a model: the one that the sweep's own answer names, chosen without any test score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.answers.comparison import compare
from orchestrator.winner import chosen
from tests.synthetic_results import baseline_spec, result
from tests.synthetic_sweeps import LANGUAGES, asked, byol, flat, kept, level
from trainers.errors import UserError
from trainers.result import Result
from trainers.scores import Score


def uneven(tau: float, draws: np.random.Generator, folds: int = 3) -> list[Result]:
    """Random tenths on validation and on test."""
    places = [(language, fold, seed) for language in LANGUAGES for fold in range(folds) for seed in range(2)]
    return byol(tau, {place: (int(draws.integers(0, 11)), int(draws.integers(0, 11))) for place in places})


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_one_that_the_answer_names(tmp_path: Path, seed: int) -> None:
    draws = np.random.default_rng(seed)
    groups = {f"tau={tau}": uneven(tau, draws) for tau in (0.9, 0.95, 0.99)}
    ledger, record = kept(tmp_path, *groups.values()), asked(groups)
    verdict = compare(ledger, "byol_tau", record.configurations, LANGUAGES).verdict
    assert verdict is not None
    found = chosen(record, ledger, None, None)
    assert {one.configuration for one in found} == {verdict.winner.name}
    assert {one.score.mean if one.score else None for one in found} == {verdict.winner.valid.mean}
    assert [one.among for one in found] == [3, 3]


def test_test_scores_are_not_asked(tmp_path: Path) -> None:
    """There are none here to ask."""
    groups = {name: [replace(one, test={}, secondary={}, predictions=[]) for one in flat(tau, valid, 0)]
              for name, tau, valid in (("a", 0.9, 4), ("b", 0.99, 6))}  # fmt: skip
    found = chosen(asked(groups), kept(tmp_path, *groups.values()), None, None)
    assert {one.configuration for one in found} == {"b"}
    assert not (tmp_path / "test_openings.jsonl").exists()


def test_each_language_that_is_heard_has_a_model_and_it_takes_the_first_seed_and_fold(tmp_path: Path) -> None:
    groups = {"a": byol(0.9, {(name, fold, seed): (5, 5) for name in LANGUAGES for fold in (1, 0) for seed in (1, 0)})}
    ledger, record = kept(tmp_path, *groups.values()), asked(groups)
    assert [one.language for one in chosen(record, ledger, None, None)] == ["urdu", "german"]
    (german,) = chosen(record, ledger, "german", None)
    spec = ledger.light(german.cell).spec
    assert (spec.target, spec.fold, spec.seed) == ("german", 0, 0)


def test_one_model_serves_all_languages_where_none_is_heard(tmp_path: Path) -> None:
    tests = {name: level(5) for name in LANGUAGES}
    groups = {"baseline": [result(baseline_spec(fold), level(5), tests) for fold in range(2)]}
    ledger, record = kept(tmp_path, *groups.values()), asked(groups)
    for language in (None, "urdu"):
        (model,) = chosen(record, ledger, language, None)
        assert model.language is None


def test_what_is_not_complete_is_not_chosen_but_may_be_named(tmp_path: Path) -> None:
    groups = {"a": flat(0.9, 4, 4), "b": flat(0.99, 9, 9)}
    ledger, record = kept(tmp_path, groups["a"], groups["b"][:1]), asked(groups)
    assert {one.configuration for one in chosen(record, ledger, None, None)} == {"a"}
    (named,) = chosen(record, ledger, "urdu", "b")
    assert (named.configuration, named.among) == ("b", 0)
    with pytest.raises(UserError, match="no cell of b is done for german"):
        chosen(record, ledger, "german", "b")


def test_by_labels_of_other_languages_each_has_its_own(tmp_path: Path) -> None:
    def others(one: Result, score: Score) -> Result:
        return replace(one, valid={**one.valid, "other-languages": score})

    right = {"a": {"urdu": 8, "german": 3}, "b": {"urdu": 4, "german": 6}}
    groups = {
        name: [others(one, level(right[name][str(one.spec.target)])) for one in flat(tau, 5, 5)]
        for name, tau in (("a", 0.9), ("b", 0.99))
    }
    record = replace(asked(groups), selector="other-languages")
    found = chosen(record, kept(tmp_path, *groups.values()), None, None)
    assert [(one.language, one.configuration, one.score.mean) for one in found if one.score] == [
        ("urdu", "a", pytest.approx(0.8)),
        ("german", "b", pytest.approx(0.6)),
    ]


def test_what_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    groups = {"a": flat(0.9, 4, 4)}
    record = asked(groups)
    for language, name, why in (
        ("bangla", None, "unknown language of byol_tau 'bangla'; there are: german, urdu"),
        (None, "c", "unknown configuration of byol_tau 'c'; there are: a"),
        (None, None, "no configuration of byol_tau is complete"),
    ):
        with pytest.raises(UserError, match=why):
            chosen(record, kept(tmp_path), language, name)
