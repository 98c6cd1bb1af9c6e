"""What board, slots, trials and driver say to one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Summary = Mapping[str, Any]
Cause = Literal["process", "memory", "user", "nan", "error", "stopped"]


@dataclass(frozen=True)
class Cell:
    """One piece of work: `key` names it, `block` is its fold and seed, `payload` is the spec that a slot runs.

    `configuration` is the trial that mirrors it; None for work that belongs to no point of the search space.
    `needs`: keys of cells that must be done before; those that are not on the board are done already. `role`: what a
    cell is called that others need ("stage", "canary").
    """

    key: str
    configuration: int | None
    block: int
    language: str | None
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()
    role: str = ""


@dataclass(frozen=True)
class Event:
    """A cell that came to its end: with its `summary`, or with the `cause` and the `message` of its failure.

    `because`: the key of the cell that it needed and that failed, "" where it failed itself.
    """

    key: str
    summary: Summary | None = None
    cause: str = ""
    message: str = ""
    because: str = ""

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
    """Counts of cells, by slot what it does (None: it waits), why a slot was last lost, and which configurations were
    withdrawn, with the reason."""

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


@dataclass(frozen=True)
class Progress:
    """A configuration's complete blocks in the order in which they became complete; `settled`: no more will.

    `front`: how many blocks from the first on every configuration that is still in the race has completed.
    """

    blocks: tuple[tuple[Summary, ...], ...]
    settled: bool
    front: int = 0


@dataclass(frozen=True)
class Standings:
    """What a race is judged by: configuration -> complete block -> its cells' summaries.

    `broken`: configurations with a cell that failed, and whether its training diverged; such a block is never complete.
    """

    blocks: Mapping[int, Mapping[int, tuple[Summary, ...]]]
    broken: Mapping[int, bool]
