"""How each configuration differs from the sweep's reference: the claims, in sentences and in numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.answers.claims import MACRO, Claim, claims, interval_text, p_value, points, sentence
from orchestrator.answers.heard import Cells, Heard, confusions, heard
from orchestrator.answers.section import Section
from orchestrator.answers.statistics import Floats, f1_resampled, interval, smallest_flip_p

FEW = 6
"""Up to so many configurations each has a sentence on the mean of the languages; of more, the chosen one and those
with something to claim."""


@dataclass(frozen=True)
class Differences:
    """Claims of all configurations that could be compared with the reference; `unlike`: those tested on other clips."""

    reference: str
    heard: Mapping[str, Heard]
    claims: tuple[Claim, ...]
    planned: int
    unlike: tuple[str, ...]


def differences(
    cells: Mapping[str, Cells], languages: Sequence[str], reference: str, folds: Mapping[str, int], planned: int
) -> Differences | None:
    """Compare complete configurations (name -> cells, the reference among them) with the reference.

    `folds`: how many folds each language's partition has. None where results do not tell who spoke, or there is
    nothing to compare.
    """
    every = {language: heard(language, cells, reference, folds[language]) for language in languages}
    told = {language: one for language, one in every.items() if one is not None}
    alike = set(cells).intersection(*(one.names for one in told.values()))
    if len(told) < len(every) or len(alike) < 2:
        return None
    kept = {language: one.only(alike) for language, one in told.items()}
    unlike = tuple(name for name in cells if name not in alike)
    return Differences(reference, kept, tuple(claims(kept, reference, planned)), planned, unlike)


def sentences(found: Differences, chosen: str) -> Iterator[str]:
    """What may be said, one line each: the means of few configurations, else the chosen one's, and all that is
    shown."""
    few = found.planned <= FEW
    several = any(claim.place == MACRO for claim in found.claims)
    silent = set()
    for claim in found.claims:
        leads = claim.place == MACRO or not several
        if claim.is_shown or (leads and (few or claim.configuration == chosen)):
            yield sentence(claim)
        elif leads:
            silent.add(claim.configuration)
    if silent:
        yield f"{len(silent)} other configurations against {found.reference}: not shown"
    if found.unlike:
        yield f"not compared, because tested on other clips than {found.reference}: {', '.join(found.unlike)}"


def table(found: Differences, cells: Mapping[str, Cells], listed: Collection[str]) -> Section:
    """The numbers behind the sentences, of the listed configurations."""
    order = [name for name in cells if name in listed]
    ranked = sorted(
        (claim for claim in found.claims if claim.configuration in listed),
        key=lambda claim: order.index(claim.configuration),
    )
    reference = _f1(found, cells[found.reference])
    f1 = {name: _f1(found, cells[name]) for name in {claim.configuration for claim in ranked}}
    rows = tuple(
        _row(claim, [f1[claim.configuration][each] - reference[each] for each in claim.languages]) for claim in ranked
    )
    headings = ("configuration", "on", "UAR", "95 % CI", "p folds", "p speakers", "least shown", "F1 (95 %)", "verdict")
    return Section(f"differences to {found.reference}, in points", headings, rows, tuple(_notes(found)))


def _row(claim: Claim, f1: Sequence[Floats]) -> tuple[str, ...]:
    """`f1`: of each of its languages the difference of macro-F1, and of resampled speakers'."""
    gained, *resampled = np.mean(f1, axis=0)
    low, high = interval(np.array(resampled))
    return (
        claim.configuration,
        claim.languages[0] if len(claim.languages) == 1 else MACRO,
        points(claim.difference, signed=True),
        interval_text(claim.low, claim.high).removeprefix("95 % CI "),
        p_value(claim.p_folds).removeprefix("= "),
        p_value(claim.p_speakers).removeprefix("= "),
        "none" if np.isinf(claim.detectable) else points(claim.detectable),
        f"{points(gained, signed=True)} ({points(low)} to {points(high)})",
        claim.verdict,
    )


def _f1(found: Differences, cells: Cells) -> dict[str, Floats]:
    """Language -> pooled macro-F1, and that of resampled speakers."""
    return {
        language: f1_resampled(confusions(cells, language, one.folds, one.speakers), seed=number)
        for number, (language, one) in enumerate(found.heard.items())
    }


def _notes(found: Differences) -> Iterator[str]:
    first = next(iter(found.heard.values()))
    blocks, count = len(first.folds), len(found.heard)
    families = f"{found.planned} test{'s' if found.planned > 1 else ''} of the mean over languages"
    if count > 1:
        families += f", {found.planned * count} of single languages"
    yield "UAR of all folds' clips together; the means above are of folds, which weigh the same whatever their size"
    yield f"p after Holm's correction in families: {families}; a claim takes both below .05"
    yield (
        f"folds: t over {blocks} folds, corrected for what trainings share (Nadeau & Bengio 2003); Wilcoxon or sign "
        f"flips over them could not go below p = {_exact(smallest_flip_p(blocks))}, so nothing is claimed with them"
    )
    yield f"speakers: sign flips of {_speakers(found)}"
    yield (
        "least shown: about the least difference that would have been shown with this spread; none: too few speakers, "
        "or too wide a spread"
    )
    yield "F1: descriptive, its interval from resampling speakers"
    yield "both tests take the speech that was trained on as given; trained on other speech a difference may be another"
    for language, one in found.heard.items():
        if not one.clips.sum(1).all():
            yield f"{language}: folds lack classes, and for that alone contribute unlike amounts: the interval is wide"
    ragged = [language for language, one in found.heard.items() if one.folds != first.folds]
    if ragged:
        yield "no test of the mean over languages, because they do not have the same folds"


def _speakers(found: Differences) -> str:
    told = [
        f"{len(one.speakers)} in {language} (p not below {_exact(smallest_flip_p(len(one.speakers)))})"
        for language, one in found.heard.items()
    ]
    return ", ".join(told)


def _exact(p: float) -> str:
    return f"{p:.3g}".removeprefix("0")
