"""The board: which cells wait, who holds which, what came back. A pure state machine; board_actor.py puts it on Ray.

A slot is a process that works off cells; its *attempt* is a number that grows each time the process starts anew.
Whatever an older attempt still says (a pending take, a late result) is void, so no cell is swallowed by the dead.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Summary = Mapping[str, Any]
Cause = Literal["process", "memory", "user", "nan", "error", "stopped"]
RETRIES: Mapping[str, int] = {"process": 3, "memory": 1}
"""How often a cell may be tried again, per cause; any other cause fails it at once."""


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


@dataclass
class BoardState:
    """All rules of the board. Priority is the order in which cells were put. Knows neither Ray nor a clock."""

    cells: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Summary] = field(default_factory=dict)
    failures: dict[str, Event] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)
    leases: dict[str, Lease] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    closed: bool = False
    trouble: str = ""
    _attempts: dict[str, int] = field(default_factory=dict)
    _ranks: dict[str, int] = field(default_factory=dict)
    _queue: list[tuple[int, str]] = field(default_factory=list)
    _tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    _dependents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _blocks: dict[tuple[int | None, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    _complete: dict[int | None, list[int]] = field(default_factory=lambda: defaultdict(list))

    def put(self, cells: Iterable[Cell], known: Mapping[str, Summary]) -> None:
        """Add cells, the most urgent first. Those in `known` count as finished and make no event."""
        fresh = {cell.key: cell for cell in cells if cell.key not in self.cells}
        for cell in fresh.values():
            self._ranks[cell.key] = len(self.cells)
            self.cells[cell.key] = cell
            self._blocks[cell.configuration, cell.block].append(cell.key)
            for need in cell.needs:
                self._dependents[need].append(cell.key)
        for cell in fresh.values():
            if cell.key in known:
                self._finish(cell.key, known[cell.key])
            else:
                insort(self._queue, (self._ranks[cell.key], cell.key))

    def take(self, slot: str, attempt: int) -> Cell | Literal["wait", "closed", "stale"]:
        """The most urgent waiting cell, now held by this attempt. Asked again, it gives the cell already held."""
        if not self._admit(slot, attempt):
            return "stale"
        if self.closed:
            return "closed"
        if slot not in self.leases:
            ready = next((key for key in self._waiting() if self._is_ready(key)), None)
            if ready is None:
                return "wait"
            self._lease(slot, attempt, ready)
        return self.cells[self.leases[slot].key]

    def done(self, slot: str, attempt: int, key: str, summary: Summary) -> bool:
        """Take in a result; False where it is void: a late writer's, a second one, or of an unknown cell."""
        if not self._holds(slot, attempt, key):
            return False
        del self.leases[slot]
        self._finish(key, summary)
        self.events.append(Event(key, summary))
        return True

    def failed(self, slot: str, attempt: int, key: str, cause: Cause, message: str) -> bool:
        """Take back a cell that did not succeed: it waits again while its retries for `cause` last."""
        if not self._holds(slot, attempt, key):
            return False
        del self.leases[slot]
        self._return(key, cause, message)
        return True

    def lost(self, slot: str, blame: bool, why: str = "") -> None:
        """The slot's process is gone: its attempt is void. `blame` counts it against the cell that it held."""
        self.trouble = why
        self._attempts[slot] = self._attempts.get(slot, 0) + 1
        self._release(slot, blame)

    def progress(self, slot: str, attempt: int, key: str, step: int, steps: int, phase: str) -> None:
        """Note how far a cell is. On a board built anew this also tells it who holds which cell."""
        if self._holds(slot, attempt, key):
            self.leases[slot] = Lease(attempt, key, step, steps, phase)

    def should_stop(self, slot: str, attempt: int) -> bool:
        """Whether the cell that runs there is to stop at its next epoch."""
        lease = self.leases.get(slot)
        mine = lease is not None and lease.attempt == attempt
        return self.closed or not mine or self.cells[self.leases[slot].key].configuration in self.withdrawn

    def withdraw(self, configuration: int) -> None:
        """Hand out no more of a configuration's cells."""
        self.withdrawn.add(configuration)

    def close(self) -> None:
        """Hand out nothing more; running cells are to stop."""
        self.closed = True

    def progress_of(self, configuration: int) -> Progress:
        """What a trial mirrors; a block with a failed cell never becomes complete."""
        blocks = (self._blocks[configuration, block] for block in self._complete[configuration])
        held = any(self.cells[lease.key].configuration == configuration for lease in self.leases.values())
        waits = any(self.cells[key].configuration == configuration for key in self._waiting())
        settled = self.closed or (bool(self.cells) and not held and not waits)
        return Progress(tuple(tuple(self.results[key] for key in keys) for keys in blocks), settled)

    def snapshot(self) -> Snapshot:
        waiting, running = len(self._waiting()), len(self.leases)
        done, failed = len(self.results), len(self.failures)
        gone = len(self.cells) - done - failed - waiting - running
        slots = {slot: self.leases.get(slot) for slot in sorted(self._attempts)}
        return Snapshot(done, running, waiting, failed, gone, slots, self.trouble)

    def _admit(self, slot: str, attempt: int) -> bool:
        """Whether this attempt is the slot's newest; a newer one voids what the older one held."""
        if attempt < self._attempts.get(slot, 0):
            return False
        if attempt > self._attempts.get(slot, 0):
            self._release(slot, blame=True)
            self._attempts[slot] = attempt
        return True

    def _holds(self, slot: str, attempt: int, key: str) -> bool:
        """Whether the slot holds the cell. An unheld, unfinished cell is given to whoever says that it runs it."""
        if key not in self.cells or not self._admit(slot, attempt):
            return False
        if slot not in self.leases and (self._ranks[key], key) in self._queue:
            self._lease(slot, attempt, key)
        return slot in self.leases and self.leases[slot].key == key

    def _release(self, slot: str, blame: bool) -> None:
        lease = self.leases.pop(slot, None)
        if lease is not None:
            self._return(lease.key, "process" if blame else "stopped", f"its process died (slot {slot})")

    def _return(self, key: str, cause: str, message: str) -> None:
        self._tries[key, cause] += 1
        if cause == "stopped" or self._tries[key, cause] <= RETRIES.get(cause, 0):
            insort(self._queue, (self._ranks[key], key))
        else:
            self._fail(key, cause, message)

    def _fail(self, key: str, cause: str, message: str) -> None:
        """Give a cell up, and with it whatever needs it."""
        self.failures[key] = Event(key, None, cause, message)
        self.events.append(self.failures[key])
        for dependent in self._dependents[key]:
            if (self._ranks[dependent], dependent) in self._queue:
                self._queue.remove((self._ranks[dependent], dependent))
                self._fail(dependent, cause, f"its stage failed: {message.strip().splitlines()[-1]}")

    def _finish(self, key: str, summary: Summary) -> None:
        self.results[key] = summary
        cell = self.cells[key]
        if all(other in self.results for other in self._blocks[cell.configuration, cell.block]):
            self._complete[cell.configuration].append(cell.block)

    def _waiting(self) -> list[str]:
        return [key for _, key in self._queue if self._is_wanted(key)]

    def _is_wanted(self, key: str) -> bool:
        """Not withdrawn; and what others need only as long as one of them is still to come."""
        if self.cells[key].configuration in self.withdrawn:
            return False
        dependents = self._dependents.get(key)
        return not dependents or any(self.cells[each].configuration not in self.withdrawn for each in dependents)

    def _is_ready(self, key: str) -> bool:
        return all(need in self.results or need not in self.cells for need in self.cells[key].needs)

    def _lease(self, slot: str, attempt: int, key: str) -> None:
        self._queue.remove((self._ranks[key], key))
        self.leases[slot] = Lease(attempt, key)
