"""Why nothing moves: noticed by what the board tells, and said as demand against supply."""

from dataclasses import dataclass
from typing import Any

from orchestrator.board import Lease, Snapshot

SHOWN = 3
"""Slots that a line tells of one by one."""


@dataclass
class Watchdog:
    """Notices that for `patience_s` nothing has moved: no slot has come, or none of those there are takes a step.

    `since_s`: of a clock that is never set back, as all times here. It speaks again after twice, four times … as long.
    """

    patience_s: float
    since_s: float
    _seen: Any = None
    _next_s: float = 0.0

    def heed(self, snapshot: Snapshot, now_s: float) -> float:
        """For how many seconds nothing has moved, where it is time to say so; else 0."""
        if snapshot.slots and (seen := _position(snapshot)) != self._seen:
            self._seen, self.since_s, self._next_s = seen, now_s, 0.0
        due_s = self._next_s or self.patience_s
        if now_s - self.since_s <= due_s:
            return 0.0
        self._next_s = 2 * due_s
        return due_s


def told(snapshot: Snapshot, seconds: float, supply: str) -> str:
    """One line of what waits, and what there is for it. `supply`: what a slot needs and what the cluster has."""
    return f"{_demand(snapshot, seconds)}: {supply}{f'; a slot died of {snapshot.trouble}' if snapshot.trouble else ''}"


def _demand(snapshot: Snapshot, seconds: float) -> str:
    waiting = "1 cell waits" if snapshot.waiting == 1 else f"{snapshot.waiting} cells wait"
    count = len(snapshot.slots)
    if not count:
        return f"{waiting} and no slot has come for {seconds:.0f} s"
    busy = {slot: lease for slot, lease in snapshot.slots.items() if lease}
    if not busy:
        return f"{waiting} and none of {count} idle slots takes one for {seconds:.0f} s"
    each = [_at(slot, lease) for slot, lease in list(busy.items())[:SHOWN]]
    more = [f"{len(busy) - SHOWN} more"] if len(busy) > SHOWN else []
    return f"no slot has taken a step for {seconds:.0f} s ({', '.join(each + more)}), and {waiting}"


def _at(slot: str, lease: Lease) -> str:
    where = f"step {lease.step} of {lease.steps}, {lease.phase}" if lease.phase else "has not begun"
    return f"{slot} at cell {lease.key[:12]}: {where}"


def _position(snapshot: Snapshot) -> Any:
    """All that changes when something moves."""
    leases = tuple(
        (slot, lease and (lease.attempt, lease.key, lease.step, lease.phase)) for slot, lease in snapshot.slots.items()
    )
    return leases, snapshot.done, snapshot.failed, snapshot.withdrawn, snapshot.waiting
