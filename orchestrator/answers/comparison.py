"""The answer of a sweep, from the ledger alone: who wins on validation, and what that is worth on test speech.

Nothing here chooses by test scores: rows keep the order of the plan, and the best test score is not marked.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.answers.arousal import origins
from orchestrator.answers.claims import Claim
from orchestrator.answers.differences import Differences, differences, sentences, table
from orchestrator.answers.evaluators import evaluated
from orchestrator.answers.notes import Verdict, choice_notes, floor_notes, language_choice_notes, speech_notes
from orchestrator.answers.remembered import tallies_of
from orchestrator.answers.rows import Candidate, Place, Row, row
from orchestrator.answers.section import Section
from orchestrator.answers.statistics import spearman
from orchestrator.answers.tallies import Tally
from orchestrator.ledger import Ledger
from trainers.errors import unknown

SELECTORS = ("hrl", "other-languages", "target")

FEWEST = 3
"""Fewer configurations have no rank correlation worth a number."""

LISTED, SHORT = 30, 8
"""Of more than 30 configurations a terminal and the further tables have 8: the reference, the chosen one and the best
by validation."""

FOLDS = 5
"""Folds of a partition where nothing else is said."""


@dataclass(frozen=True)
class Comparison:
    """What a sweep came to. `rows` (complete), `unfinished` and `floors` are in the order of the plan.

    `held_out`: tested languages that are no target. `notes`: what a reader must know, one line each. `sections`:
    further tables. `claims`: of each configuration against the `reference`, "" where there is none. `listed`: names of
    the rows that a short table has. `cells`: name -> place -> counts of each row's cells.
    """

    sweep: str
    selector: str
    languages: tuple[str, ...]
    held_out: tuple[str, ...]
    rows: tuple[Row, ...]
    unfinished: tuple[Row, ...]
    floors: tuple[Row, ...]
    verdict: Verdict | None
    notes: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    diagnoses: Mapping[str, str] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    reference: str = ""
    shared_speakers: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[Place, Tally]] = field(default_factory=dict, repr=False)

    @cached_property
    def usual_folds(self) -> int:
        """How many folds all means of test scores are over; 0 where not all are over as many."""
        every = {
            measures.uar.n
            for row in (*self.rows, *self.unfinished, *self.floors)
            for measures in (*row.test.values(), *([row.macro] if row.macro else []))
        }
        return every.pop() if len(every) == 1 else 0


def compare(
    ledger: Ledger,
    sweep: str,
    candidates: Sequence[Candidate],
    languages: Sequence[str],
    *,
    floors: Sequence[Candidate] = (),
    held_out: Sequence[str] = (),
    selector: str = "hrl",
    objective: str = "mean",
    reference: str = "",
    folds: Mapping[str, int] | None = None,
    shared_speakers: Collection[str] = (),
    failed: Mapping[str, str] | None = None,
    dropped: Mapping[str, str] | None = None,
) -> Comparison:
    """Open the test scores of a sweep (the ledger counts it) and lay its configurations side by side.

    `languages`: the targets. `held_out`: tested but no target (the high-resource language), left out of the macro
    mean. `objective`: what validation scores of several languages come to (`rows.OBJECTIVES`). `reference`: the
    configuration that others are compared with. `folds`: of each language's partition, where it is not five.
    `shared_speakers`: languages whose folds have speakers in common. `failed`: why cells (by key) have no result.
    `dropped`: why configurations (by name) were given up. UserError for an unknown selector.
    """
    if selector not in SELECTORS:
        raise unknown("selector", selector, SELECTORS)
    every = {one.name: one.cells for one in candidates} | {_floor(one): one.cells for one in floors}
    cells = tallies_of(ledger, sweep, every)
    rows = [
        row(
            one,
            cells[one.name],
            languages,
            held_out=held_out,
            selector=selector,
            objective=objective,
            failed=failed,
            dropped=(dropped or {}).get(one.name, ""),
        )
        for one in candidates
    ]
    floor_rows = tuple(row(one, cells[_floor(one)], languages, held_out=held_out, failed=failed) for one in floors)
    verdict = judge(rows)
    listed = _listed(rows, verdict, reference)
    told = [one for one in candidates if one.name in listed or not listed]
    complete = {each.name: cells[each.name] for each in rows if each.complete}
    found = _differences(rows, complete, languages, reference, folds or {})
    openings = ledger.opened(sweep, {one.cells[place] for one in candidates for place in cells[one.name]})
    return Comparison(
        sweep=sweep,
        selector=selector,
        languages=tuple(languages),
        held_out=tuple(held_out),
        rows=tuple(each for each in rows if each.complete),
        unfinished=tuple(each for each in rows if not each.complete),
        floors=floor_rows,
        verdict=verdict,
        notes=(
            *choice_notes(verdict, selector),
            *(language_choice_notes(rows, languages) if selector == "other-languages" else ()),
            *_claim_notes(rows, found, reference, verdict),
            *floor_notes(verdict, floor_rows),
            *speech_notes(languages, [(one, cells[one.name]) for one in told], shared_speakers),
            f"test scores of {sweep} have been opened {openings} time{'s' if openings > 1 else ''}",
        ),
        sections=tuple(_sections(complete, languages, reference, found, listed)),
        claims=found.claims if found else (),
        reference=reference,
        shared_speakers=frozenset(shared_speakers),
        listed=listed,
        cells=cells,
    )


def judge(rows: Iterable[Row]) -> Verdict | None:
    """Choose by validation and say what the choice is worth on test; None where none is complete and validated."""
    ready = [each for each in rows if each.complete]
    scored = [(each, each.valid.mean, each.macro.uar.mean) for each in ready if each.valid and each.macro]
    if not scored:
        return None
    winner, _, reached = max(scored, key=lambda entry: entry[1])
    valid, test = [entry[1] for entry in scored], [entry[2] for entry in scored]
    enough = len(scored) >= FEWEST
    rho = spearman(valid, test) if enough else float("nan")
    return Verdict(
        winner=winner,
        rank=1 + sum(other > reached for other in test),
        among=len(scored),
        spearman=None if rho != rho else rho,
        regret=max(test) - reached if enough else None,
    )


def _floor(floor: Candidate) -> str:
    """A name that no configuration has."""
    return f"floor: {floor.name}"


def _listed(rows: Sequence[Row], verdict: Verdict | None, reference: str) -> tuple[str, ...]:
    """The complete configurations that a short table has, in the order of the plan."""
    complete = [each for each in rows if each.complete]
    chosen = verdict.winner.name if verdict else ""
    first = [each.name for each in complete if each.name in (chosen, reference)]
    others = [each for each in complete if each.name not in first]
    others.sort(key=lambda each: each.valid.mean if each.valid else -1.0, reverse=True)
    count = LISTED if len(complete) <= LISTED else SHORT
    kept = {*first, *(each.name for each in others[: count - len(first)])}
    return tuple(each.name for each in complete if each.name in kept)


def _differences(
    rows: Sequence[Row],
    complete: Mapping[str, Mapping[Place, Tally]],
    languages: Sequence[str],
    reference: str,
    folds: Mapping[str, int],
) -> Differences | None:
    if reference not in complete:
        return None
    partitions = {language: folds.get(language, FOLDS) for language in languages}
    return differences(complete, languages, reference, partitions, len(rows) - 1)


def _claim_notes(
    rows: Sequence[Row], found: Differences | None, reference: str, verdict: Verdict | None
) -> Iterator[str]:
    if found:
        yield from sentences(found, verdict.winner.name if verdict else "")
    elif len(rows) > 1:
        yield f"no difference is tested: {_why_none(rows, reference)}"


def _why_none(rows: Sequence[Row], reference: str) -> str:
    own = next((each for each in rows if each.name == reference), None)
    if own is None:
        return "the sweep declares no reference (--reference CONFIG compares with one all the same)"
    if not own.complete:
        return f"the reference {reference} is not complete: {own.reason}"
    if not any(each.complete for each in rows if each is not own):
        return f"no other configuration than the reference {reference} is complete"
    return "the results do not tell who spoke, or were tested on other clips than the reference's"


def _sections(
    complete: Mapping[str, Mapping[Place, Tally]],
    languages: Sequence[str],
    reference: str,
    found: Differences | None,
    listed: Sequence[str],
) -> Iterator[Section]:
    if found:
        yield table(found, complete, listed)
    if complete:
        yield origins(complete, languages, reference if reference in complete else "", listed)
    averages = evaluated(complete, languages, listed)
    if averages:
        yield averages
