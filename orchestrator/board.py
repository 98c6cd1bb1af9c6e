"""The board: which cells wait, who holds which, what came back. A pure state machine; board_actor.py puts it on Ray.

A slot is a process that works off cells; its *attempt* is a number that grows each time the process starts anew.
Whatever an older attempt still says (a pending take, a late result) is void, so no cell is swallowed by the dead.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.alone import Alone
from orchestrator.backlog import Backlog, Needs
from orchestrator.blocks import Blocks
from orchestrator.messages import Cause, Cell, Event, Lease, Progress, Snapshot, Standings, Summary
from orchestrator.verdict import RETRIES, Testimony, may_try_again, verdict

LAST = 8
"""So many cells a slot at the end of a sweep are handed out the longest first: slots then end together."""

__all__ = ["RETRIES", "BoardState", "Cause", "Cell", "Event", "Lease", "Progress", "Snapshot", "Standings", "Summary"]


@dataclass
class BoardState:
    """All rules of the board. Priority is the order in which cells were put, at the end their cost. Knows neither Ray
    nor a clock."""

    cells: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Summary] = field(default_factory=dict)
    failures: dict[str, Event] = field(default_factory=dict)
    withdrawn: dict[int, str] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    closed: bool = False
    trouble: str = ""
    leaving: set[str] = field(default_factory=set)
    judged: int | None = None
    _attempts: dict[str, int] = field(default_factory=dict)
    _backlog: Backlog = field(default_factory=Backlog)
    _tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    _needs: Needs = field(default_factory=Needs)
    _blocks: Blocks = field(default_factory=Blocks)
    _coming: Counter[int | None] = field(default_factory=Counter)
    _shelved: set[str] = field(default_factory=set)
    _alone: Alone = field(default_factory=Alone)
    _away: set[str] = field(default_factory=set)
    _testimony: dict[str, list[Testimony]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._blocks = Blocks(self.withdrawn)

    def put(self, cells: Iterable[Cell], known: Mapping[str, Summary]) -> None:
        """Add cells, the most urgent first, whole blocks. Those in `known` count as finished and make no event."""
        fresh = {cell.key: cell for cell in cells if cell.key not in self.cells}
        for cell in fresh.values():
            self.cells[cell.key] = cell
            self._blocks.add(cell)
            self._needs.add(cell)
            self._coming[cell.configuration] += 1
        for key in fresh:
            if key in known:
                self._finish(key, known[key])
                continue
            self._wait(key)
            for need in self._needs.of(key):
                if need in self._shelved and self._is_wanted(need):
                    self._recall(need)
            for dependent in self._needs.dependents(key):
                if self._backlog.is_ready(dependent):  # it came before what it needs
                    self._backlog.add(dependent, ready=False)

    def take(self, slot: str, attempt: int, place: str = "") -> Cell | Literal["wait", "closed", "stale"]:
        """The most urgent waiting cell, now held by this attempt. Asked again, it gives the cell already held.

        `place` names the memory that the slot shares with others ("": with none), where a cell may have to be alone.
        """
        if not self._admit(slot, attempt):
            return "stale"
        if self.closed:
            return "closed"
        if slot in self.leaving and slot not in self.leases:
            self._away.add(slot)
            return "closed"
        self._alone.settle(slot, place)
        if slot not in self.leases:
            if self.is_in_doubt:
                return "wait"
            key = self._alone.choose(slot, self._ready(), self._backlog.is_ready, self.leases)
            if key is None or not self._claim(slot, attempt, key):
                return "wait"
        return self.cells[self.leases[slot].key]

    def done(self, slot: str, attempt: int, key: str, summary: Summary) -> bool:
        """Take in a result; False where it is void: a late writer's, a second one, or of an unknown cell."""
        if not self._claim(slot, attempt, key):
            return False
        self._drop(slot)
        self._finish(key, summary)
        self.events.append(Event(key, summary))
        return True

    def failed(self, slot: str, attempt: int, key: str, cause: Cause, message: str) -> bool:
        """Take back a cell that did not succeed: it waits again while its retries for `cause` last."""
        if not self._claim(slot, attempt, key):
            return False
        self._drop(slot)
        self._return(key, cause, message)
        return True

    def testify(self, slot: str, attempt: int, key: str, cause: Cause, message: str) -> bool:
        """One of a slot's several ranks leaves a cell, and with it all must: judged when they are gone.

        A rank that merely lost its peer tells `process`; the cell's own cause comes from another rank, or from none.
        """
        if not self._claim(slot, attempt, key):
            return False
        self._testimony.setdefault(slot, []).append((cause, message))
        return True

    def lost(self, slot: str, blame: bool, why: str = "") -> None:
        """The slot's process is gone: its attempt is void. `blame` counts it against the cell that it held."""
        self.trouble = why
        self._attempts[slot] = self._attempts.get(slot, 0) + 1
        self._away.add(slot)
        self._alone.leave(slot)
        self._release(slot, blame, why)

    def rest(self, slots: Iterable[str]) -> None:
        """These slots hold nothing and end; they are back as soon as they ask again."""
        self._away.update(slots)

    def progress(self, slot: str, attempt: int, key: str, step: int, steps: int, phase: str) -> None:
        """Note how far a cell is. On a board built anew this also tells it who holds which cell."""
        if self._claim(slot, attempt, key):
            self.leases[slot] = Lease(attempt, key, step, steps, phase)

    def should_stop(self, slot: str, attempt: int) -> bool:
        """Whether the cell that runs there is to stop after its step."""
        lease = self.leases.get(slot)
        is_left = self.closed or slot in self.leaving
        return is_left or lease is None or lease.attempt != attempt or not self._is_wanted(lease.key)

    def leave(self, slots: Iterable[str]) -> None:
        """The node of these slots will be taken away: their cells are to stop and wait for others, and they end."""
        self.leaving.update(slots)

    def withdraw(self, configuration: int, why: str = "") -> None:
        """Hand out no more of a configuration's cells."""
        self.withdrawn.setdefault(configuration, why)
        self._blocks.leave(configuration)
        own = self._blocks.cells(configuration)
        self._shelve_unwanted(dict.fromkeys([*own, *(need for key in own for need in self._needs.of(key))]))

    def close(self) -> None:
        """Hand out nothing more; running cells are to stop."""
        self.closed = True

    def progress_of(self, configuration: int) -> Progress:
        """What a trial mirrors; a block with a failed cell never becomes complete."""
        blocks = tuple(self._blocks.complete(configuration, self.results).values())
        return Progress(blocks, self._is_settled(configuration), self.front)

    @property
    def is_in_doubt(self) -> bool:
        """Whether a cell failed for good and nobody has judged yet, by the first `judged` events, if the run goes on;
        where that is None, nobody ever does."""
        unjudged = () if self.judged is None else self.events[self.judged :]
        return any(event.summary is None and not event.because for event in unjudged)

    @property
    def front(self) -> int:
        """How many blocks from the first on are complete in all configurations still in the race."""
        return self._blocks.front

    def has_news(self, configuration: int, seen: int, front: int) -> bool:
        """Whether `progress_of` has more than `seen` blocks, another front, or is settled."""
        return self._blocks.count(configuration) > seen or self.front > front or self._is_settled(configuration)

    def standings(self) -> Standings:
        """What a race is judged by."""
        return self._blocks.standings(self.results)

    def snapshot(self) -> Snapshot:
        waiting, running = len(self._backlog), len(self.leases)
        done, failed = len(self.results), len(self.failures)
        gone = len(self.cells) - done - failed - waiting - running
        slots = {slot: self.leases.get(slot) for slot in sorted(self._attempts.keys() - self._away)}
        dropped = {one: why for one, why in self.withdrawn.items() if why}
        return Snapshot(done, running, waiting, failed, gone, slots, self.trouble, dropped)

    def _ready(self) -> Iterable[str]:
        """What can be begun: in the order of blocks, and the last cells the longest first."""
        ready = self._backlog.ready()
        if len(self._backlog) > LAST * len(self._attempts.keys() - self._away):
            return ready
        return sorted(ready, key=lambda key: -self.cells[key].cost)

    def _admit(self, slot: str, attempt: int) -> bool:
        """Whether this attempt is the slot's newest; a newer one voids what the older one held."""
        newest = self._attempts.get(slot, 0)
        if attempt > newest:
            self._release(slot, blame=True)
            self._attempts[slot] = attempt
            self._away.discard(slot)
        return attempt >= newest

    def _claim(self, slot: str, attempt: int, key: str) -> bool:
        """Whether the slot holds the cell. An unheld, unfinished cell is given to whoever says that it runs it."""
        if key not in self.cells or not self._admit(slot, attempt):
            return False
        if slot not in self.leases and (key in self._shelved or key in self._backlog):
            self._recall(key)
            self._backlog.remove(key)
            self.leases[slot] = Lease(attempt, key)
        return slot in self.leases and self.leases[slot].key == key

    def _release(self, slot: str, blame: bool, why: str = "") -> None:
        """Nobody holds the slot's cell any more: why its ranks said that they left it, else that its process died."""
        if slot not in self.leases:
            return
        where = f"slot {slot}: {why}" if why else f"slot {slot}"
        cause, message = verdict([*self._testimony.get(slot, ()), ("process" if blame else "stopped", where)])
        self._return(self._drop(slot), cause, message)

    def _drop(self, slot: str) -> str:
        """The key of the cell that the slot held."""
        self._testimony.pop(slot, None)
        return self.leases.pop(slot).key

    def _return(self, key: str, cause: Cause, message: str) -> None:
        self._tries[key, cause] += 1
        tries = self._tries[key, cause]
        if cause == "memory":
            self._alone.add(key)
        if may_try_again(cause, tries):
            self._wait(key)
        else:
            self._fail(Event(key, None, cause, message, tries=tries))

    def _wait(self, key: str) -> None:
        """Let a cell wait, or give it up where what it needs was given up."""
        failed = [self.failures[need] for need in self._needs.of(key) if need in self.failures]
        if failed:
            first = failed[0]
            role = self.cells[first.key].role or "need"
            self._fail(Event(key, None, first.cause, f"its {role} failed: {first.reason}", first.key))
            return
        self._backlog.add(key, self._needs.are_met(key, self.results))
        self._shelve_unwanted([key])

    def _shelve_unwanted(self, keys: Iterable[str]) -> None:
        """Take what waits and nobody wants off the backlog, and so on with what only that needed."""
        for key in keys:
            if key in self._backlog and not self._is_wanted(key):
                self._backlog.remove(key)
                self._shelved.add(key)
                self._coming[self.cells[key].configuration] -= 1
                self._shelve_unwanted(self._needs.of(key))

    def _recall(self, key: str) -> None:
        """What was shelved waits again: a cell that came later needs it, or a slot is at it."""
        if key in self._shelved:
            self._shelved.remove(key)
            self._backlog.add(key, self._needs.are_met(key, self.results))
            self._coming[self.cells[key].configuration] += 1

    def _fail(self, event: Event) -> None:
        """Give a cell up, and with it whatever waits for it; what needs it and is held already may still be done."""
        cell = self.cells[event.key]
        self.failures[event.key] = event
        self.events.append(event)
        self._blocks.fail(cell, event.cause)
        self._settle(cell)
        for dependent in self._needs.dependents(event.key):
            if dependent in self._backlog or dependent in self._shelved:
                self._recall(dependent)
                self._backlog.remove(dependent)
                self._wait(dependent)

    def _finish(self, key: str, summary: Summary) -> None:
        self.results[key] = summary
        self._blocks.finish(self.cells[key], self.results)
        self._settle(self.cells[key])
        for dependent in self._needs.dependents(key):
            if dependent in self._backlog and self._needs.are_met(dependent, self.results):
                self._backlog.add(dependent)

    def _settle(self, cell: Cell) -> None:
        """A cell came to its end: what only it needed is not wanted any more."""
        self._coming[cell.configuration] -= 1
        self._shelve_unwanted(self._needs.of(cell.key))

    def _is_settled(self, configuration: int) -> bool:
        return self.closed or (bool(self.cells) and not self._coming[configuration])

    def _is_wanted(self, key: str) -> bool:
        return self._needs.is_wanted(key, self.withdrawn, self.results, self.failures)
