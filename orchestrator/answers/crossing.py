"""Trained on one language, tested on each: a matrix of mean UAR for every configuration."""

from collections.abc import Iterator

from orchestrator.answers.rows import Candidate, by_fold, measures
from orchestrator.answers.section import Findings, Found, Section, share


def matrices(findings: Findings) -> Iterator[Section]:
    """Of each configuration with results the mean UAR over folds, in %; – where a fold's cell is missing."""
    for candidate in findings.candidates:
        found = findings.light(candidate)
        if found:
            yield _matrix(candidate, found, findings)


def _matrix(candidate: Candidate, found: Found, findings: Findings) -> Section:
    rows = tuple(
        (trained, *(share(uar(candidate, found, trained, tested)) for tested in findings.languages))
        for trained in findings.languages
    )
    title = f"{candidate.name}: UAR in %, trained on (rows) × tested on (columns), mean over the folds of the row"
    return Section(title, ("", *findings.languages), rows)


def uar(candidate: Candidate, found: Found, trained: str, tested: str) -> float:
    """Mean test UAR over folds of the cells that were trained on one language; NaN unless all of them are there.

    Seeds are averaged within a fold. Where a tested language has fewer folds than the other, some count twice.
    """
    folds = by_fold([place for place in candidate.cells if place[0] == trained], found, tested)
    return measures(folds).uar.mean if folds else float("nan")
