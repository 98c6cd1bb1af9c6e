"""Why a cell failed, where several say so, and whether it may be tried again."""

from collections.abc import Mapping, Sequence

from orchestrator.messages import Cause

RETRIES: Mapping[str, int] = {"process": 3, "memory": 1}
"""How often a cell may be tried again, per cause, out of memory alone; any other cause fails it at once."""

TELLING: tuple[Cause, ...] = ("user", "collapsed", "nan", "memory", "error", "process", "stopped")
"""Of several causes the first of these explains the others."""

Testimony = tuple[Cause, str]
"""A cause, and what is said of it."""


def verdict(told: Sequence[Testimony]) -> Testimony:
    """What counts of all that was told of one failure, by ranks that trained the cell together and by Ray.

    A rank whose peer failed sees only that its connection broke (`process`), so any other cause comes first.
    """
    return min(told, key=lambda each: TELLING.index(each[0]))


def may_try_again(cause: Cause, tries: int) -> bool:
    """Whether a cell that failed so often for this cause waits again; being stopped is no failure."""
    return cause == "stopped" or tries <= RETRIES.get(cause, 0)
