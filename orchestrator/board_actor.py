"""The board as an asynchronous actor: one process on the head that slots, trials and the driver talk to."""

import asyncio
import uuid
from typing import Any, Literal

import ray

from orchestrator.board import BoardState, Cause, Cell, Event, Progress, Snapshot, Standings, Summary
from orchestrator.messages import Demand

HEAD = "node:__internal_head__"
"""Ray's own resource of the head node; a crumb of it pins an actor or a trial there."""


def start_board(judged: bool = False) -> Any:
    """A new board on the head, as an actor's handle. Ray restarts it (empty) if it dies, and sends its calls again."""
    options = {"num_cpus": 0, "resources": {HEAD: 0.001}, "max_restarts": -1, "max_task_retries": -1}
    return ray.remote(Board).options(**options).remote(judged=judged)


class Board:
    """The actor around the state: the same calls, where `take` and `wait` answer only when there is an answer.

    It may crash: Ray starts it anew, empty and with another `incarnation`. Calls then wait until the driver has put
    the plan again, and `take` a little longer, so that slots that are at work can say what they hold. `judged`: after a
    failure nothing new is handed out until the driver, which decides whether the run goes on, asks for what came later.
    """

    def __init__(self, reclaim_s: float = 3.0, judged: bool = False) -> None:
        self.state = BoardState(judged=0 if judged else None)
        self.incarnation = uuid.uuid4().hex
        self._filled = asyncio.Event()
        self._changed = asyncio.Condition()
        self._reclaim_s = reclaim_s
        self._reclaimed_at = 0.0
        self._controllers: dict[str, Any] = {}
        self._idle: dict[str, tuple[int, float]] = {}
        self._resting: set[tuple[str, int]] = set()

    async def put(self, cells: list[Cell], known: dict[str, Summary], again: bool = False) -> None:
        self.state.put(cells, known)
        self._reclaimed_at = asyncio.get_running_loop().time() + (self._reclaim_s if again else 0.0)
        self._filled.set()
        await self._notify()

    async def take(self, slot: str, attempt: int, place: str = "") -> Cell | Literal["closed", "stale"]:
        await self._filled.wait()
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._reclaimed_at - clock())
        async with self._changed:
            while (slot, attempt) not in self._resting:
                if (answer := self.state.take(slot, attempt, place)) != "wait":
                    self._idle.pop(slot, None)
                    return answer
                self._idle.setdefault(slot, (attempt, clock()))
                await self._changed.wait()
        return "closed"

    async def cell(self, key: str) -> Cell:
        """A cell that a slot holds, for the ranks that did not take it themselves."""
        await self._filled.wait()
        return self.state.cells[key]

    async def done(self, slot: str, attempt: int, key: str, summary: Summary) -> bool:
        await self._filled.wait()
        accepted = self.state.done(slot, attempt, key, summary)
        await self._notify()
        return accepted

    async def failed(self, slot: str, attempt: int, key: str, cause: Cause, message: str) -> bool:
        await self._filled.wait()
        accepted = self.state.failed(slot, attempt, key, cause, message)
        await self._notify()
        return accepted

    async def testify(self, slot: str, attempt: int, key: str, cause: Cause, message: str) -> bool:
        await self._filled.wait()
        return self.state.testify(slot, attempt, key, cause, message)

    async def beat(self, slot: str, attempt: int, key: str, step: int, steps: int, phase: str) -> bool:
        """Note the progress of a running cell; True tells it to stop."""
        await self._filled.wait()
        self.state.progress(slot, attempt, key, step, steps, phase)
        return self.state.should_stop(slot, attempt)

    async def lost(self, slots: list[str], blamed: list[str], why: str) -> None:
        for slot in slots:
            self._idle.pop(slot, None)
            self.state.lost(slot, slot in blamed, why)
        await self._notify()

    async def demand(self, idle_s: float) -> Demand:
        """What the slots there are have to do."""
        await self._filled.wait()
        since = asyncio.get_running_loop().time() - idle_s
        idle = [slot for slot, (_, began) in self._idle.items() if began <= since]
        return Demand(self.state.snapshot().waiting, len(self._idle), tuple(idle))

    async def rest(self, slots: list[str]) -> bool:
        """Let these slots end, so that their node can go; not where one of them works, or work has come."""
        if self.state.snapshot().waiting or not self._idle.keys() >= set(slots):
            return False
        self._resting |= {(slot, self._idle.pop(slot)[0]) for slot in slots}
        self.state.rest(slots)
        await self._notify()
        return True

    async def leave(self, slots: list[str]) -> None:
        self.state.leave(slots)
        for slot in slots:
            self._idle.pop(slot, None)
        await self._notify()

    async def withdraw(self, configuration: int, why: str = "") -> None:
        self.state.withdraw(configuration, why)
        await self._notify()

    async def standings(self) -> Standings:
        return self.state.standings()

    async def close(self) -> None:
        self.state.close()
        self._filled.set()
        await self._notify()

    async def wait(self, configuration: int, seen: int, front: int) -> Progress:
        """The configuration's progress as soon as it has more than `seen` complete blocks, is settled, or the front of
        all configurations has moved on."""
        async with self._changed:
            while not self.state.has_news(configuration, seen, front):
                await self._changed.wait()
        return self.state.progress_of(configuration)

    async def poll(self, since: int) -> tuple[str, list[Event], Snapshot]:
        """For the driver: the incarnation, the events from number `since` on, and how things stand. Where it judges,
        it has done so by those before `since`."""
        if self.state.judged is not None:
            doubted, self.state.judged = self.state.is_in_doubt, min(since, len(self.state.events))
            if doubted and not self.state.is_in_doubt:
                await self._notify()
        return self.incarnation, self.state.events[since:], self.state.snapshot()

    async def ended(self) -> int:
        """How many cells came to their end; unlike `poll` this judges nothing."""
        return len(self.state.results) + len(self.state.failures)

    async def enlist(self, name: str, controller: Any) -> None:
        """Remember the actor that leads a trainer, so that the driver can end it at once."""
        self._controllers[name] = controller

    async def controllers(self) -> dict[str, Any]:
        return self._controllers

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
