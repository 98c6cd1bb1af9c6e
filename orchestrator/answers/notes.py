"""What a reader of a comparison must know, one line each."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from orchestrator.answers.rows import Candidate, Mean, Place, Row, Scored, Tested, places_of
from trainers.corpora.utterance import EMOTIONS

SMALL_FOLD = 100
"""Test folds of fewer clips are said to be small, with the sd that chance alone gives them."""


@dataclass(frozen=True)
class Verdict:
    """What choosing by validation came to, among the complete configurations.

    `winner` has the highest validation score, `rank` is its place by macro test UAR of `among`. `spearman` is between
    validation and macro test UAR; `regret` is how far the winner's macro test UAR lies under the highest one. Both
    are None for fewer than three configurations, `spearman` also where all have the same score.
    """

    winner: Row
    rank: int
    among: int
    spearman: float | None
    regret: float | None


def choice_notes(verdict: Verdict | None, selector: str) -> Iterator[str]:
    """Who was chosen, and what choosing so is worth."""
    if verdict is None or verdict.winner.macro is None:
        yield f"none is chosen: no complete configuration has a validation score ({selector})"
        return
    uar = verdict.winner.macro.uar
    yield (
        f"chosen by validation UAR ({selector}): {verdict.winner.name}; its macro test UAR is {_mean(uar)}, "
        f"rank {verdict.rank} of {verdict.among} by test"
    )
    spearman = "n/a" if verdict.spearman is None else f"{verdict.spearman:.2f}"
    regret = "n/a" if verdict.regret is None else f"{100 * verdict.regret:.1f} points"
    yield f"validation against test over {verdict.among} configurations: Spearman {spearman}, regret {regret}"


def language_choice_notes(rows: Sequence[Row], languages: Sequence[str]) -> Iterator[str]:
    """Each language's own choice, by the labels of the others. One winner over all would be chosen by all of them."""
    yield "the choice uses labels of the other target languages; over all of them it uses those of every one"
    for language in languages:
        ready = [row for row in rows if row.complete and language in row.valid_by_language]
        if ready:
            chosen = max(ready, key=lambda row: row.valid_by_language[language].mean)
            uar = chosen.test[language].uar
            rank = 1 + sum(row.test[language].uar.mean > uar.mean for row in ready)
            yield (
                f"{language}: chosen by the others' labels: {chosen.name}; its test UAR is {_mean(uar)}, "
                f"rank {rank} of {len(ready)} by test (uses other LRL labels)"
            )


def floor_notes(verdict: Verdict | None, floors: Sequence[Row]) -> Iterator[str]:
    """A method that does not beat own statistics has not shown that it learned (VALIDITY §2)."""
    reached = verdict and verdict.winner.macro
    for floor in floors:
        if reached and floor.macro and reached.uar.mean <= floor.macro.uar.mean:
            yield f"the chosen configuration is not above the floor {floor.name} ({100 * floor.macro.uar.mean:.1f})"


def speech_notes(
    languages: Sequence[str],
    found: Sequence[tuple[Candidate, Mapping[Place, Tested]]],
    shared_speakers: Collection[str],
) -> Iterator[str]:
    """Of each language: folds that share speakers, that are small, or that lack a class."""
    for language in languages:
        if language in shared_speakers:
            yield f"{language}: folds are not speaker-disjoint, test speakers are heard in training (transductive)"
        scores = [
            (fold, own[target, fold, seed].test[language])
            for candidate, own in found
            for target, fold, seed in places_of(candidate, language)
            if (target, fold, seed) in own and language in own[target, fold, seed].test
        ]
        yield from _size_note(language, [score for _, score in scores])
        yield from _class_note(language, dict(scores))


def chance_sd(score: Scored) -> float:
    """The sd that the UAR of this many clips has by sampling alone: √(Σ_y r_y(1 − r_y)/n_y) / classes."""
    counts = {emotion: sum(counted) for emotion, counted in zip(EMOTIONS, score.confusion, strict=True)}
    present = {emotion: n for emotion, n in counts.items() if n}
    recall = score.recall
    return sqrt(sum(recall[emotion] * (1 - recall[emotion]) / n for emotion, n in present.items())) / len(present)


def _size_note(language: str, scores: Sequence[Scored]) -> Iterator[str]:
    smallest = min((score.n for score in scores), default=SMALL_FOLD)
    if smallest < SMALL_FOLD:
        sd = 100 * fmean(chance_sd(score) for score in scores)
        yield f"{language}: folds of as few as {smallest} clips; chance alone gives their UAR an sd of {sd:.1f} points"


def _class_note(language: str, folds: Mapping[int, Scored]) -> Iterator[str]:
    told = [
        f"fold {fold} has no {emotion} clip"
        for fold, score in sorted(folds.items())
        for emotion, counts in zip(EMOTIONS, score.confusion, strict=True)
        if not sum(counts)
    ]
    if told:
        yield (
            f"{language}: {', '.join(told)}; † is macro-F1 pooled over folds, and UAR is that of all folds' clips "
            "together"
        )


def _mean(value: Mean) -> str:
    spread = f"{100 * value.sd:.1f}" if value.n > 1 else "n/a"
    return f"{100 * value.mean:.1f} ({spread})"
