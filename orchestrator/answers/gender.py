"""Who is understood: macro-F1 of women and of men, and whether what one loses elsewhere came back."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.rows import Candidate
from orchestrator.answers.section import Findings, Found, Section, share
from orchestrator.answers.slices import confounds
from trainers.corpora.utterance import EMOTIONS, GENDERS

Counts = NDArray[np.int64]

BEFORE = "baseline"
"""The arm whose women's F1 is to be reached again."""


def balance(findings: Findings) -> Iterator[Section]:
    """Macro-F1 by gender of each configuration and language, and whether it succeeds: women's F1 not below the
    baseline's arm, overall F1 not below the reference's (CL's)."""
    scores = {each.name: _scores(each, findings) for each in findings.candidates}
    rows = []
    for name, of_language in scores.items():
        for language, own in of_language.items():
            before, reference = (scores.get(other, {}).get(language) for other in (BEFORE, findings.reference))
            succeeds = "–" if before is None or reference is None else _verdict(own, before, reference)
            rows.append((name, language, *map(share, own), succeeds))
    headings = ("F1 by gender", "language", *GENDERS, "all", "succeeds")
    heard = findings.whole(findings.candidates[0]) if findings.candidates else {}
    notes = (
        "macro-F1 of all folds' clips together, in %, over the classes that this gender has; means over seeds",
        f"succeeds: women's F1 not below {BEFORE}'s, F1 of all not below that of {findings.reference}; not tested",
        *(f"{name}: {told}" for name in findings.languages for told in confounds(_clips(heard, name))),
    )
    if rows:
        yield Section("women and men", headings, tuple(rows), notes)


def _verdict(own: Sequence[float], before: Sequence[float], reference: Sequence[float]) -> str:
    return "yes" if own[0] >= before[0] and own[-1] >= reference[-1] else "no"


def _clips(found: Found, language: str) -> NDArray[np.float64]:
    """(genders, emotions): how many clips were tested, each counted once."""
    part = f"test/{language}"
    clips = {row["id"]: row for result in found.values() for row in result.predictions if row["part"] == part}
    counts = np.zeros((len(GENDERS), len(EMOTIONS)))
    for row in clips.values():
        if row["gender"] in GENDERS:
            counts[GENDERS.index(row["gender"]), EMOTIONS.index(row["emotion"])] += 1
    return counts


def _scores(candidate: Candidate, findings: Findings) -> dict[str, tuple[float, ...]]:
    """Language -> F1 of women, of men, and of all."""
    found = findings.whole(candidate)
    told = {language: _counts(candidate, found, language) for language in findings.languages}
    return {language: _mean_f1(matrices) for language, matrices in told.items() if matrices}


def _counts(candidate: Candidate, found: Found, language: str) -> dict[int, Counts]:
    """Seed -> (genders, truth, prediction) of all folds; nothing unless every cell is there."""
    seeds: dict[int, Counts] = {}
    for target, fold, seed in candidate.cells:
        if target not in (language, None):
            continue
        result = found.get((target, fold, seed))
        if result is None:
            return {}
        counts = seeds.setdefault(seed, np.zeros((len(GENDERS) + 1, len(EMOTIONS), len(EMOTIONS)), np.int64))
        for row in result.predictions:
            if row["part"] == f"test/{language}":
                gender = GENDERS.index(row["gender"]) if row["gender"] in GENDERS else len(GENDERS)
                counts[gender, EMOTIONS.index(row["emotion"]), row["predicted"]] += 1
    return seeds


def _mean_f1(seeds: dict[int, Counts]) -> tuple[float, ...]:
    groups = [[*counts[: len(GENDERS)], counts.sum(0)] for counts in seeds.values()]
    return tuple(fmean(f1(matrix) for matrix in matrices) for matrices in zip(*groups, strict=True))


def f1(matrix: Counts) -> float:
    """Macro-F1 over the classes that have clips, of counts (truth, prediction); NaN where none has."""
    truths, guesses = matrix.sum(1), matrix.sum(0)
    there = truths > 0
    return float(np.mean(2 * np.diag(matrix)[there] / (truths + guesses)[there])) if there.any() else float("nan")
