"""What of a sweep and its answer MLflow is told, from its record and the ledger alone: a sweep that ends and a database
that is filled anew are told by the same lines."""

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator import mirrored
from orchestrator.answers.comparison import Comparison
from orchestrator.answers.rows import Candidate, Row, row
from orchestrator.answers.table import as_markdown
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger
from orchestrator.tracking.tracker import Tracker
from trainers.result import Result
from trainers.spec import CellSpec


def described(asked: Asked) -> str:
    """The experiment's description: question, protocol, command, versions, commit, and how to find one's way."""
    told = {
        "protocol": f"{asked.protocol}, folds by {asked.folds_by}; targets {', '.join(asked.languages)}",
        "command": f"`{asked.command}`",
        "asked": asked.at,
        "commit": asked.commit or "not known",
        "versions": ", ".join(f"{name} {version}" for name, version in asked.versions.items()) or "not known",
        "record": f"{asked.sweep}/{asked.digest}",
    }
    rows = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in told.items()]
    note = [asked.note, ""] if asked.note else []
    lines = [f"**{asked.question}**", "", *note, "| | |", "|---|---|", *rows, "", FILTERS]
    return "\n".join(lines)


FILTERS = (
    "Configurations: `tags.level = 'configuration'`; cells of a language: `tags.level = 'cell' and tags.language = "
    "'…'`; the table and the report: `tags.level = 'sweep'`. Test scores appear once they were opened."
)


def settings_of(asked: Asked, spec: Callable[[str], CellSpec | None]) -> dict[str, dict[str, Any]]:
    """Each configuration with all settings that its cells share, by the `spec` of one of them (by key); those of
    which there is none are left out."""
    found = [(one, next(filter(None, map(spec, one.cells.values())), None)) for one in asked.configurations]
    return {one.name: mirrored.settings(of, one.values) for one, of in found if of is not None}


def tell(asked: Asked, ledger: Ledger, comparison: Comparison, tracker: Tracker) -> None:
    """The answer: means of every configuration, the opened test scores, the table. Configurations of which the ledger
    has nothing have no run: the table says why."""
    tracker.about(asked.digest, described(asked))
    rows = {each.name: each for each in (*comparison.rows, *comparison.unfinished)}
    for one in asked.configurations:
        own = rows[one.name]
        if own.done:
            tracker.aggregate(own, opened=True)
            tracker.open_tests(own, _results(ledger, one))
            tracker.label(one.name, _labels(asked, own, comparison))
    tracker.artifact("comparison.md", as_markdown(comparison))
    tracker.close()


def tell_validated(asked: Asked, ledger: Ledger, tracker: Tracker) -> None:
    """As `tell` of a sweep whose test scores are sealed: means of validation scores alone."""
    tracker.about(asked.digest, described(asked))
    for one in asked.configurations:
        found = {(r.spec.target, r.spec.fold, r.spec.seed): r for r in _results(ledger, one)}
        if found:
            ways: dict[str, Any] = {"selector": asked.selector, "objective": asked.objective}
            tracker.aggregate(row(one, found, asked.languages, **ways))
    tracker.close()


def _labels(asked: Asked, own: Row, comparison: Comparison) -> dict[str, str]:
    """Tags by which configurations are filtered."""
    chosen = comparison.verdict.winner.name if comparison.verdict else ""
    return {
        "diagnosis": comparison.diagnoses.get(own.name, ""),
        "chosen": "yes" if own.name == chosen else "no",
        "reference": "yes" if own.name == asked.reference else "no",
        "complete": "yes" if own.complete else "no",
        "reason": own.reason,
    }


def _results(ledger: Ledger, one: Candidate) -> Iterator[Result]:
    return filter(None, map(ledger.light, one.cells.values()))
