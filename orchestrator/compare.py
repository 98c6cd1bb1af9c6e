"""The answer of a sweep, from the ledger alone: who wins on validation, and what that is worth on test speech.

Nothing here chooses by test scores: rows keep the order of the plan, and the best test score is not marked.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from scipy.stats import spearmanr

from orchestrator.ledger import Ledger
from orchestrator.rows import Candidate, Place, Row, row
from orchestrator.section import Section
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import unknown
from trainers.result import Result
from trainers.scores import Score

SELECTORS = ("hrl", "other-languages", "target")

SMALL_FOLD = 100
"""Test folds of fewer clips are said to be small, with the sd that chance alone gives them."""

FEWEST = 3
"""Fewer configurations have no rank correlation worth a number."""

Found = Mapping[Place, Result]


@dataclass(frozen=True)
class Verdict:
    """What choosing by validation came to, among the complete configurations.

    `winner` has the highest validation UAR, `rank` is its place by macro test UAR of `among`. `spearman` is between
    validation and macro test UAR; `regret` is how far the winner's macro test UAR lies under the highest one. Both
    are None for fewer than three configurations, `spearman` also where all have the same score.
    """

    winner: Row
    rank: int
    among: int
    spearman: float | None
    regret: float | None


@dataclass(frozen=True)
class Comparison:
    """What a sweep came to. `rows` (complete), `unfinished` and `floors` are in the order of the plan.

    `held_out`: tested languages that are no target. `notes`: what a reader must know, one line each. `sections`: what
    the sweep shows below.
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


def compare(
    ledger: Ledger,
    sweep: str,
    candidates: Sequence[Candidate],
    languages: Sequence[str],
    *,
    floors: Sequence[Candidate] = (),
    held_out: Sequence[str] = (),
    selector: str = "hrl",
    shared_speakers: Collection[str] = (),
    failed: Mapping[str, str] | None = None,
) -> Comparison:
    """Open the test scores of a sweep (the ledger counts it) and lay its configurations side by side.

    `languages`: the targets. `held_out`: tested but no target (the high-resource language), left out of the macro
    mean. `shared_speakers`: languages whose folds have speakers in common. `failed`: why cells (by key) have no
    result. UserError for an unknown selector.
    """
    if selector not in SELECTORS:
        raise unknown("selector", selector, SELECTORS)
    found = [_found(ledger, one) for one in candidates]
    rows = [
        row(one, own, languages, held_out=held_out, selector=selector, failed=failed)
        for one, own in zip(candidates, found, strict=True)
    ]
    floor_rows = tuple(row(one, _found(ledger, one), languages, held_out=held_out, failed=failed) for one in floors)
    verdict = judge(rows)
    openings = ledger.opened(sweep, {result.spec.key() for own in found for result in own.values()})
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
            *_choice_notes(verdict, selector),
            *_floor_notes(verdict, floor_rows),
            *_test_notes(languages, found, shared_speakers),
            f"test scores of {sweep} have been opened {openings} time{'s' if openings > 1 else ''}",
        ),
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
    return Verdict(
        winner=winner,
        rank=1 + sum(other > reached for other in test),
        among=len(scored),
        spearman=float(spearmanr(valid, test).statistic) if enough and len(set(valid)) > 1 < len(set(test)) else None,
        regret=max(test) - reached if enough else None,
    )


def chance_sd(score: Score) -> float:
    """The sd that the UAR of this many clips has by sampling alone: √(Σ_y r_y(1 − r_y)/n_y) / classes."""
    counts = {emotion: sum(counted) for emotion, counted in zip(EMOTIONS, score.confusion, strict=True)}
    present = {emotion: n for emotion, n in counts.items() if n}
    variance = sum(score.recall[emotion] * (1 - score.recall[emotion]) / n for emotion, n in present.items())
    return sqrt(variance) / len(present)


def _found(ledger: Ledger, candidate: Candidate) -> Found:
    """The results there are; test scores stay in memory until the rows show them."""
    results = {place: ledger.light(key) for place, key in candidate.cells.items()}
    return {place: result for place, result in results.items() if result is not None}


def _choice_notes(verdict: Verdict | None, selector: str) -> Iterator[str]:
    if verdict is None or verdict.winner.macro is None:
        yield f"none is chosen: no complete configuration has a validation score ({selector})"
        return
    uar = verdict.winner.macro.uar
    spread = f"{100 * uar.sd:.1f}" if uar.n > 1 else "n/a"
    yield (
        f"chosen by validation UAR ({selector}): {verdict.winner.name}; its macro test UAR is {100 * uar.mean:.1f} "
        f"({spread}), rank {verdict.rank} of {verdict.among} by test"
    )
    if selector == "other-languages":
        yield "the choice uses labels of the other target languages"
    spearman = "n/a" if verdict.spearman is None else f"{verdict.spearman:.2f}"
    regret = "n/a" if verdict.regret is None else f"{100 * verdict.regret:.1f} points"
    yield f"validation against test over {verdict.among} configurations: Spearman {spearman}, regret {regret}"


def _floor_notes(verdict: Verdict | None, floors: Sequence[Row]) -> Iterator[str]:
    """A method that does not beat own statistics has not shown that it learned (VALIDITY §2)."""
    reached = verdict and verdict.winner.macro
    for floor in floors:
        if reached and floor.macro and reached.uar.mean <= floor.macro.uar.mean:
            yield f"the chosen configuration is not above the floor {floor.name} ({100 * floor.macro.uar.mean:.1f})"


def _test_notes(languages: Sequence[str], found: Sequence[Found], shared_speakers: Collection[str]) -> Iterator[str]:
    for language in languages:
        if language in shared_speakers:
            yield f"{language}: folds are not speaker-disjoint, test speakers are heard in training (transductive)"
        every = [result for own in found for result in own.values() if language in result.test]
        results = [result for result in every if result.spec.target in (language, None)]
        yield from _size_note(language, [result.test[language] for result in results])
        yield from _class_note(language, results)


def _size_note(language: str, scores: Sequence[Score]) -> Iterator[str]:
    smallest = min((score.n for score in scores), default=SMALL_FOLD)
    if smallest < SMALL_FOLD:
        sd = 100 * fmean(chance_sd(score) for score in scores)
        yield f"{language}: folds of as few as {smallest} clips; chance alone gives their UAR an sd of {sd:.1f} points"


def _class_note(language: str, results: Sequence[Result]) -> Iterator[str]:
    lacking = {
        (result.spec.fold, emotion)
        for result in results
        for emotion, counts in zip(EMOTIONS, result.test[language].confusion, strict=True)
        if not sum(counts)
    }
    if lacking:
        told = ", ".join(f"fold {fold} has no {emotion} clip" for fold, emotion in sorted(lacking))
        yield f"{language}: {told}; † is macro-F1 pooled over folds, and UAR is that of all folds' clips together"
