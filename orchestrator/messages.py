"""What board, slots, trials and driver say to one another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Summary = Mapping[str, Any]
Cause = Literal["process", "memory", "user", "nan", "error", "stopped"]


@dataclass(frozen=True)
class Cell:
    """One piece of work: `key` names it, `block` is its fold and seed, `payload` is the spec that a slot runs.

    `configuration` is the trial that mirrors it; None for work that belongs to no point of the search space.
    `needs`: keys of cells that must be done before; those that are not on the board are done already.
    """

    key: str
    configuration: int | None
    block: int
    language: str | None
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """A cell that came to its end: with its `summary`, or with the `cause` and the `message` of its failure."""

    key: str
    summary: Summary | None = None
    cause: str = ""
    message: str = ""

    @property
    def reason(self) -> str:
        """The last line of the message: a traceback's says what is wrong."""
        return (self.message.strip().splitlines() or ["no reason was given"])[-1]


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
    """Counts of cells, by slot what it does (None: it waits), and why a slot was last lost."""

    done: int
    running: int
    waiting: int
    failed: int
    withdrawn: int
    slots: dict[str, Lease | None]
    trouble: str = ""

    @property
    def settled(self) -> bool:
        return self.running == self.waiting == 0


@dataclass(frozen=True)
class Progress:
    """A configuration's complete blocks in the order in which they became complete; `settled`: no more will."""

    blocks: tuple[tuple[Summary, ...], ...]
    settled: bool
