"""The board's rules, without Ray: a random history of slots that work, die and return must lose and double nothing."""

import asyncio
from collections import Counter
from dataclasses import replace
from heapq import heappop, heappush

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.board import BoardState, Cause, Cell, Summary
from orchestrator.board_actor import Board

SLOTS = ("a/0", "a/1", "b/0")
PLACES = {"a/0": "GPU 0 of a", "a/1": "GPU 0 of a", "b/0": "GPU 0 of b"}


def cell(number: int, configuration: int = 0, block: int = 0) -> Cell:
    return Cell(f"key{number}", configuration, block, None, {"number": number})


def board(*cells: Cell, known: dict[str, Summary] | None = None) -> BoardState:
    state = BoardState()
    state.put(cells, known or {})
    return state


class BoardHistory(RuleBasedStateMachine):
    """Slots as the world knows them: each has a newest attempt and perhaps a cell, and each may die at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.state = BoardState()
        self.clock = 0
        self.attempt: dict[str, int] = {}
        self.holds: dict[str, str] = {}
        self.ghosts: list[tuple[str, int, str]] = []
        self.put_order: list[str] = []
        self.out_of_memory: set[str] = set()
        self.closed = False
        self.judged: int | None = None
        for slot in SLOTS:
            self.start(slot)

    def start(self, slot: str) -> None:
        self.clock += 10
        self.attempt[slot] = self.clock

    @rule(configuration=st.integers(0, 2), count=st.integers(1, 4))
    def put(self, configuration: int, count: int) -> None:
        cells = [cell(len(self.put_order) + i, configuration, i % 2) for i in range(count)]
        self.put_order += [new.key for new in cells]
        self.state.put([*cells, *cells], {})

    @rule(slot=st.sampled_from(SLOTS))
    def take(self, slot: str) -> None:
        free = [key for key in self.put_order if self.is_waiting(key)]
        beside = {key for other, key in self.holds.items() if other != slot and PLACES[other] == PLACES[slot]}
        answer = self.state.take(slot, self.attempt[slot], PLACES[slot])
        if self.is_in_doubt() and slot not in self.holds and not self.closed:
            assert answer == "wait"
        elif slot not in self.holds and self.out_of_memory & {*free, *beside} and not self.closed:
            self.take_where_a_cell_is_to_be_alone(slot, answer, free, beside)
        elif self.closed:
            assert answer == "closed"
        elif slot in self.holds:
            assert isinstance(answer, Cell)
            assert answer.key == self.holds[slot]
        elif free:
            assert isinstance(answer, Cell)
            assert answer.key == free[0]
            self.holds[slot] = answer.key
        else:
            assert answer == "wait"

    def is_in_doubt(self) -> bool:
        return self.judged is not None and any(event.summary is None for event in self.state.events[self.judged :])

    @rule(late=st.integers(0, 2))
    def judge(self, late: int) -> None:
        """Whoever decides whether the run goes on knows all that happened, or not yet the last of it."""
        self.judged = self.state.judged = max(0, len(self.state.events) - late)

    def take_where_a_cell_is_to_be_alone(self, slot: str, answer: object, free: list[str], beside: set[str]) -> None:
        """Nothing is beside a cell that ran out of memory; who shares no place with a running cell never waits."""
        if not isinstance(answer, Cell):
            assert answer == "wait"
            assert beside or not free
            return
        ordinary = [key for key in free if key not in self.out_of_memory]
        assert not beside & self.out_of_memory
        assert answer.key in free
        assert not beside if answer.key in self.out_of_memory else answer.key == ordinary[0]
        self.holds[slot] = answer.key

    def is_waiting(self, key: str) -> bool:
        state = self.state
        ended = key in state.results or key in state.failures
        return not ended and key not in self.holds.values() and state.cells[key].configuration not in state.withdrawn

    @rule(slot=st.sampled_from(SLOTS))
    def done(self, slot: str) -> None:
        if slot in self.holds:
            key = self.holds.pop(slot)
            assert self.state.done(slot, self.attempt[slot], key, {"by": slot})
            assert not self.state.done(slot, self.attempt[slot], key, {"by": "again"})
            assert self.state.results[key] == {"by": slot}

    @rule(
        slot=st.sampled_from(SLOTS), cause=st.sampled_from(["user", "nan", "collapsed", "error", "memory", "stopped"])
    )
    def failed(self, slot: str, cause: Cause) -> None:
        if slot in self.holds:
            key = self.holds.pop(slot)
            if cause == "memory":
                self.out_of_memory.add(key)
            assert self.state.failed(slot, self.attempt[slot], key, cause, "text")

    @rule(slot=st.sampled_from(SLOTS), causes=st.lists(st.sampled_from(["process", "memory", "nan"]), max_size=2))
    def ranks_leave_a_cell(self, slot: str, causes: list[Cause]) -> None:
        """Several ranks say why they leave; what they held is judged when they are gone, and not before."""
        if slot in self.holds:
            key = self.holds[slot]
            for cause in causes:
                assert self.state.testify(slot, self.attempt[slot], key, cause, "text")
            assert self.state.leases[slot].key == key
            if "memory" in causes and "nan" not in causes:
                self.out_of_memory.add(key)
            self.die_and_come_back(slot, told=True, blame=True)
            assert ("nan" in causes) == (key in self.state.failures and self.state.failures[key].cause == "nan")

    @rule(slot=st.sampled_from(SLOTS), told=st.booleans(), blame=st.booleans())
    def die_and_come_back(self, slot: str, told: bool, blame: bool) -> None:
        if slot in self.holds:
            self.ghosts.append((slot, self.attempt[slot], self.holds[slot]))
        if told:
            self.state.lost(slot, blame)
        self.start(slot)
        self.holds.pop(slot, None)
        if not told:
            self.take_after_death(slot)

    def take_after_death(self, slot: str) -> None:
        answer = self.state.take(slot, self.attempt[slot], PLACES[slot])
        if isinstance(answer, Cell):
            assert self.is_waiting(answer.key)
            self.holds[slot] = answer.key

    @precondition(lambda self: self.ghosts)
    @rule(data=st.data())
    def the_dead_speak(self, data: st.DataObject) -> None:
        slot, attempt, key = data.draw(st.sampled_from(self.ghosts))
        before = dict(self.state.results)
        assert self.state.take(slot, attempt) == "stale"
        assert not self.state.done(slot, attempt, key, {"by": "ghost"})
        assert not self.state.failed(slot, attempt, key, "error", "ghost")
        self.state.progress(slot, attempt, key, 1, 2, "ghost")
        assert self.state.should_stop(slot, attempt)
        assert self.state.results == before

    @rule(configuration=st.integers(0, 2))
    def withdraw(self, configuration: int) -> None:
        self.state.withdraw(configuration)

    @rule(sure=st.integers(0, 19))
    def close(self, sure: int) -> None:
        if sure == 0:
            self.state.close()
            self.closed = True

    @invariant()
    def every_cell_is_in_exactly_one_place(self) -> None:
        state = self.state
        places = Counter(
            [
                *state._backlog,
                *state._shelved,
                *state.results,
                *state.failures,
                *(lease.key for lease in state.leases.values()),
            ]
        )
        assert places == Counter(self.put_order)

    @invariant()
    def no_cell_has_two_living_holders(self) -> None:
        assert {slot: lease.key for slot, lease in self.state.leases.items()} == self.holds

    @invariant()
    def nothing_runs_beside_a_cell_that_ran_out_of_memory(self) -> None:
        for slot, key in self.holds.items():
            beside = [other for other in self.holds if other != slot and PLACES[other] == PLACES[slot]]
            assert not beside or key not in self.out_of_memory

    @invariant()
    def counts_add_up(self) -> None:
        shot = self.state.snapshot()
        assert shot.done + shot.running + shot.waiting + shot.failed + shot.withdrawn == len(self.put_order)

    @invariant()
    def running_cells_are_told_to_stop_exactly_when_withdrawn_or_closed(self) -> None:
        for slot, key in self.holds.items():
            withdrawn = self.state.cells[key].configuration in self.state.withdrawn
            assert self.state.should_stop(slot, self.attempt[slot]) == (self.closed or withdrawn)

    @invariant()
    def each_ending_is_told_once(self) -> None:
        told = Counter(event.key for event in self.state.events)
        assert told == Counter([*self.state.results, *self.state.failures])


TestBoardHistory = BoardHistory.TestCase
TestBoardHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def outcomes(state: BoardState, cause: Cause, times: int) -> list[bool]:
    """Whether `key0` is still to be had after each of `times` failures."""
    alive = []
    for attempt in range(times):
        assert isinstance(state.take("a/0", attempt + 1), Cell)
        state.failed("a/0", attempt + 1, "key0", cause, "text")
        alive.append("key0" not in state.failures)
    return alive


def test_a_user_error_a_nan_a_collapse_and_an_error_are_never_tried_again() -> None:
    assert [outcomes(board(cell(0)), cause, 1) for cause in ("user", "nan", "collapsed", "error")] == [[False]] * 4


def test_memory_is_tried_again_once_and_a_dead_process_three_times() -> None:
    assert outcomes(board(cell(0)), "memory", 2) == [True, False]
    assert outcomes(board(cell(0)), "process", 4) == [True, True, True, False]


def test_a_cell_that_was_told_to_stop_waits_again_however_often() -> None:
    assert outcomes(board(cell(0)), "stopped", 9) == [True] * 9


def test_death_is_counted_against_the_dead_slots_cell_only() -> None:
    state = board(cell(0), cell(1))
    for attempt in range(10, 90, 20):
        state.take("a/0", attempt)
        state.take("a/1", attempt)
        state.lost("a/0", blame=True)
        state.lost("a/1", blame=False)
    assert set(state.failures) == {"key0"}
    assert state.failures["key0"].cause == "process"
    assert state.snapshot().waiting == 1


def test_cells_known_from_the_ledger_are_done_without_an_event() -> None:
    state = board(cell(0), cell(1), known={"key0": {"valid_uar": 0.5}})
    assert (state.snapshot().done, state.snapshot().waiting, state.events) == (1, 1, [])


def test_a_block_counts_only_when_all_its_cells_are_done() -> None:
    state = board(cell(0, 0, 0), cell(1, 0, 1), cell(2, 0, 0))
    seen = []
    for number, key in enumerate(["key0", "key1", "key2"]):
        state.take("a/0", 1)
        state.done("a/0", 1, key, {"n": number})
        seen.append(len(state.progress_of(0).blocks))
    assert seen == [0, 1, 2]
    assert state.progress_of(0).blocks == (({"n": 1},), ({"n": 0}, {"n": 2}))
    assert state.progress_of(0).settled


def test_a_block_with_a_failed_cell_never_becomes_complete() -> None:
    state = board(cell(0), cell(1))
    state.take("a/0", 1)
    state.failed("a/0", 1, "key0", "error", "text")
    state.take("a/0", 1)
    state.done("a/0", 1, "key1", {})
    assert state.progress_of(0).blocks == ()
    assert state.progress_of(0).settled


def test_a_board_built_anew_learns_from_heartbeats_who_holds_what() -> None:
    state = board(cell(0), cell(1))
    state.progress("a/1", 7, "key0", 3, 10, "train")
    answer = state.take("a/0", 7)
    assert isinstance(answer, Cell)
    assert answer.key == "key1"
    assert state.done("a/1", 7, "key0", {})


def test_a_waiter_that_died_gets_nothing_when_cells_come() -> None:
    async def story() -> tuple[object, object]:
        actor = Board()
        await actor.put([], {})
        dead = asyncio.create_task(actor.take("a/0", 1))
        await asyncio.sleep(0)
        alive = asyncio.create_task(actor.take("a/0", 2))
        await asyncio.sleep(0)
        await actor.put([cell(0)], {})
        return await dead, await alive

    dead, alive = asyncio.run(story())
    assert dead == "stale"
    assert isinstance(alive, Cell)


def test_closing_wakes_every_waiting_slot_and_trial() -> None:
    async def story() -> list[object]:
        actor = Board()
        await actor.put([cell(0)], {})
        await actor.take("a/0", 1)
        waiting = [asyncio.create_task(actor.take("b/0", 1)), asyncio.create_task(actor.wait(0, 0, 0))]
        await asyncio.sleep(0)
        await actor.close()
        return [await asyncio.wait_for(task, 1.0) for task in waiting]

    slot, trial = asyncio.run(story())
    assert slot == "closed"
    assert trial.settled


def test_after_a_failure_nothing_new_is_handed_out_until_the_driver_has_judged_it() -> None:
    async def story() -> list[bool]:
        actor = Board(judged=True)
        await actor.put([cell(number) for number in range(4)], {})
        await actor.take("a/0", 1)
        await actor.take("b/0", 1)
        await actor.failed("a/0", 1, "key0", "nan", "")
        held = await actor.take("b/0", 1)
        fresh = asyncio.create_task(actor.take("a/0", 1))
        came = [isinstance(held, Cell) and held.key == "key1"]
        for since in (0, 0, 1):
            await actor.poll(since)
            await asyncio.sleep(0.01)
            came.append(fresh.done())
        await actor.done("b/0", 1, "key1", {})
        return [*came, isinstance(await asyncio.wait_for(actor.take("b/0", 1), 1.0), Cell)]

    assert asyncio.run(story()) == [True, False, False, True, True]


def test_a_board_built_anew_is_judged_from_its_first_event_on_whatever_the_driver_knew_of_the_old_one() -> None:
    async def story() -> tuple[bool, bool]:
        actor = Board(judged=True, reclaim_s=0.0)
        await actor.poll(57)
        await actor.put([cell(0), cell(1)], {}, again=True)
        await actor.take("a/0", 1)
        await actor.failed("a/0", 1, "key0", "nan", "")
        fresh = asyncio.create_task(actor.take("a/0", 1))
        await asyncio.sleep(0.01)
        waits = not fresh.done()
        await actor.poll(1)
        return waits, isinstance(await asyncio.wait_for(fresh, 1.0), Cell)

    assert asyncio.run(story()) == (True, True)


def test_a_cell_that_fails_for_want_of_another_one_puts_nothing_in_doubt() -> None:
    need = replace(cell(0), configuration=None)
    state = board(need, replace(cell(1), needs=("key0",)), cell(2), cell(3))
    state.judged = 0
    state.take("a/0", 1)
    state.failed("a/0", 1, "key0", "nan", "")
    assert [event.because for event in state.events] == ["", "key0"]
    assert state.take("a/0", 1) == "wait"
    state.judged = 1
    assert isinstance(state.take("a/0", 1), Cell)


def test_withdrawing_wakes_the_trial_and_stops_the_running_cell() -> None:
    async def story() -> tuple[bool, bool]:
        actor = Board()
        await actor.put([cell(0), cell(1)], {})
        await actor.take("a/0", 1)
        trial = asyncio.create_task(actor.wait(0, 0, 0))
        await actor.withdraw(0)
        stops = await actor.beat("a/0", 1, "key0", 1, 2, "train")
        await actor.failed("a/0", 1, "key0", "stopped", "")
        return stops, (await asyncio.wait_for(trial, 1.0)).settled

    assert asyncio.run(story()) == (True, True)


def test_after_a_crash_no_cell_is_handed_out_before_its_holder_could_claim_it() -> None:
    async def story() -> tuple[bool, object]:
        actor = Board(reclaim_s=0.1)
        early = asyncio.create_task(actor.beat("a/1", 7, "key0", 1, 2, "train"))
        idle = asyncio.create_task(actor.take("a/0", 7))
        await asyncio.sleep(0)
        await actor.put([cell(0), cell(1)], {}, again=True)
        return await early, await asyncio.wait_for(idle, 1.0)

    stops, taken = asyncio.run(story())
    assert not stops
    assert isinstance(taken, Cell)
    assert taken.key == "key1"


def ending(lengths: list[float], costs: list[float], slots: int) -> tuple[float, list[int]]:
    """When the last slot ends, and in which order cells were handed out; each slot takes one when it is free."""
    state = board(*(replace(cell(number), cost=cost) for number, cost in enumerate(costs)))
    free = [(0.0, f"a/{slot}") for slot in range(slots)]
    order: list[int] = []
    now = 0.0
    while free:
        now, slot = heappop(free)
        if slot in state.leases:
            state.done(slot, 1, state.leases[slot].key, {})
        answer = state.take(slot, 1)
        if isinstance(answer, Cell):
            order.append(answer.payload["number"])
            heappush(free, (now + lengths[order[-1]], slot))
    return now, order


def test_the_last_eight_cells_a_slot_are_handed_out_the_longest_first_and_none_before() -> None:
    _, order = ending([1.0] * 10, [3, 1, 2, 9, 5, 7, 6, 8, 4, 10], slots=1)
    assert order == [0, 1, 9, 3, 7, 5, 6, 4, 8, 2]
    _, plain = ending([1.0] * 10, [0.0] * 10, slots=2)
    assert plain == list(range(10))


def test_slots_end_together_where_the_longest_do_not_come_last() -> None:
    lengths = [1.0] * 12 + [9.0]
    late, _ = ending(lengths, [0.0] * 13, slots=3)
    early, _ = ending(lengths, lengths, slots=3)
    assert (late, early) == (13.0, 9.0)
