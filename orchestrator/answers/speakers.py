"""What CL's adaptation did to the embeddings of speakers that it did not hear."""

from collections.abc import Iterator
from statistics import fmean

from orchestrator.answers.rows import Candidate
from orchestrator.answers.section import Findings, Found, Section, share


def verification(findings: Findings) -> Iterator[Section]:
    """Equal error rate and nearest-neighbour identification before and after, for each language; means over cells."""
    rows = [
        (candidate.name, language, *_figures(found, language))
        for candidate, found in _adapted(findings)
        for language in findings.languages
    ]
    headings = ("unseen speakers", "language", "EER before", "after", "identified before", "after")
    notes = (
        "EER: equal error rate of cosine scores over all pairs of a test fold's clips, in %; chance is 50",
        "identified: every second clip of a speaker by its nearest neighbour among the others, in %; – with too few",
    )
    if rows:
        yield Section("speakers that the adaptation did not hear", headings, tuple(rows), notes)


def _adapted(findings: Findings) -> list[tuple[Candidate, Found]]:
    found = [(candidate, findings.light(candidate)) for candidate in findings.candidates]
    return [(candidate, own) for candidate, own in found if own]


def _figures(found: Found, language: str) -> tuple[str, ...]:
    names = [f"{figure}/{when}/{language}" for figure in ("speaker_eer", "speaker_knn") for when in ("before", "after")]
    return tuple(share(_mean(found, name)) for name in names)


def _mean(found: Found, name: str) -> float:
    values = [result.facts[name] for result in found.values() if name in result.facts]
    there = [value for value in values if value == value]
    return fmean(there) if there else float("nan")
