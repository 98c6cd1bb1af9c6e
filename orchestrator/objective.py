"""What a configuration is judged by while a sweep runs: one number per block, from validation scores alone."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from orchestrator.messages import Summary

Objective = Callable[[Sequence[Summary]], float]
"""The summaries of a complete block's cells, one per language -> its score."""


def valid_uar(summary: Summary) -> float:
    """A cell's validation UAR as its summary has it."""
    return float(summary["valid_uar"])


def mean_language(block: Sequence[Summary]) -> float:
    """The mean over languages."""
    return fmean(map(valid_uar, block))


def worst_language(block: Sequence[Summary]) -> float:
    """The score of the block's worst language; NaN where one has none."""
    scores = [valid_uar(summary) for summary in block]
    return min(scores) if all(score == score for score in scores) else float("nan")


OBJECTIVES: Mapping[str, Objective] = {"mean": mean_language, "worst": worst_language}
"""By the names that the command line has. Of a configuration it is the mean over blocks, each weighing the same."""


def mean_of_blocks(blocks: Sequence[Sequence[Summary]], objective: Objective) -> float:
    """A configuration's objective over these blocks."""
    return fmean(map(objective, blocks))
