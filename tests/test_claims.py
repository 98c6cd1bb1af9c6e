"""What is claimed is there, and what is said is what was found."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from orchestrator.answers.claims import MACRO, Claim, claims, p_value, points, sentence
from orchestrator.answers.heard import Heard
from orchestrator.answers.statistics import holm
from tests.simulated_speech import simulated


def told(rights: Mapping[str, list[list[int]]], of: int = 10, language: str = "urdu") -> Heard:
    """Name -> (folds, speakers) how many of `of` clips of each class were right; every fold has its own speakers."""
    folds, speakers = np.shape(next(iter(rights.values())))
    clips = np.zeros((folds, folds * speakers, 4))
    hits = np.zeros((len(rights), *clips.shape))
    for fold, speaker in product(range(folds), range(speakers)):
        place = fold * speakers + speaker
        clips[fold, place] = of
        for number, right in enumerate(rights.values()):
            hits[number, fold, place] = right[fold][speaker]
    names = tuple(f"{language}:{place}" for place in range(clips.shape[1]))
    return Heard(tuple(rights), tuple(range(folds)), folds, names, clips, hits)


REFERENCE = [[5, 5, 4], [6, 5, 5], [5, 4, 4], [6, 6, 5], [5, 5, 5]]
BETTER = [[8, 7, 7], [8, 8, 7], [7, 7, 7], [9, 8, 8], [8, 8, 7]]
UNCLEAR = [[5, 6, 4], [4, 5, 5], [7, 4, 4], [6, 6, 5], [5, 3, 6]]


def test_a_claim_has_the_difference_the_interval_and_both_tests_by_hand() -> None:
    heard = {"urdu": told({"tau=0.99": REFERENCE, "tau=0.999": BETTER, "tau=0.9": UNCLEAR})}
    found = {claim.configuration: claim for claim in claims(heard, "tau=0.99", 2)}
    p_folds, p_speakers = [], []
    for name, rights in {"tau=0.999": BETTER, "tau=0.9": UNCLEAR}.items():
        d = (np.array(rights) - np.array(REFERENCE)) / 10
        folds, speakers = d.mean(1), d.ravel() / 15
        error = folds.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
        p_folds.append(2 * stats.t.sf(abs(folds.mean()) / error, 4))
        flips = np.random.default_rng(0).choice([-1.0, 1.0], size=(20_000, 15))
        p_speakers.append((1 + np.sum(np.abs(flips @ speakers) >= abs(speakers.sum()) - 1e-9)) / 20_001)
        claim = found[name]
        assert claim.difference == pytest.approx(d.mean())
        half = stats.t.ppf(0.975, 4) * error
        assert (claim.low, claim.high) == (pytest.approx(d.mean() - half), pytest.approx(d.mean() + half))
    assert [found[name].p_folds for name in ("tau=0.999", "tau=0.9")] == pytest.approx(holm(p_folds))
    assert [found[name].p_speakers for name in ("tau=0.999", "tau=0.9")] == pytest.approx(holm(p_speakers))
    assert [found[name].verdict for name in ("tau=0.999", "tau=0.9")] == ["beats", "not shown"]


def test_of_one_language_there_is_one_family_of_several_two() -> None:
    one = told({"a": REFERENCE, "b": BETTER, "c": UNCLEAR})
    alone = claims({"urdu": one}, "a", 2)
    assert [(claim.place, claim.configuration) for claim in alone] == [(MACRO, "b"), (MACRO, "c")]
    both = claims({"urdu": one, "german": one}, "a", 2)
    assert [claim.place for claim in both] == [MACRO, MACRO, "urdu", "urdu", "german", "german"]
    single = {claim.configuration: claim for claim in alone}
    urdu = {claim.configuration: claim for claim in both if claim.place == "urdu"}
    assert single["b"].p_folds == pytest.approx(2 * urdu["b"].p_folds / 4), "smallest of 2 tests, and of 4"
    assert (both[0].positive, both[0].languages) == (("urdu", "german"), ("urdu", "german"))


def test_the_mean_of_languages_has_folds_as_blocks_and_all_speakers() -> None:
    urdu, german = told({"a": REFERENCE, "b": BETTER}), told({"a": REFERENCE, "b": UNCLEAR}, language="german")
    claim = claims({"urdu": urdu, "german": german}, "a", 1)[0]
    gaps = [(np.array(own) - np.array(REFERENCE)).mean(1) / 10 for own in (BETTER, UNCLEAR)]
    blocks = np.mean(gaps, axis=0)
    assert claim.difference == pytest.approx(blocks.mean())
    error = blocks.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert claim.p_folds == pytest.approx(2 * stats.t.sf(abs(blocks.mean()) / error, 4))
    assert claim.units == np.count_nonzero(np.array(BETTER) - REFERENCE) + np.count_nonzero(
        np.array(UNCLEAR) - REFERENCE
    )
    assert claim.blocks == 5, "seeds, languages and speakers are no blocks"


def test_what_was_planned_counts_in_the_families_though_it_could_not_be_compared() -> None:
    heard = {"urdu": told({"a": REFERENCE, "b": BETTER})}
    (one,), (ten,) = claims(heard, "a", 1), claims(heard, "a", 10)
    assert ten.p_folds == pytest.approx(10 * one.p_folds)
    assert ten.p_speakers == pytest.approx(min(1, 10 * one.p_speakers))
    assert ten.detectable > one.detectable


def test_three_folds_describe_and_claim_nothing() -> None:
    heard = {"urdu": told({"a": REFERENCE[:3], "b": BETTER[:3]}, of=10)}
    (claim,) = claims(heard, "a", 1)
    assert claim.p_folds < 0.05 or claim.p_speakers < 0.05
    assert (claim.is_shown, claim.verdict) == (False, "descriptive")
    assert "only 3 folds, descriptive" in sentence(claim)


def test_few_speakers_can_show_nothing_and_that_is_said() -> None:
    one = told({"a": [[5]] * 5, "b": [[8], [8], [9], [8], [9]]})
    (claim,) = claims({"urdu": one}, "a", 1)
    assert claim.p_folds < 0.05
    assert claim.p_speakers == pytest.approx(2 / 2**5)
    assert (claim.is_shown, claim.detectable) == (False, float("inf"))
    assert "nothing could be shown with this spread and 5 speakers that differ" in sentence(claim)


def test_where_folds_differ_between_languages_there_is_no_test_of_the_mean() -> None:
    four = told({"a": REFERENCE[:4], "b": BETTER[:4]})
    found = claims({"mandarin": four, "english": told({"a": REFERENCE, "b": BETTER})}, "a", 1)
    assert [(claim.place, claim.blocks) for claim in found] == [("mandarin", 4), ("english", 5)]


CLAIM = Claim(
    configuration="tau=0.999",
    reference="tau=0.99",
    place="urdu",
    languages=("urdu",),
    difference=0.0312,
    low=0.004,
    high=0.0584,
    p_folds=0.0321,
    p_speakers=0.00012,
    blocks=5,
    units=20,
    detectable=0.0411,
    positive=("urdu",),
)


def test_sentences_say_what_may_be_claimed() -> None:
    assert sentence(CLAIM) == (
        "tau=0.999 beats tau=0.99 on urdu (these clips) by 3.1 UAR points, 95 % CI 0.4 to 5.8, "
        "both p < .05 after Holm (folds p = .032, speakers p < .001)"
    )
    worse = replace(CLAIM, difference=-0.0312, low=-0.0584, high=-0.004)
    assert "falls behind tau=0.99 on urdu (these clips) by 3.1 UAR points, 95 % CI 0.4 to 5.8" in sentence(worse)
    unclear = replace(CLAIM, p_speakers=0.31, low=-0.0204)
    assert sentence(unclear) == (
        "tau=0.999 against tau=0.99 on urdu (these clips): not shown (+3.1 UAR points, 95 % CI −2.0 to 5.8; "
        "folds p = .032, speakers p = .310; below about 4.1 points nothing could be shown)"
    )
    macro = replace(CLAIM, place=MACRO, languages=("urdu", "german", "bangla"), positive=("urdu", "bangla"))
    assert "beats tau=0.99 on the mean of urdu, german and bangla (these clips) by" in sentence(macro)
    assert sentence(macro).endswith("; ahead in 2 of 3 languages")


@pytest.mark.parametrize("p", ["p_folds", "p_speakers"])
def test_one_test_alone_shows_nothing(p: str) -> None:
    assert CLAIM.is_shown
    assert not replace(CLAIM, **{p: 0.05}).is_shown
    assert not replace(CLAIM, **{p: float("nan")}).is_shown


def test_numbers_are_written_as_papers_write_them() -> None:
    assert [points(value) for value in (0.1234, -0.1234, -0.0001, float("nan"))] == ["12.3", "−12.3", "0.0", "n/a"]
    assert [points(value, signed=True) for value in (0.1234, -0.1234, 0.0)] == ["+12.3", "−12.3", "0.0"]
    assert [p_value(p) for p in (0.0005, 0.0321, 0.05, 1.0)] == ["< .001", "= .032", "= .050", "= 1"]
    assert p_value(0.0625) == "= .062"


# --- by simulation


def shown(runs: int, gains: list[float], seed: int) -> tuple[int, int]:
    """In how many of so many simulated sweeps something is claimed of the mean of languages, and of any of them."""
    draws = np.random.default_rng(seed)
    found = [claims(simulated(gains, draws), "c0", len(gains) - 1) for _ in range(runs)]
    primary = sum(any(claim.is_shown for claim in own if claim.place == MACRO) for own in found)
    return primary, sum(any(claim.is_shown for claim in own if claim.place != MACRO) for own in found)


@pytest.mark.slow
@pytest.mark.parametrize("configurations", [2, 5])
def test_where_nothing_differs_at_most_one_sweep_in_twenty_claims_something(configurations: int) -> None:
    """Null: 5 folds × 3 languages × 5 seeds. The bound is the 99.9 % quantile of so many draws at 5 %."""
    runs = 400
    most = stats.binom.ppf(0.999, runs, 0.05)
    primary, secondary = shown(runs, [0.0] * configurations, seed=configurations)
    assert primary <= most
    assert secondary <= most


@pytest.mark.slow
def test_a_t_test_over_cells_would_claim_far_more() -> None:
    """The simulation has what makes cells no samples: without it, passing the test above would say nothing."""
    draws, rejected, runs = np.random.default_rng(1), 0, 200
    for _ in range(runs):
        heard = simulated([0.0, 0.0], draws)
        cells = np.concatenate([one.contributions[1] - one.contributions[0] for one in heard.values()])
        rejected += stats.ttest_1samp(cells, 0).pvalue < 0.05
    assert rejected > stats.binom.ppf(0.999, runs, 0.10)


def test_a_large_gain_is_mostly_shown() -> None:
    primary, _ = shown(40, [0.0, 1.0], seed=3)
    assert primary >= 20
