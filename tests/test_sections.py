"""What stands below a table: each figure against one that was reckoned in another way."""

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score

import search_spaces
from orchestrator.answer import SHOWN
from orchestrator.answers import crossing, distance, gender, speakers, stability
from orchestrator.answers.comparison import compare
from orchestrator.answers.rows import Candidate
from orchestrator.answers.section import Findings, Section
from orchestrator.answers.table import as_markdown, as_text
from orchestrator.ledger import Ledger
from tests.synthetic_results import baseline_spec, hits, result, spec
from trainers.corpora import CORPORA
from trainers.corpora.distances import FROM_ENGLISH, Distance
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig
from trainers.result import Result
from trainers.scores import Score

LANGUAGES = ("urdu", "german")


def level(correct: int) -> Score:
    return hits(correct, correct, correct, correct)


def findings(
    store: Path, groups: Mapping[str, list[Result]], languages: tuple[str, ...] = LANGUAGES, reference: str = ""
) -> Findings:
    ledger = Ledger(store)
    for own in groups.values():
        for one in own:
            ledger.write(one)
    places = {
        name: {(r.spec.target, r.spec.fold, r.spec.seed): r.spec.key() for r in own} for name, own in groups.items()
    }
    candidates = [Candidate(name, cells) for name, cells in places.items()]
    return Findings(ledger, candidates, languages, "hrl", reference)


def test_every_section_that_a_sweep_may_ask_for_exists_and_others_are_refused() -> None:
    assert set(SHOWN) == set(search_spaces.SHOWS)
    with pytest.raises(UserError, match="shows is 'matrices'; it must be one of matrix, stability"):
        search_spaces.Sweep("?", ByolConfig(), shows=("matrices",))


# --- trained on × tested on


def crossed(tenths: Mapping[tuple[str, str, int], int]) -> list[Result]:
    """Within-corpus cells: (trained on, tested on, fold) -> tenths right."""
    places = {(trained, fold) for trained, _, fold in tenths}
    return [
        result(
            replace(baseline_spec(fold), target=trained),
            level(5),
            {tested: level(right) for (own, tested, of), right in tenths.items() if (own, of) == (trained, fold)},
        )
        for trained, fold in sorted(places)
    ]


TENTHS = {
    ("urdu", "urdu", 0): 6,
    ("urdu", "german", 0): 3,
    ("urdu", "urdu", 1): 8,
    ("urdu", "german", 1): 4,
    ("german", "german", 0): 9,
    ("german", "urdu", 0): 2,
    ("german", "german", 1): 9,
    ("german", "urdu", 1): 1,
}


def test_the_matrix_holds_the_mean_over_folds_of_every_pair(tmp_path: Path) -> None:
    (section,) = crossing.matrices(findings(tmp_path, {"baseline": crossed(TENTHS)}))
    assert section.headings == ("", *LANGUAGES)
    assert section.rows == (("urdu", "70.0", "35.0"), ("german", "15.0", "90.0"))


def test_a_pair_lacking_a_fold_has_no_number(tmp_path: Path) -> None:
    told = findings(tmp_path, {"baseline": crossed(TENTHS)})
    (one,) = told.candidates
    more = Candidate(one.name, {**one.cells, ("urdu", 2, 0): "0" * 64})
    (section,) = crossing.matrices(replace(told, candidates=[more]))
    assert section.rows == (("urdu", "–", "–"), ("german", "15.0", "90.0"))


def test_a_table_within_corpora_counts_only_cells_of_its_own_language(tmp_path: Path) -> None:
    """A cell is tested on every language; what others trained must not enter a column's mean or its notes."""
    told = findings(tmp_path, {"baseline": crossed(TENTHS)})
    comparison = compare(told.ledger, "s", told.candidates, LANGUAGES)
    (row,) = comparison.rows
    assert [row.test[name].uar.mean for name in LANGUAGES] == pytest.approx([0.7, 0.9])
    assert row.test["urdu"].uar.n == 2
    urdu = next(note for note in comparison.notes if note.startswith("urdu: folds of as few"))
    alone = [100 * np.sqrt(4 * p * (1 - p) / 10) / 4 for p in (0.6, 0.8)]
    assert urdu.endswith(f"an sd of {fmean(alone):.1f} points")


def test_sections_stand_below_the_notes_in_text_and_in_markdown(tmp_path: Path) -> None:
    told = findings(tmp_path, {"baseline": crossed(TENTHS)})
    shown = Section("a title", ("of", "much"), (("a", "1"), ("b|c", "2")), ("mind this",))
    comparison = replace(compare(told.ledger, "s", told.candidates, LANGUAGES), sections=(shown,))
    text, markdown = as_text(comparison), as_markdown(comparison)
    for whole in (text, markdown):
        assert whole.index("test scores of s have been opened") < whole.index("a title") < whole.index("mind this")
    assert "\n**a title**\n\n| of | much |\n| --- | --- |\n| a | 1 |\n| b\\|c | 2 |\n\n- mind this\n" in markdown


# --- stability


def curve(losses: list[float], uars: Mapping[int, float]) -> list[dict[str, float]]:
    return [
        {"step": float(step), "loss/total": loss, **({"valid_uar": uars[step]} if step in uars else {})}
        for step, loss in enumerate(losses, start=1)
    ]


def test_late_deviation_is_that_of_the_validations_in_the_last_third() -> None:
    uars = {10: 0.1, 20: 0.9, 30: 0.5, 40: 0.6, 50: 0.7, 60: 0.65}
    assert stability.late_sd(curve([1.0] * 60, uars)) == pytest.approx(stdev([0.7, 0.65]))
    assert stability.late_sd(curve([1.0] * 60, {60: 0.5})) != stability.late_sd(curve([1.0] * 60, {60: 0.5}))  # NaN
    assert stability.late_sd([]) != 0


def test_planted_spikes_are_counted_and_neither_noise_nor_a_falling_loss_is() -> None:
    draws = random.Random(0)
    losses = [2 * 0.99**step + draws.gauss(0, 0.02) for step in range(200)]
    assert stability.spike_share(curve(losses, {})) == 0
    for place in (50, 51, 120):
        losses[place] += 1
    assert stability.spike_share(curve(losses, {})) == pytest.approx(3 / 180)
    assert stability.spike_share(curve([1.0] * 21, {})) == 0
    assert stability.spike_share(curve([1.0] * 20, {})) != 0  # NaN: nothing was asked


def test_a_step_up_is_a_spike_only_until_it_is_the_rule() -> None:
    share = stability.spike_share(curve([1.0] * 20 + [5.0] * 60, {}))
    assert share == pytest.approx(10 / 60)  # of the 20 before, half are high by the 11th


def test_the_spread_over_seeds_is_taken_within_folds(tmp_path: Path) -> None:
    tenths = {(0, 0): 2, (0, 1): 4, (1, 0): 7, (1, 1): 8}
    own = [result(spec(0.99, "urdu", fold, seed), level(n), {"urdu": level(5)}) for (fold, seed), n in tenths.items()]
    told = findings(tmp_path, {"tau=0.99": own}, ("urdu",))
    wanted = np.sqrt((np.var([0.2, 0.4], ddof=1) + np.var([0.7, 0.8], ddof=1)) / 2)
    found = told.whole(told.candidates[0])
    assert stability.seed_sd(found, "hrl") == pytest.approx(wanted)
    (section,) = stability.figures(told)
    assert section.rows == (("tau=0.99", f"{100 * wanted:.1f}", "–", "–"),)


# --- speakers


def test_speakers_are_shown_before_and_after_as_means_over_cells(tmp_path: Path) -> None:
    rates = [(0.4, 0.2, 0.5, 0.9), (0.3, 0.1, 0.7, float("nan"))]
    names = [f"speaker_{what}/{when}/urdu" for what in ("eer", "knn") for when in ("before", "after")]
    own = [
        replace(result(baseline_spec(fold), level(5), {"urdu": level(5)}), facts=dict(zip(names, told, strict=True)))
        for fold, told in enumerate(rates)
    ]
    (section,) = speakers.verification(findings(tmp_path, {"adapt_share=1": own}, ("urdu",)))
    assert section.rows == (("adapt_share=1", "urdu", "35.0", "15.0", "60.0", "90.0"),)


# --- gender


def spoken(name: str, seed: int, right: Mapping[str, float]) -> tuple[Result, list[tuple[str, str, str]]]:
    """A cell whose clips are right with a chance that depends on gender, and its (gender, emotion, said) rows."""
    draws = random.Random(f"{name}{seed}")
    rows = [
        (who, emotion, emotion if draws.random() < right[who] else draws.choice(EMOTIONS))
        for who in ("female", "male")
        for emotion in EMOTIONS
        for _ in range(20)
    ]
    told = [
        {"part": part, "id": str(n), "gender": who, "emotion": emotion, "predicted": EMOTIONS.index(said)}
        for part in ("test/urdu", "whole/urdu")
        for n, (who, emotion, said) in enumerate(rows)
    ]
    cell = replace(baseline_spec(0, seed), encoder_fingerprint=name.ljust(64, "0"))
    return replace(result(cell, level(5), {"urdu": level(5)}), predictions=told), rows


def test_f1_by_gender_is_scikit_learns_and_succeeds_where_both_marks_are_reached(tmp_path: Path) -> None:
    rates = {
        "baseline": {"female": 0.9, "male": 0.3},
        "CL": {"female": 0.4, "male": 0.99},
        "better": {"female": 0.99, "male": 0.99},
    }
    groups, said = {}, {}
    for name, right in rates.items():
        cells = [spoken(name, seed, right) for seed in (0, 1)]
        groups[name], said[name] = [one for one, _ in cells], [rows for _, rows in cells]
    (section,) = gender.balance(findings(tmp_path, groups, ("urdu",), "CL"))
    for row in section.rows:
        for place, who in enumerate((("female",), ("male",), ("female", "male")), start=2):
            kept = [[(truth, guess) for g, truth, guess in rows if g in who] for rows in said[row[0]]]
            wanted = fmean(f1_score(*zip(*pairs, strict=True), average="macro") for pairs in kept)
            assert row[place] == f"{100 * wanted:.1f}"
    assert {row[0]: row[-1] for row in section.rows} == {"baseline": "no", "CL": "no", "better": "yes"}


def test_what_gender_cannot_be_told_from_is_said_of_the_clips_that_were_tested(tmp_path: Path) -> None:
    cells = [spoken("CL", seed, {"female": 1, "male": 1})[0] for seed in (0, 1)]
    kept = [row for row in cells[0].predictions if (row["gender"], row["emotion"]) != ("female", "angry")]
    men_alone = [replace(one, predictions=kept) for one in cells]
    (section,) = gender.balance(findings(tmp_path, {"CL": men_alone}, ("urdu",), "CL"))
    assert "urdu: angry is all of men (20 clips, 0 of women)" in section.notes


def test_f1_is_over_the_classes_that_a_gender_has() -> None:
    counts = np.zeros((4, 4), np.int64)
    counts[1, 1], counts[1, 2], counts[3, 3] = 6, 2, 4
    assert gender.f1(counts) == pytest.approx((2 * 6 / (8 + 6) + 1) / 2)


# --- distance


def test_spearman_is_scipys_and_its_p_the_share_of_all_orders() -> None:
    one, other = [0.3, 0.1, 0.4, 0.15, 0.5], [2.0, 7.0, 1.0, 8.0, 1.0]
    rho, p = distance.spearman(one, other)
    assert rho == pytest.approx(spearmanr(one, other).statistic)
    every = [abs(spearmanr(order, other).statistic) for order in permutations(one)]
    assert p == pytest.approx(np.mean([value >= abs(rho) - 1e-9 for value in every]))


def test_a_correlation_of_three_languages_is_descriptive_and_of_eight_tested(tmp_path: Path) -> None:
    for count, word in ((3, "descriptive"), (8, "tested by permutation")):
        names = tuple(sorted(FROM_ENGLISH, key=lambda name: FROM_ENGLISH[name].featural))[:count]
        folder = tmp_path / str(count)
        plain = [result(baseline_spec(), level(1), {name: level(1) for name in names})]
        better = [result(spec(0.99, name), level(1), {name: level(9 - place)}) for place, name in enumerate(names)]
        (section,) = distance.correlations(findings(folder, {"baseline": plain, "BYOL": better}, names, "baseline"))
        assert [row[1] for row in section.rows] == [f"{80 - 10 * place:.1f}" for place in range(count)]
        featural = next(note for note in section.notes if "featural" in note)
        wanted = spearmanr([-place for place in range(count)], [FROM_ENGLISH[name].featural for name in names])
        assert f"Spearman {wanted.statistic:.2f}" in featural
        assert word in featural


def test_languages_without_a_distance_are_named(tmp_path: Path) -> None:
    groups = {"baseline": [result(baseline_spec(), level(1), {"klingon": level(1), "urdu": level(2)})]}
    groups["BYOL"] = [result(spec(0.99, name), level(1), {name: level(5)}) for name in ("klingon", "urdu")]
    (section,) = distance.correlations(findings(tmp_path, groups, ("klingon", "urdu"), "baseline"))
    assert [row[0] for row in section.rows] == ["urdu"]
    assert "no distance is known of klingon" in section.notes
    assert "fewer than three languages: no correlation" in section.notes


def test_the_corpora_are_of_languages_whose_distance_is_known_and_german_is_nearest() -> None:
    spoken_here = {corpus.language for name, corpus in CORPORA.items() if not name.startswith("demo")}
    assert spoken_here - {"english"} <= set(FROM_ENGLISH)
    kinds = vars(FROM_ENGLISH["german"])
    assert all(0 <= value <= 1 for told in FROM_ENGLISH.values() for value in vars(told).values())
    for kind in ("syntax", "featural", "genetic"):
        assert min(FROM_ENGLISH, key=lambda name: getattr(FROM_ENGLISH[name], kind)) == "german"
    assert isinstance(FROM_ENGLISH["urdu"], Distance)
    assert len(kinds) == 6
