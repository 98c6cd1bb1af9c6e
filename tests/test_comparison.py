"""The table says what the folds say: nothing drops out, and nothing is chosen or marked by its test score."""

from collections.abc import Mapping
from dataclasses import replace
from math import isnan, sqrt
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from orchestrator.answers.comparison import LISTED, SHORT, Comparison, compare, judge
from orchestrator.answers.notes import chance_sd
from orchestrator.answers.page import as_html
from orchestrator.answers.rows import Candidate, Mean, Place, pooled_macro_f1
from orchestrator.answers.table import as_markdown, as_text, lines, percent
from orchestrator.answers.table import places as places_of
from orchestrator.ledger import Ledger
from tests.synthetic_results import baseline_spec, drawn, floor_spec, hits, predictions, result, spec
from tests.synthetic_sweeps import LANGUAGES, against, byol, candidate, flat, kept, level, varied
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError
from trainers.result import Result


def told_of(store: Path, names: str, groups: list[list[Result]]) -> Comparison:
    """The comparison of configurations that are called by one letter each."""
    candidates = [candidate(*pair) for pair in zip(names, groups, strict=True)]
    return compare(kept(store, *groups), "s", candidates, LANGUAGES)


def test_seeds_are_averaged_within_a_fold_then_languages_then_folds(tmp_path: Path) -> None:
    cells: dict[Place, tuple[int, int]] = {
        ("urdu", 0, 0): (5, 2),
        ("urdu", 0, 1): (7, 4),
        ("urdu", 1, 0): (8, 8),
        ("urdu", 1, 1): (8, 8),
        ("german", 0, 0): (3, 6),
        ("german", 0, 1): (3, 6),
        ("german", 1, 0): (6, 9),
        ("german", 1, 1): (8, 9),
    }
    results = byol(0.99, cells)
    row = compare(kept(tmp_path, results), "s", [candidate("a", results)], LANGUAGES, held_out=["english"]).rows[0]
    close = pytest.approx
    assert (row.test["urdu"].uar.mean, row.test["urdu"].uar.sd) == (close((0.3 + 0.8) / 2), close(stdev([0.3, 0.8])))
    assert row.macro is not None
    assert (row.macro.uar.mean, row.macro.uar.sd) == (close((0.45 + 0.85) / 2), close(stdev([0.45, 0.85])))
    assert row.valid is not None
    assert (row.valid.mean, row.valid.sd, row.valid.n) == (close((0.45 + 0.75) / 2), close(stdev([0.45, 0.75])), 2)
    assert row.valid_by_language["german"].mean == close((0.3 + 0.7) / 2)
    assert row.test["english"].accuracy.mean == close(row.valid.mean)


def test_against_numpy_on_random_scores(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    shape = (2, 5, 3)  # languages, folds, seeds
    scores = [[[drawn(0.5, 90, draws) for _ in range(3)] for _ in range(5)] for _ in range(2)]
    results = [
        result(spec(0.99, LANGUAGES[k], f, s), scores[k][f][s], {LANGUAGES[k]: scores[k][f][s]})
        for k, f, s in np.ndindex(shape)
    ]
    row = compare(kept(tmp_path, results), "s", [candidate("a", results)], LANGUAGES).rows[0]
    assert row.macro is not None
    for name in ("uar", "macro_f1", "accuracy"):
        values = np.array([getattr(scores[k][f][s], name) for k, f, s in np.ndindex(shape)]).reshape(shape)
        blocks, urdu = values.mean(2).mean(0), values.mean(2)[0]
        macro: Mean = getattr(row.macro, name)
        assert (macro.mean, macro.sd) == (pytest.approx(blocks.mean()), pytest.approx(blocks.std(ddof=1)))
        assert getattr(row.test["urdu"], name).sd == pytest.approx(urdu.std(ddof=1))


def test_one_baseline_training_serves_every_language(tmp_path: Path) -> None:
    results = [
        result(baseline_spec(fold), level(5), {"urdu": level(3 + fold), "german": level(8), "english": level(6)})
        for fold in range(2)
    ]
    row = compare(kept(tmp_path, results), "s", [candidate("baseline", results)], LANGUAGES).rows[0]
    assert row.complete
    assert row.test["urdu"].uar.mean == pytest.approx(0.35)
    assert row.macro is not None
    assert row.macro.uar.mean == pytest.approx((0.35 + 0.8) / 2)
    assert (row.done, row.planned) == (2, 2)


def test_a_failed_fold_makes_the_configuration_incomplete_and_never_drops_out_of_a_mean(tmp_path: Path) -> None:
    whole, broken = flat(0.99, 5, 4), flat(0.996, 9, 9)
    lost = broken.pop()  # german, fold 1
    places = {**candidate("b", broken).cells, ("german", 1, 0): lost.spec.key()}
    told = compare(
        kept(tmp_path, whole, broken),
        "s",
        [candidate("a", whole), Candidate("b", places)],
        LANGUAGES,
        failed={lost.spec.key(): "the loss is nan at step 3"},
    )
    assert [row.name for row in told.rows] == ["a"]
    (row,) = told.unfinished
    assert row.reason == "1 of 4 cells missing (german fold 1 seed 0: the loss is nan at step 3)"
    assert set(row.test) == {"urdu"}, "German lacks a fold, so it has no mean"
    assert row.macro is None
    assert row.valid is not None
    assert row.valid.n == 1, "only fold 0 has all its cells"
    assert told.verdict is not None
    assert told.verdict.winner.name == "a", "an incomplete configuration cannot win"
    assert "the loss is nan at step 3" in as_text(told)
    assert "incomplete" in as_markdown(told)
    (told_of_it,) = [line for line in as_markdown(told).splitlines() if line.startswith("| incomplete: b ")]
    assert told_of_it.split(" | ")[1] == "–", "a validation mean over fewer folds would pass for that of all"


def test_a_dropped_configuration_has_one_line_without_a_number(tmp_path: Path) -> None:
    whole, beaten = flat(0.99, 5, 4), flat(0.996, 3, 3)
    gone = beaten[1::2]
    places = {**candidate("b", beaten[::2]).cells, **candidate("b", gone).cells}
    told = compare(
        kept(tmp_path, whole, beaten[::2]),
        "s",
        [candidate("a", whole), Candidate("b", places)],
        LANGUAGES,
        dropped={"b": "dropped after 1 of 2 blocks, 20.0 validation points behind"},
    )
    (row,) = told.unfinished
    assert row.valid is not None
    assert list(lines(told, row)) == [["b (2/4)", *["–"] * (2 + len(places_of(told)))]]
    assert "b: dropped after 1 of 2 blocks, 20.0 validation points behind" in as_text(told)
    page = as_html([told])
    assert page.count('<th scope="rowgroup"') == 2
    assert page.count('rowspan="3"') == 2, "name and validation of the complete row"


def test_a_result_without_the_languages_scores_is_incomplete(tmp_path: Path) -> None:
    results = [result(baseline_spec(fold), level(5), {"urdu": level(3)}) for fold in range(2)]
    told = compare(kept(tmp_path, results), "s", [candidate("baseline", results)], LANGUAGES)
    assert told.unfinished[0].reason == "no test scores of german"


def test_the_winner_is_chosen_by_validation_and_its_rank_and_regret_told(tmp_path: Path) -> None:
    groups = [flat(0.99, 6, 9), flat(0.996, 8, 5), flat(0.999, 7, 7), flat(0.9, 5, 8)]
    candidates = [candidate(name, group) for name, group in zip("abcd", groups, strict=True)]
    told = compare(kept(tmp_path, *groups), "s", candidates, LANGUAGES)
    assert told.verdict is not None
    assert (told.verdict.winner.name, told.verdict.rank, told.verdict.among) == ("b", 4, 4)
    assert told.verdict.regret == pytest.approx(0.4)
    # ranks on validation 2 4 3 1, on test 4 1 2 3: 1 − 6 Σ d² / (n (n² − 1)) with d = −2 3 1 −2
    assert told.verdict.spearman == pytest.approx(1 - 6 * (4 + 9 + 1 + 4) / (4 * 15))
    assert [row.name for row in told.rows] == ["a", "b", "c", "d"], "the plan's order, not that of test scores"


def test_fewer_than_three_configurations_have_no_correlation(tmp_path: Path) -> None:
    groups = [flat(0.99, 6, 9), flat(0.996, 8, 5)]
    told = told_of(tmp_path, "ab", groups)
    assert told.verdict is not None
    assert (told.verdict.spearman, told.verdict.regret) == (None, None)
    assert "Spearman n/a, regret n/a" in as_text(told)


def test_equal_validation_everywhere_has_no_correlation_but_a_regret(tmp_path: Path) -> None:
    groups = [flat(0.99, 6, 5), flat(0.996, 6, 9), flat(0.999, 6, 7)]
    told = told_of(tmp_path, "abc", groups)
    assert told.verdict is not None
    assert told.verdict.spearman is None
    assert told.verdict.regret == pytest.approx(0.4)


def test_the_best_test_score_is_marked_nowhere(tmp_path: Path) -> None:
    groups = [flat(0.99, 6, 9), flat(0.996, 8, 5), flat(0.999, 7, 7)]
    told = told_of(tmp_path, "xyz", groups)
    main, *_ = as_text(told).split("\n·")
    lines = main.splitlines()
    assert [line for line in lines if "◄" in line] == [line for line in lines if line.strip().startswith("y ")]
    assert "◄" not in as_text(told).removeprefix(main)
    assert not any("90.0" in note for note in told.notes)


def test_other_languages_select_by_their_own_scores_and_say_so(tmp_path: Path) -> None:
    def also(one: Result, correct: int) -> Result:
        return replace(one, valid={**one.valid, "other-languages": level(correct)})

    groups = [[also(one, 9) for one in flat(0.99, 6, 5)], [also(one, 4) for one in flat(0.996, 8, 5)]]
    ledger, candidates = kept(tmp_path, *groups), [candidate(*pair) for pair in zip("ab", groups, strict=True)]
    by_hrl = compare(ledger, "s", candidates, LANGUAGES)
    by_others = compare(ledger, "s", candidates, LANGUAGES, selector="other-languages")
    assert by_hrl.verdict is not None
    assert by_others.verdict is not None
    assert (by_hrl.verdict.winner.name, by_others.verdict.winner.name) == ("b", "a")
    assert "the choice uses labels of the other target languages; over all of them it uses those of every one" in (
        by_others.notes
    )


def test_a_method_without_the_selectors_scores_is_shown_but_not_chosen(tmp_path: Path) -> None:
    group = flat(0.99, 6, 5)
    told = compare(kept(tmp_path, group), "s", [candidate("a", group)], LANGUAGES, selector="other-languages")
    assert told.rows[0].valid is None
    assert told.verdict is None
    assert "none is chosen: no complete configuration has a validation score (other-languages)" in told.notes
    with pytest.raises(UserError, match="unknown selector 'best'; there are: hrl, other-languages"):
        compare(Ledger(tmp_path), "s", [], LANGUAGES, selector="best")


def test_where_a_fold_lacks_a_class_macro_f1_is_pooled_and_marked(tmp_path: Path) -> None:
    draws = np.random.default_rng(2)
    folds = [drawn(0.6, 60, draws), hits(7, 5, 6, 4), drawn(0.4, 60, draws)]
    no_sad = replace(folds[0], confusion=(*folds[0].confusion[:3], (0, 0, 0, 0)), macro_f1=float("nan"))
    folds[0] = no_sad
    results = [result(baseline_spec(fold), level(5), {"urdu": score}) for fold, score in enumerate(folds)]
    told = compare(kept(tmp_path, results), "s", [candidate("a", results)], ["urdu"])
    clips = [row for score in folds for row in predictions("urdu", score)]
    truth, guess = [row["emotion"] for row in clips], [EMOTIONS[row["predicted"]] for row in clips]
    f1 = told.rows[0].test["urdu"].macro_f1
    assert f1.mean == pytest.approx(f1_score(truth, guess, average="macro", labels=list(EMOTIONS)))
    assert f1.pooled
    assert isnan(f1.sd)
    assert told.rows[0].macro is not None
    assert told.rows[0].macro.macro_f1.pooled
    uar = told.rows[0].test["urdu"].uar
    assert uar.mean == pytest.approx(recall_score(truth, guess, average="macro", labels=list(EMOTIONS)))
    assert told.rows[0].macro.uar == uar, "one language is its own macro mean"
    assert percent(f1).endswith("†")
    assert any("urdu: fold 0 has no sad clip" in note for note in told.notes)
    assert isnan(pooled_macro_f1([no_sad])), "absent even when pooled: n/a"


def test_pooling_is_per_seed_and_seeds_are_then_averaged(tmp_path: Path) -> None:
    no_sad = replace(hits(5, 5, 5, 5), confusion=((9, 1, 0, 0), (0, 9, 1, 0), (0, 1, 9, 0), (0, 0, 0, 0)))
    no_sad = replace(no_sad, macro_f1=float("nan"))
    by_seed = {0: [no_sad, level(8)], 1: [no_sad, level(3)]}
    results = [
        result(baseline_spec(fold, seed), level(5), {"urdu": score})
        for seed, folds in by_seed.items()
        for fold, score in enumerate(folds)
    ]
    told = compare(kept(tmp_path, results), "s", [candidate("a", results)], ["urdu"])
    expected = np.mean([pooled_macro_f1(folds) for folds in by_seed.values()])
    assert told.rows[0].test["urdu"].macro_f1.mean == pytest.approx(expected)


def test_one_fold_has_no_sd(tmp_path: Path) -> None:
    results = byol(0.99, {("urdu", 0, 0): (5, 6)})
    row = compare(kept(tmp_path, results), "s", [candidate("a", results)], ["urdu"]).rows[0]
    assert percent(row.test["urdu"].uar) == "60.0 (n/a)"
    assert percent(Mean(0.5432, 0.0211, 5)) == "54.3 (2.1)"
    assert percent(None) == "–"


def test_floors_stand_below_and_a_choice_that_is_not_above_one_is_told(tmp_path: Path) -> None:
    group = flat(0.99, 6, 5)
    floors = {
        method: [
            result(floor_spec(method, fold), level(3), {name: level(correct) for name in LANGUAGES})
            for fold in range(2)
        ]
        for method, correct in {"nuisance_only": 3, "own_statistics": 7}.items()
    }
    told = compare(
        kept(tmp_path, group, *floors.values()),
        "s",
        [candidate("a", group)],
        LANGUAGES,
        floors=[candidate(*item) for item in floors.items()],
    )
    lines = as_text(told).splitlines()
    order = [next(k for k, line in enumerate(lines) if name in line) for name in ("a ◄", "nuisance_only", "own_stat")]
    assert order == sorted(order)
    assert "the chosen configuration is not above the floor own_statistics (70.0)" in told.notes
    assert not any("nuisance_only" in note for note in told.notes)


def test_folds_that_share_speakers_and_small_folds_are_told(tmp_path: Path) -> None:
    group = flat(0.99, 6, 5)
    told = compare(kept(tmp_path, group), "s", [candidate("a", group)], LANGUAGES, shared_speakers=["urdu"])
    notes = "\n".join(told.notes)
    assert "urdu: folds are not speaker-disjoint" in notes
    assert "german: folds are not speaker-disjoint" not in notes
    sd = 100 * sqrt(4 * 0.5 * 0.5 / 10 / 16)
    assert f"german: folds of as few as 40 clips; chance alone gives their UAR an sd of {sd:.1f} points" in notes


def test_the_chance_sd_is_that_of_redrawn_clips() -> None:
    draws = np.random.default_rng(3)
    score = hits(16, 12, 10, 5, of=20)
    redrawn = np.mean([draws.binomial(20, rate, 40_000) / 20 for rate in (0.8, 0.6, 0.5, 0.25)], axis=0)
    assert chance_sd(score) == pytest.approx(redrawn.std(), rel=0.02)


def test_every_look_is_counted_and_told(tmp_path: Path) -> None:
    group = flat(0.99, 6, 5)
    ledger = kept(tmp_path, group)
    looks = [compare(ledger, "byol_tau", [candidate("a", group)], LANGUAGES) for _ in range(2)]
    assert looks[0].notes[-1] == "test scores of byol_tau have been opened 1 time"
    assert looks[1].notes[-1] == "test scores of byol_tau have been opened 2 times"


def test_an_empty_ledger_gives_a_table_of_what_is_missing(tmp_path: Path) -> None:
    told = compare(Ledger(tmp_path), "s", [candidate("a", flat(0.99, 6, 5))], LANGUAGES)
    assert isinstance(told, Comparison)
    assert judge(told.rows) is None
    assert "4 of 4 cells missing (urdu fold 0 seed 0: not run; " in as_text(told)


def test_text_and_markdown_carry_the_numbers_and_the_unit(tmp_path: Path) -> None:
    groups = [flat(0.99, 6, 5), flat(0.996, 7, 4)]
    candidates = [candidate("tau=[0.99]", groups[0]), candidate("a|b", groups[1])]
    told = compare(kept(tmp_path, *groups), "byol_tau", candidates, LANGUAGES, held_out=["english"])
    assert "UAR, macro-F1 and accuracy in %" in as_text(told)
    assert "tau=[0.99]" in as_text(told), "brackets are no markup"
    table = [line for line in as_markdown(told).split("\n- ")[0].splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in table} == {13}
    assert "| tau=[0.99] | 60.0 (0.0) | 50.0 (0.0) |" in as_markdown(told)


# --- dropped and many


def test_a_dropped_configuration_stands_below_with_its_reason_and_no_mean(tmp_path: Path) -> None:
    whole, raced = varied(0.9, [4, 5, 4, 5, 4]), varied(0.99, [8, 9])
    planned = {(language, fold, 0): "0" * 63 + str(fold) for language in LANGUAGES for fold in range(2, 5)}
    candidates = [candidate("a", whole), Candidate("b", {**candidate("b", raced).cells, **planned})]
    why = "dropped after 2 of 5 blocks, 4.1 validation points behind (3.0 would have been too many)"
    told = compare(
        kept(tmp_path, whole, raced), "s", candidates, LANGUAGES, reference="a", dropped={"b": why, "a": "no"}
    )
    (row,) = told.unfinished
    assert (row.reason, row.macro, row.test, row.done, row.planned) == (why, None, {}, 4, 10)
    assert [row.name for row in told.rows] == ["a"], "whoever has all cells was not dropped"
    text = as_text(told)
    assert f"b: {why}" in text
    assert text.index("  a ◄ chosen") < text.index("  b (4/10)")
    assert "no other configuration than the reference a is complete" in text
    assert "90.0" not in text


def test_of_many_configurations_the_terminal_has_the_reference_the_chosen_and_the_best_by_validation(
    tmp_path: Path,
) -> None:
    groups = [
        (f"c{n:02}", [result(spec(0.9 + n / 1000, "urdu", 0), hits(n % 9, 5, 5, 5), {"urdu": level(5)})])
        for n in range(LISTED + 1)
    ]
    told = compare(
        kept(tmp_path, *(own for _, own in groups)), "s", [candidate(*one) for one in groups], ["urdu"], reference="c00"
    )
    assert len(told.listed) == SHORT
    assert told.listed[0] == "c00", "the reference is worst by validation"
    best = sorted(range(1, LISTED + 1), key=lambda n: -(n % 9))[: SHORT - 1]
    assert set(told.listed) == {"c00", *(f"c{n:02}" for n in best)}
    assert f"{LISTED + 1 - SHORT} more configurations" in as_text(told)
    assert "  c10 " not in as_text(told)
    assert "| c10 |" in as_markdown(told)


def test_the_number_of_folds_is_told_once_and_where_it_differs_by_itself(tmp_path: Path) -> None:
    told = against(tmp_path, "", {"a": varied(0.9, [4, 5, 4]), "b": varied(0.99, [8, 9, 8])})
    assert "mean (sd) over n = 3 folds" in as_text(told)
    assert percent(Mean(0.5, 0.02, 4), 5) == "50.0 (2.0, n 4)"
    assert percent(Mean(0.5, float("nan"), 4, pooled=True), 5) == "50.0† (n 4)"


def test_languages_whose_folds_share_speakers_are_marked_in_the_head(tmp_path: Path) -> None:
    group = flat(0.99, 6, 5)
    told = compare(kept(tmp_path, group), "s", [candidate("a", group)], LANGUAGES, shared_speakers=["urdu"])
    head = next(line for line in as_text(told).splitlines() if "valid UAR" in line)
    assert "urdu ‡" in head
    assert "german ‡" not in head
    assert "‡: folds not speaker-disjoint" in " ".join(as_text(told).split())


# --- choosing


def test_each_language_is_told_whom_the_others_labels_choose(tmp_path: Path) -> None:
    """One winner over all languages would be chosen by labels of every one of them."""

    def cells(tau: float, valid: Mapping[str, int], test: int) -> list[Result]:
        return [
            replace(one, valid={**one.valid, "other-languages": level(valid[str(one.spec.target)])})
            for one in flat(tau, 5, test)
        ]

    groups = [cells(0.9, {"urdu": 9, "german": 3}, 4), cells(0.99, {"urdu": 5, "german": 8}, 6)]
    candidates = [candidate(*pair) for pair in zip("ab", groups, strict=True)]
    told = compare(kept(tmp_path, *groups), "s", candidates, LANGUAGES, selector="other-languages")
    notes = "\n".join(told.notes)
    assert (
        "urdu: chosen by the others' labels: a; its test UAR is 40.0 (0.0), rank 2 of 2 by test (uses other LRL"
        in notes
    )
    assert "german: chosen by the others' labels: b; its test UAR is 60.0 (0.0), rank 1 of 2 by test" in notes


def test_the_worst_language_chooses_where_that_is_the_objective(tmp_path: Path) -> None:
    def cells(tau: float, urdu: int, german: int) -> list[Result]:
        return byol(
            tau, {(name, fold, 0): (v, 5) for name, v in (("urdu", urdu), ("german", german)) for fold in range(2)}
        )

    groups = [cells(0.9, 9, 3), cells(0.99, 5, 5)]
    candidates = [candidate(*pair) for pair in zip("ab", groups, strict=True)]
    ledger = kept(tmp_path, *groups)
    by_mean, by_worst = (
        compare(ledger, "s", candidates, LANGUAGES, objective=name).verdict for name in ("mean", "worst")
    )
    assert by_mean is not None
    assert by_worst is not None
    assert (by_mean.winner.name, by_worst.winner.name) == ("a", "b")
