"""Does what a method gains depend on how far the language is from English?"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import permutation_test, rankdata

from orchestrator.answers.rows import Candidate, by_fold, measures
from orchestrator.answers.section import Findings, Found, Section, share
from trainers.corpora.distances import FROM_ENGLISH

KINDS = ("featural", "syntax", "phonology", "genetic", "geographic")

ENOUGH = 8
"""Fewer languages are described, not tested."""

DRAWS = 50_000
"""Permutations that are drawn where all would be more."""

NAN = float("nan")


def correlations(findings: Findings) -> Iterator[Section]:
    """Each configuration's gain in UAR over the reference, language by language, against the languages' distances."""
    reference = next((one for one in findings.candidates if one.name == findings.reference), None)
    if reference is None:
        return
    floor = uar(reference, findings.light(reference), findings.languages)
    known = [language for language in findings.languages if language in FROM_ENGLISH and language in floor]
    missing = [language for language in findings.languages if language not in FROM_ENGLISH]
    for candidate in findings.candidates:
        if candidate is not reference:
            reached = uar(candidate, findings.light(candidate), known)
            gains = {language: reached[language] - floor[language] for language in known if language in reached}
            yield _section(candidate.name, reference.name, gains, missing)


def _section(name: str, reference: str, gains: dict[str, float], missing: Sequence[str]) -> Section:
    rows = tuple(
        (language, share(gain), *(f"{getattr(FROM_ENGLISH[language], kind):.3f}" for kind in KINDS))
        for language, gain in gains.items()
    )
    notes = [_line(kind, gains) for kind in KINDS] if len(gains) > 2 else ["fewer than three languages: no correlation"]
    if missing:
        notes.append(f"no distance is known of {', '.join(missing)}")
    notes.append("distances: cosine on URIEL kNN features; of several kinds some correlate by chance")
    headings = ("language", "gain", *KINDS)
    title = f"{name}: UAR gained over {reference} (points) and distance from English"
    return Section(title, headings, rows, tuple(notes))


def _line(kind: str, gains: dict[str, float]) -> str:
    far = [getattr(FROM_ENGLISH[language], kind) for language in gains]
    rho, p = spearman(list(gains.values()), far)
    said = "descriptive" if len(gains) < ENOUGH else "tested by permutation of the languages"
    return f"gain against {kind} distance: Spearman {rho:.2f}, p = {p:.3f}, {len(gains)} languages ({said})"


def uar(candidate: Candidate, found: Found, languages: Sequence[str]) -> dict[str, float]:
    """Language -> mean test UAR over folds, of the languages whose cells are all there."""
    folds = {
        language: by_fold([place for place in candidate.cells if place[0] in (language, None)], found, language)
        for language in languages
    }
    return {language: measures(own).uar.mean for language, own in folds.items() if own}


def spearman(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Spearman's ρ and the two-sided p of a permutation test: the share of orders whose |ρ| is as large.

    All orders up to eight values, else 50,000 random ones. Both NaN where all values of one side are equal.
    """
    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (one, other))
    size = float(np.sqrt((x @ x) * (y @ y)))
    if not size:
        return NAN, NAN
    tested = permutation_test(
        (x,),
        lambda order, axis: np.abs(np.sum(order * y, axis=axis)) / size,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=DRAWS,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(x @ y) / size, float(tested.pvalue)
