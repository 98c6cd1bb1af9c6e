"""Trained with one τ, evaluated with another: what BYOL's teacher does, and what averaging weights alone would do."""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from orchestrator.answers.heard import Cells
from orchestrator.answers.means import Scored, measures
from orchestrator.answers.section import Section, share

OWN = "own target"
"""The evaluator that all other tables have: the target network that the training itself kept."""


def evaluated(cells: Mapping[str, Cells], languages: Sequence[str], listed: Collection[str]) -> Section | None:
    """UAR of every listed configuration through each evaluator that its cells were scored with; None for methods that
    have but one."""
    own = {name: found for name, found in cells.items() if name in listed and _has_averages(found)}
    columns = list(dict.fromkeys(name for found in own.values() for cell in found.values() for name in cell.secondary))
    if not own:
        return None
    places = [*languages, *(["macro"] if len(languages) > 1 else [])]
    rows = tuple(
        (name, place, *(share(_uar(found, languages if place == "macro" else [place], way)) for way in (OWN, *columns)))
        for name, found in own.items()
        for place in places
    )
    notes = (
        "rows: trained with; columns: evaluated with; test UAR in %, mean over folds",
        "passive: an average of the online network's weights that nothing learned from. Down such a column the "
        "evaluator is the same and the teacher differs: only there does τ show what it does as a teacher",
        "in a row without BYOL's loss (λ = 0) the columns differ by averaging weights alone",
    )
    return Section("trained with × evaluated with", ("trained with", "on", OWN, *columns), rows, notes)


def _has_averages(cells: Cells) -> bool:
    return any(name.startswith("passive ") for cell in cells.values() for name in cell.secondary)


def _uar(cells: Cells, languages: Sequence[str], evaluator: str) -> float:
    """Mean over folds, then languages; NaN where a cell has no such score."""
    return fmean(_of_language(cells, language, evaluator) for language in languages)


def _of_language(cells: Cells, language: str, evaluator: str) -> float:
    folds: dict[int, list[tuple[object, Scored]]] = {}
    for (target, fold, seed), cell in cells.items():
        if target in (language, None):
            scores = cell.test if evaluator == OWN else cell.secondary.get(evaluator, {})
            if language not in scores:
                return float("nan")
            folds.setdefault(fold, []).append((seed, scores[language]))
    return measures(folds).uar.mean if folds else float("nan")
