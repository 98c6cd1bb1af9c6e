"""What a sweep may ask for below its table, and its comparison with all of it."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module

from orchestrator.answers import diagnosis
from orchestrator.answers.comparison import Comparison, compare
from orchestrator.answers.section import Findings, Show
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger

SHOWN: Mapping[str, tuple[str, str]] = {
    "matrix": ("crossing", "matrices"),
    "stability": ("stability", "figures"),
    "speakers": ("speakers", "verification"),
    "gender": ("gender", "balance"),
    "distance": ("distance", "correlations"),
}
"""Each of `search_spaces.SHOWS`: its file here and its function there, which is loaded when it is asked for."""


MANY = 4
"""Of more configurations only the chosen one's and the reference's failures are told with their numbers."""


def show(name: str) -> Show:
    """What makes the sections of that name."""
    file, function = SHOWN[name]
    made: Show = getattr(import_module(f"orchestrator.answers.{file}"), function)
    return made


def answered(ledger: Ledger, asked: Asked) -> Comparison:
    """Open the test scores of a sweep (the ledger counts it) and lay everything side by side that it asks for."""
    comparison = compare(
        ledger,
        asked.sweep,
        asked.configurations,
        asked.languages,
        floors=asked.floors,
        held_out=asked.held_out,
        selector=asked.selector,
        objective=asked.objective,
        reference=asked.reference,
        folds=asked.folds,
        shared_speakers=asked.shared_speakers,
        failed=asked.failed,
        dropped=asked.dropped,
    )
    findings = Findings(ledger, asked.configurations, asked.languages, asked.selector, asked.reference)
    further = tuple(section for name in asked.shows for section in show(name)(findings))
    told = diagnosis.diagnoses(
        findings,
        listed=comparison.listed,
        held_out=asked.held_out,
        floors=asked.floors,
        claims=comparison.claims,
        verdict=comparison.verdict,
        failed=asked.failed,
    )
    chosen = comparison.verdict.winner.name if comparison.verdict else ""
    detailed = {chosen, comparison.reference, diagnosis.SWEEP} if len(told) > MANY else None
    sections = (*comparison.sections, *further, diagnosis.section(told, detailed))
    return replace(comparison, sections=sections, diagnoses=diagnosis.tags(told))
