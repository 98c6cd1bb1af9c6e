"""What one configuration came to: means over folds, or n/a where a cell is missing.

Within a fold a score is first averaged over its cells (seeds; for validation and held-out speech also target
languages). The fold is the block, so n and sd are those of the folds (VALIDITY §5).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Protocol

from orchestrator.answers.means import MEASURES as MEASURES
from orchestrator.answers.means import NAN, Blocks, average, macro, mean, summed_up
from orchestrator.answers.means import Folds as Folds
from orchestrator.answers.means import Mean as Mean
from orchestrator.answers.means import Measures as Measures
from orchestrator.answers.means import Scored as Scored
from orchestrator.answers.means import measures as measures
from orchestrator.answers.means import pooled_macro_f1 as pooled_macro_f1

Place = tuple[str | None, int, int]
"""Of a cell in its configuration: target language (None: it serves all languages), fold, seed."""


class Tested(Protocol):
    """What a cell came to: a result, or its tally."""

    @property
    def valid(self) -> Mapping[str, Scored]: ...
    @property
    def test(self) -> Mapping[str, Scored]: ...


@dataclass(frozen=True)
class Candidate:
    """A configuration, or a floor, with the key of the cell at each of its places.

    `method`: what trains it, as the papers' tables call it.
    """

    name: str
    cells: Mapping[Place, str]
    values: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the comparison. A language stands in `test` only when all of its cells are there.

    `valid`: validation UAR over the folds that have all their cells, None where there is none. `macro`: mean over the
    languages, None unless all are in `test`. `reason`: why the row is not complete, else "".
    """

    name: str
    values: Mapping[str, Any]
    valid: Mean | None
    valid_by_language: Mapping[str, Mean]
    test: Mapping[str, Measures]
    macro: Measures | None
    done: int
    planned: int
    reason: str

    @property
    def complete(self) -> bool:
        return not self.reason


def row(
    candidate: Candidate,
    found: Mapping[Place, Tested],
    languages: Sequence[str],
    *,
    held_out: Sequence[str] = (),
    selector: str = "hrl",
    objective: str = "mean",
    failed: Mapping[str, str] | None = None,
    dropped: str = "",
) -> Row:
    """Sum up the results found for a candidate's cells.

    `objective`: of `OBJECTIVES`. `failed`: why cells (by key) have no result. `dropped`: why the candidate was given up
    before it had all of them, else "".
    """
    own = {name: places_of(candidate, name) for name in languages}
    tested = {name: by_fold(own[name], found, name) for name in languages}
    blocks = {name: Blocks.of(scores) for name, scores in tested.items()}
    test = {name: summed_up(blocks[name], scores) for name, scores in tested.items() if scores}
    beside = {name: by_fold(list(candidate.cells), found, name) for name in held_out}
    uars = {place: _valid_uar(found.get(place), selector) for place in candidate.cells}
    valid_by_language = {name: _valid(own[name], uars) for name in languages}
    return Row(
        name=candidate.name,
        values=candidate.values,
        valid=_valid(list(candidate.cells), uars, objective),
        valid_by_language={name: value for name, value in valid_by_language.items() if value is not None},
        test=test | {name: measures(scores) for name, scores in beside.items() if scores},
        macro=macro([blocks[name] for name in languages], [test[name] for name in languages if name in test]),
        done=len(found),
        planned=len(candidate.cells),
        reason=_reason(candidate, found, [name for name in languages if name not in test], failed or {}, dropped),
    )


def by_fold(places: Sequence[Place], found: Mapping[Place, Tested], language: str) -> Folds:
    """Test scores of a language in the cells at these places, by their fold; nothing unless every one has them."""
    folds: dict[int, list[tuple[object, Scored]]] = {}
    for target, fold, seed in places:
        result = found.get((target, fold, seed))
        if result is None or language not in result.test:
            return {}
        folds.setdefault(fold, []).append(((target, seed), result.test[language]))
    return folds


def _valid_uar(cell: Tested | None, selector: str) -> float:
    return cell.valid[selector].uar if cell and selector in cell.valid else NAN


def _valid(places: Sequence[Place], uars: Mapping[Place, float], objective: str = "mean") -> Mean | None:
    """Validation UAR over complete folds: over target languages as the objective has it, then mean over seeds, then
    over folds."""
    over = OBJECTIVES[objective]
    folds: dict[int, dict[int, list[float]]] = {}
    for place in places:
        folds.setdefault(place[1], {}).setdefault(place[2], []).append(uars[place])
    blocks = [average([over(languages) for languages in seeds.values()]) for seeds in folds.values()]
    whole = [block for block in blocks if not isnan(block)]
    return mean(whole) if whole else None


def _worst(languages: Sequence[float]) -> float:
    return NAN if any(map(isnan, languages)) else min(languages)


OBJECTIVES: Mapping[str, Callable[[Sequence[float]], float]] = {"mean": average, "worst": _worst}
"""What validation scores of several languages come to: by the names that the command line has."""


def places_of(candidate: Candidate, language: str) -> list[Place]:
    """The cells whose test scores of a language count: those trained for it, or for all."""
    return [place for place in candidate.cells if place[0] in (language, None)]


def _reason(
    candidate: Candidate,
    found: Mapping[Place, Tested],
    untested: Sequence[str],
    failed: Mapping[str, str],
    dropped: str,
) -> str:
    missing = [place for place in candidate.cells if place not in found]
    if not missing:
        return f"no test scores of {', '.join(untested)}" if untested else ""
    if dropped:
        return dropped
    told = "; ".join(f"{_named(place)}: {failed.get(candidate.cells[place], 'not run')}" for place in missing[:3])
    more = "" if len(missing) <= 3 else f"; and {len(missing) - 3} more"
    return f"{len(missing)} of {len(candidate.cells)} cells missing ({told}{more})"


def _named(place: Place) -> str:
    target, fold, seed = place
    return " ".join(part for part in (target or "", f"fold {fold}", f"seed {seed}") if part)
