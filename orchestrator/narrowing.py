"""`--until-ci WIDTH`: the folds are dealt anew until it is known well enough by how much the winner leads.

Seeds would narrow only the seeds' part of the interval; further partitions narrow it down to a floor (VALIDITY §5).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean

from orchestrator.answer import Answer
from orchestrator.board import BoardState
from orchestrator.cells import cells_of, known_of
from orchestrator.outcome import Outcome
from orchestrator.plan import Plan
from orchestrator.precision import lead, outlook, told

Again = Callable[[Answer, Mapping[int, str]], tuple[Answer, Outcome]]
"""Runs what a larger plan lacks, but for configurations that were beaten."""


def narrowed(
    answer: Answer,
    outcome: Outcome,
    width_points: float,
    replan: Callable[[int, int], Plan],
    again: Again,
    say: Callable[[str], None],
) -> tuple[Answer, Outcome]:
    """Add partition after partition for the configurations still in the race, until the interval is narrow enough, or
    cannot become so. `replan(repeats, partition)` plans so many partitions of so many folds."""
    partition = max(answer.splits.folds(language) for language in answer.plan.languages)
    while not (outcome.interrupted or outcome.failed):
        scores = _scores(answer, outcome.dropped)
        if len(scores) == 1 and len(answer.plan.configurations) > 1:
            say(f"{answer.plan.configurations[min(scores)].name} is alone in the race: its lead is settled")
            break
        found, most = lead(scores, partition), answer.splits.max_repeats
        say(told(found, width_points, most, [one.name for one in answer.plan.configurations]))
        if outlook(found, width_points, most).verdict != "repeats needed":
            break
        answer, outcome = again(replace(answer, plan=replan(found.repeats + 1, partition)), outcome.dropped)
    return answer, outcome


def _scores(answer: Answer, beaten: Mapping[int, str]) -> dict[int, dict[int, float]]:
    """Configuration still in the race -> fold -> objective, the mean over seeds."""
    board = BoardState()
    board.put(cells_of(answer), known_of(answer))
    fold_of = {number: fold for (_, fold), number in answer.plan.blocks.items()}
    found: dict[int, dict[int, list[float]]] = {}
    for one, blocks in board.standings().blocks.items():
        for block, cells in blocks.items():
            score = answer.choice.objective(cells)
            found.setdefault(one, {}).setdefault(fold_of[block], []).append(score)
    return {
        one: {fold: fmean(scores) for fold, scores in folds.items()}
        for one, folds in found.items()
        if one not in beaten
    }
