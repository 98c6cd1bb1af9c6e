"""What board, slots, trials and driver say to one another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Summary = Mapping[str, Any]
Cause = Literal["process", "memory", "nan", "collapsed", "user", "error", "stopped"]

WORDS: Mapping[str, str] = {
    "process": "its process died",
    "memory": "out of memory",
    "nan": "training diverged",
    "collapsed": "embeddings collapsed",
    "user": "refused",
    "error": "error",
    "stopped": "stopped",
}
"""What a person is told of each cause."""

DIVERGED = ("nan", "collapsed")
"""Causes that are a configuration's own doing: a race counts them as its worst score, not as bad luck."""


@dataclass(frozen=True)
class Cell:
    """One piece of work: `key` names it, `block` is its fold and seed, `payload` is the spec that a slot runs.

    `configuration` is the trial that mirrors it; None for work that belongs to no point of the search space.
    `needs`: keys of cells that must be done before; those that are not on the board are done already. `role`: what a
    cell is called that others need ("stage", "canary"). `cost`: how long it takes compared with others, in any unit; 0
    keeps its place in the order in which cells were put, infinity is what others wait for.
    """

    key: str
    configuration: int | None
    block: int
    language: str | None
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()
    role: str = ""
    cost: float = 0.0


@dataclass(frozen=True)
class Event:
    """A cell that came to its end: with its `summary`, or with the `cause` and the `message` of its failure.

    `because`: the key of the cell that it needed and that failed, "" where it failed itself. `tries`: how often it
    failed for this cause.
    """

    key: str
    summary: Summary | None = None
    cause: str = ""
    message: str = ""
    because: str = ""
    tries: int = 1

    @property
    def reason(self) -> str:
        """The last line of the message: a traceback's says what is wrong."""
        return (self.message.strip().splitlines() or ["no reason was given"])[-1]

    @property
    def told(self) -> str:
        """`out of memory 2 times, the last time alone: …`: cause and reason in words, for a table or a notice."""
        if self.because:
            return self.reason
        word = WORDS.get(self.cause, self.cause)
        times = f" {self.tries} times" if self.tries > 1 else ""
        alone = ", the last time alone" if self.cause == "memory" and self.tries > 1 else ""
        reason = self.reason if self.cause == "error" else _without_class(self.reason)
        return f"{word}{times}{alone}: {reason}"


def _without_class(line: str) -> str:
    """`FloatingPointError: the loss is nan` -> `the loss is nan`: the cause says it already."""
    return re.sub(r"^[\w.]*(Error|Exception): ", "", line)


@dataclass
class Lease:
    """Who holds which cell, and how far it is."""

    attempt: int
    key: str
    step: int = 0
    steps: int = 0
    phase: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Counts of cells, by living slot what it does (None: it waits), why a slot was last lost, and which configurations
    were withdrawn, with the reason."""

    done: int
    running: int
    waiting: int
    failed: int
    withdrawn: int
    slots: dict[str, Lease | None]
    trouble: str = ""
    dropped: Mapping[int, str] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        return self.running == self.waiting == 0

    @property
    def moving(self) -> bool:
        """Whether a cell has made a step, or came to an end."""
        return self.done + self.failed > 0 or any(lease is not None and lease.step for lease in self.slots.values())


@dataclass(frozen=True)
class Demand:
    """How many cells wait, how many slots have nothing to do, and which of these for long."""

    waiting: int
    free: int
    idle: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """A configuration's complete blocks in the order in which they became complete; `settled`: no more will.

    `front`: how many blocks from the first on every configuration that is still in the race has completed.
    """

    blocks: tuple[tuple[Summary, ...], ...]
    settled: bool
    front: int = 0


@dataclass(frozen=True)
class Break:
    """The first block of a configuration that will never be complete, since a cell of it failed; `diverged`: because a
    training diverged or collapsed."""

    block: int
    diverged: bool


@dataclass(frozen=True)
class Standings:
    """What a race is judged by: configuration -> complete block -> its cells' summaries; `breaks`: of those with a cell
    that failed."""

    blocks: Mapping[int, Mapping[int, tuple[Summary, ...]]]
    breaks: Mapping[int, Break]
