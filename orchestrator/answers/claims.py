"""What may be claimed of a difference to the reference: two tests, each with Holm's correction (VALIDITY §5).

"Beats" takes both: the corrected t over folds, which holds what another partition and another training would change,
and sign flips of speakers, which hold what other speakers would change. All else is "not shown".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from orchestrator.answers.heard import Heard
from orchestrator.answers.statistics import (
    ALPHA,
    FEWEST_BLOCKS,
    ROUNDING,
    Floats,
    FoldTest,
    corrected_t,
    flip_width,
    half_width,
    holm,
    sign_flip_p,
    smallest_flip_p,
)

MACRO = "macro"


@dataclass(frozen=True)
class Claim:
    """A configuration against the reference, in UAR of one language or of their mean (`place` is then "macro").

    `difference`, `low` to `high` (95 %), `detectable`: shares of 1. `p_folds`, `p_speakers`: after Holm. `blocks`: J.
    `units`: speakers whose clips the two do not get right alike. `detectable`: about the least difference that both
    tests would have shown with this spread; infinite where so few speakers, so many tests or so wide a spread can show
    none. `positive`: the languages on which the configuration is ahead.
    """

    configuration: str
    reference: str
    place: str
    languages: tuple[str, ...]
    difference: float
    low: float
    high: float
    p_folds: float
    p_speakers: float
    blocks: int
    units: int
    detectable: float
    positive: tuple[str, ...] = ()

    @property
    def is_descriptive(self) -> bool:
        """Whether there are too few blocks to claim anything."""
        return self.blocks < FEWEST_BLOCKS

    @property
    def is_shown(self) -> bool:
        return not self.is_descriptive and self.p_folds < ALPHA and self.p_speakers < ALPHA

    @property
    def verdict(self) -> str:
        if self.is_shown:
            return "beats" if self.difference > 0 else "falls behind"
        return "descriptive" if self.is_descriptive else "not shown"


def claims(heard: Mapping[str, Heard], reference: str, planned: int) -> list[Claim]:
    """Every other configuration against the reference: on the mean of the languages, then on each of them.

    `heard`: language -> the same configurations. `planned`: how many were to be compared with the reference; those that
    could not be count in the families all the same: `planned` tests of the mean, `planned` × languages of languages.
    No test of the mean where languages have other folds, and none beside it of a single language.
    """
    apart = {language: _gap((language,), one, reference) for language, one in heard.items()}
    together = _together(heard, list(apart.values()))
    families = [{MACRO: together}] if together else []
    if not together or len(heard) > 1:
        families.append(apart)
    return [claim for family in families for claim in _family(family, reference, planned * len(family))]


@dataclass(frozen=True)
class _Gap:
    """Differences of n configurations to the reference: by block (n, J), by speaker (n, speakers) and by language
    (n, languages)."""

    languages: tuple[str, ...]
    names: tuple[str, ...]
    folds: int
    of_blocks: Floats
    of_speakers: Floats
    of_languages: Floats


def _gap(languages: tuple[str, ...], one: Heard, reference: str) -> _Gap:
    mine = one.names.index(reference)
    others = [place for place in range(len(one.names)) if place != mine]
    of_blocks = one.contributions[others] - one.contributions[mine]
    return _Gap(
        languages,
        tuple(one.names[place] for place in others),
        one.folds_each,
        of_blocks,
        one.of_speakers[others] - one.of_speakers[mine],
        of_blocks.mean(1, keepdims=True),
    )


def _together(heard: Mapping[str, Heard], gaps: Sequence[_Gap]) -> _Gap | None:
    """The mean over languages, which share each fold's training; None where they do not have the same folds."""
    if len({(one.folds, one.partition) for one in heard.values()}) != 1:
        return None
    return _Gap(
        tuple(heard),
        gaps[0].names,
        gaps[0].folds,
        np.mean([gap.of_blocks for gap in gaps], axis=0),
        np.concatenate([gap.of_speakers for gap in gaps], axis=1) / len(gaps),
        np.concatenate([gap.of_languages for gap in gaps], axis=1),
    )


def _family(family: Mapping[str, _Gap], reference: str, tests: int) -> Iterator[Claim]:
    """The claims of one family of so many tests."""
    folds = [corrected_t(gap.of_blocks, gap.folds) for gap in family.values()]
    p_folds = _adjusted([test.p for test in folds], tests)
    p_speakers = _adjusted([sign_flip_p(gap.of_speakers) for gap in family.values()], tests)
    for (place, gap), test, *p in zip(family.items(), folds, p_folds, p_speakers, strict=True):
        yield from _claims(place, gap, reference, ALPHA / tests, test, p[0], p[1])


def _adjusted(p: Sequence[Floats], tests: int) -> list[Floats]:
    """Holm's p of a family of so many tests, in the shape of those that were made."""
    ends = np.cumsum([len(one) for one in p])
    every = np.concatenate([*p, np.full(tests - ends[-1], np.nan)])
    return list(np.split(holm(every)[: ends[-1]], ends[:-1]))


def _claims(
    place: str, gap: _Gap, reference: str, needed: float, test: FoldTest, p_folds: Floats, p_speakers: Floats
) -> Iterator[Claim]:
    """One claim per configuration; `needed`: the p that is below .05 whatever the rest of the family has."""
    blocks = gap.of_blocks.shape[1]
    units = np.count_nonzero(np.abs(gap.of_speakers) > ROUNDING, axis=1)
    widths = np.maximum(half_width(test.sd, blocks, gap.folds, needed), flip_width(gap.of_speakers, needed))
    for number, name in enumerate(gap.names):
        can_be_shown = smallest_flip_p(int(units[number])) < needed and widths[number] <= 1
        yield Claim(
            configuration=name,
            reference=reference,
            place=place,
            languages=gap.languages,
            difference=float(test.mean[number]),
            low=float(test.low[number]),
            high=float(test.high[number]),
            p_folds=float(p_folds[number]),
            p_speakers=float(p_speakers[number]),
            blocks=blocks,
            units=int(units[number]),
            detectable=float(widths[number]) if can_be_shown else float("inf"),
            positive=tuple(np.array(gap.languages)[gap.of_languages[number] > ROUNDING].tolist()),
        )


# --- in words


def sentence(claim: Claim) -> str:
    """What may be said of it, in plain words; languages are named, because no others were tried."""
    against = f"{claim.reference} {_where(claim)}"
    if claim.is_shown:
        ahead = claim.difference > 0
        bounds = (claim.low, claim.high) if ahead else (-claim.high, -claim.low)
        said = f"{claim.configuration} {claim.verdict} {against} by {points(abs(claim.difference))} UAR points"
        return f"{said}, {interval_text(*bounds)}, both p < .05 after Holm ({_p(claim)}){_counted(claim)}"
    why = f"only {claim.blocks} folds, descriptive" if claim.is_descriptive else f"{_p(claim)}; {_limit(claim)}"
    size = f"{points(claim.difference, signed=True)} UAR points, {interval_text(claim.low, claim.high)}"
    return f"{claim.configuration} against {against}: not shown ({size}; {why}){_counted(claim)}"


def _where(claim: Claim) -> str:
    *most, last = claim.languages
    named = f"{', '.join(most)} and {last}" if most else last
    return f"on {'the mean of ' if most else ''}{named} (these clips)"


def interval_text(low: float, high: float) -> str:
    return "no interval" if isnan(low) else f"95 % CI {points(low)} to {points(high)}"


def _p(claim: Claim) -> str:
    return f"folds p {p_value(claim.p_folds)}, speakers p {p_value(claim.p_speakers)}"


def _limit(claim: Claim) -> str:
    if np.isinf(claim.detectable):
        return f"nothing could be shown with this spread and {claim.units} speakers that differ"
    return f"below about {points(claim.detectable)} points nothing could be shown"


def _counted(claim: Claim) -> str:
    if len(claim.languages) < 2:
        return ""
    return f"; ahead in {len(claim.positive)} of {len(claim.languages)} languages"


def points(share: float, *, signed: bool = False) -> str:
    """A share of 1 in points, with one digit and a printed minus sign."""
    if isnan(share):
        return "n/a"
    text = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    return "0.0" if text.strip("+-") == "0.0" else text.replace("-", "−")


def p_value(p: float) -> str:
    """`= .012`, `< .001`, `n/a`."""
    if isnan(p):
        return "n/a"
    if p < 0.001:
        return "< .001"
    return "= 1" if p > 0.9995 else f"= {p:.3f}".replace("0.", ".", 1)
