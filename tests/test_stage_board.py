"""Stages on the board: random histories against a second, plainer account of the rules; what fails, waits and stops."""

import asyncio
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orchestrator.backlog import Backlog
from orchestrator.board import BoardState, Cell, Summary
from orchestrator.board_actor import Board

SLOTS = ("a/0", "a/1", "b/0")
STAGES = ("S0", "S1", "S2")
FINAL = ("user", "nan", "error")


def cell(key: str, configuration: int | None = 0, block: int = 0, *needs: str) -> Cell:
    return Cell(key, configuration, block, None, {}, needs)


def stage(key: str) -> Cell:
    return Cell(key, None, -1, None, {}, role="stage")


class StageHistory(RuleBasedStateMachine):
    """A sweep of three configurations over three stages, whose board and slots may be lost at any time.

    What the machine itself remembers (`ledger`, `failed`, `holds`) is the account that the board is compared with; it
    knows no queue and looks through all cells each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = BoardState()
        self.plan: list[Cell] = []
        self.ledger: dict[str, Summary] = {}
        self.failed: set[str] = set()
        self.withdrawn: set[int] = set()
        self.holds: dict[str, str] = {}
        self.tries: Counter[str] = Counter()
        self.attempt = dict.fromkeys(SLOTS, 10)

    @initialize(
        places=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([*STAGES, ""])), min_size=1, max_size=12),
        stored=st.sets(st.sampled_from(STAGES)),
        off_the_board=st.sets(st.sampled_from(STAGES)),
        done=st.sets(st.integers(0, 11), max_size=3),
    )
    def begin(self, places: list[tuple[int, str]], stored: set[str], off_the_board: set[str], done: set[int]) -> None:
        """Each stage stands before its first cell; those off the board were done before, as the driver leaves them."""
        for number, (configuration, needed) in enumerate(places):
            here = needed and needed not in off_the_board
            if here and needed not in {known.key for known in self.plan}:
                self.plan.append(stage(needed))
            self.plan.append(cell(f"c{number}", configuration, number % 2, *([needed] if needed else [])))
        self.ledger = {key: {"old": 1} for key in stored if self.has(key)}
        self.ledger |= {f"c{number}": {"old": 1} for number in done if self.has(f"c{number}")}
        self.state.put(self.plan, self.ledger)

    # --- the other account

    def has(self, key: str) -> bool:
        return any(known.key == key for known in self.plan)

    def lives(self, one: Cell) -> bool:
        return one.key not in self.ledger and one.key not in self.failed

    def is_wanted(self, one: Cell) -> bool:
        if one.configuration is not None:
            return one.configuration not in self.withdrawn
        return any(one.key in other.needs and self.lives(other) and self.is_wanted(other) for other in self.plan)

    def waiting(self) -> list[str]:
        held = set(self.holds.values())
        return [one.key for one in self.plan if self.lives(one) and one.key not in held and self.is_wanted(one)]

    def ready(self) -> list[str]:
        here = {one.key: one for one in self.plan}
        return [
            key for key in self.waiting() if all(need in self.ledger or need not in here for need in here[key].needs)
        ]

    def fail(self, key: str) -> None:
        self.failed.add(key)
        for other in self.plan:
            if key in other.needs and self.lives(other) and other.key not in self.holds.values():
                self.fail(other.key)

    # --- what happens

    @rule(slot=st.sampled_from(SLOTS))
    def take(self, slot: str) -> None:
        ready, answer = self.ready(), self.state.take(slot, self.attempt[slot])
        if slot in self.holds:
            assert isinstance(answer, Cell)
            assert answer.key == self.holds[slot]
        elif ready:
            assert isinstance(answer, Cell)
            assert answer.key == ready[0]
            self.holds[slot] = answer.key
        else:
            assert answer == "wait"

    @rule(slot=st.sampled_from(SLOTS))
    def done(self, slot: str) -> None:
        if slot in self.holds:
            key = self.holds.pop(slot)
            self.ledger[key] = {"by": slot}
            assert self.state.done(slot, self.attempt[slot], key, self.ledger[key])

    @rule(
        slot=st.sampled_from(SLOTS), cause=st.sampled_from([*FINAL, "stopped"]), message=st.sampled_from(["", "a\nb"])
    )
    def go_wrong(self, slot: str, cause: str, message: str) -> None:
        if slot in self.holds:
            key = self.holds.pop(slot)
            assert self.state.failed(slot, self.attempt[slot], key, cause, message)
            if cause != "stopped" or self.is_hopeless(key):
                self.fail(key)

    def is_hopeless(self, key: str) -> bool:
        return any(need in self.failed for one in self.plan if one.key == key for need in one.needs)

    @rule(slot=st.sampled_from(SLOTS), blame=st.booleans())
    def die(self, slot: str, blame: bool) -> None:
        self.state.lost(slot, blame)
        self.attempt[slot] += 10
        if slot in self.holds:
            key = self.holds.pop(slot)
            self.tries[key] += blame
            if self.tries[key] > 3 or self.is_hopeless(key):
                self.fail(key)

    @rule(configuration=st.integers(0, 2))
    def withdraw(self, configuration: int) -> None:
        self.state.withdraw(configuration)
        self.withdrawn.add(configuration)

    @rule(remembers=st.sets(st.sampled_from(SLOTS)))
    def lose_the_board(self, remembers: set[str]) -> None:
        """Ray starts it anew, empty; the driver puts the plan with what is stored; slots at work say what they hold."""
        self.state = BoardState()
        self.failed, self.withdrawn, self.tries = set(), set(), Counter()
        for slot in SLOTS:
            if slot not in remembers:  # it died with the board
                self.holds.pop(slot, None)
                self.attempt[slot] += 10
        self.state.put(self.plan, self.ledger)
        for slot, key in self.holds.items():
            self.state.progress(slot, self.attempt[slot], key, 1, 2, "training")

    @rule(number=st.integers(0, 30), configuration=st.integers(0, 2), needed=st.sampled_from(STAGES))
    def put_more(self, number: int, configuration: int, needed: str) -> None:
        """Cells that come later may need what has failed already."""
        if len(self.plan) < 16 and not self.has(f"later{number}"):
            later = cell(f"later{number}", configuration, 100 + number, needed)
            self.state.put([later], {})
            self.plan.append(later)
            if needed in self.failed:
                self.fail(later.key)

    @rule(key=st.sampled_from(STAGES))
    def put_a_stage_late(self, key: str) -> None:
        """What was thought done is to be done again: cells that wait for it wait on, those at work go on."""
        if not self.has(key) and any(key in one.needs for one in self.plan):
            self.state.put([stage(key)], {})
            self.plan.append(stage(key))

    # --- what must hold

    @invariant()
    def the_board_and_the_other_account_agree(self) -> None:
        assert self.state.results.keys() == self.ledger.keys()
        assert self.state.failures.keys() == self.failed
        assert {slot: lease.key for slot, lease in self.state.leases.items()} == self.holds

    @invariant()
    def no_cell_is_lost_or_counted_twice(self) -> None:
        shot = self.state.snapshot()
        counts = (shot.done, shot.failed, shot.running, shot.waiting)
        assert counts == (len(self.ledger), len(self.failed), len(self.holds), len(self.waiting()))
        assert sum(counts) + shot.withdrawn == len(self.plan)

    @invariant()
    def each_ending_is_told_once_and_old_results_are_not(self) -> None:
        told = Counter(event.key for event in self.state.events)
        assert all(count == 1 for count in told.values())
        assert set(told) <= set(self.ledger) | self.failed

    @invariant()
    def a_configuration_is_settled_exactly_when_none_of_its_cells_is_still_to_come(self) -> None:
        here = {one.key: one for one in self.plan}
        for configuration in range(3):
            open_cells = [*self.waiting(), *self.holds.values()]
            settled = all(here[key].configuration != configuration for key in open_cells)
            assert self.state.progress_of(configuration).settled == settled

    @invariant()
    def blocks_are_complete_exactly_when_all_their_cells_are_done(self) -> None:
        for configuration in range(3):
            blocks: dict[int, list[str]] = {}
            for one in self.plan:
                if one.configuration == configuration:
                    blocks.setdefault(one.block, []).append(one.key)
            complete = [keys for keys in blocks.values() if all(key in self.ledger for key in keys)]
            assert len(self.state.progress_of(configuration).blocks) >= len(complete)

    @invariant()
    def work_that_waits_can_go_on(self) -> None:
        """Never do cells wait for something that nobody will do."""
        assert not self.waiting() or self.holds or self.ready()

    @invariant()
    def running_work_is_told_to_stop_exactly_when_nobody_wants_it(self) -> None:
        here = {one.key: one for one in self.plan}
        for slot, key in self.holds.items():
            assert self.state.should_stop(slot, self.attempt[slot]) == (not self.is_wanted(here[key]))


TestStageHistory = StageHistory.TestCase
TestStageHistory.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_a_failed_stage_fails_what_needs_it_with_its_cause_and_reason_and_nothing_else() -> None:
    state = BoardState()
    state.put([stage("S0"), cell("a", 0, 0, "S0"), cell("b", 1, 0, "S0"), cell("c", 1, 1)], {})
    state.take("a/0", 1)
    state.failed("a/0", 1, "S0", "user", "Traceback\nonly 1 speaker is here")
    told = [(event.key, event.cause, event.reason) for event in state.events]
    why = "only 1 speaker is here"
    assert told == [
        ("S0", "user", why),
        ("a", "user", f"its stage failed: {why}"),
        ("b", "user", f"its stage failed: {why}"),
    ]
    assert [state.progress_of(configuration).settled for configuration in (0, 1)] == [True, False]


def test_a_cell_that_ran_while_its_stage_failed_may_finish_but_does_not_wait_again() -> None:
    """A board built anew, on which a slot says that it runs a cell whose stage is no longer stored."""
    for ending in ("done", "dead"):
        state = BoardState()
        state.put([stage("S0"), cell("a", 0, 0, "S0")], {})
        state.progress("b/0", 5, "a", 1, 2, "training")
        state.take("a/0", 5)
        state.failed("a/0", 5, "S0", "error", "full disk")
        if ending == "done":
            assert state.done("b/0", 5, "a", {})
            assert "a" in state.results
        else:
            state.lost("b/0", blame=True)
            assert state.failures["a"].reason == "its stage failed: full disk"
        assert state.snapshot().settled


def test_slots_take_other_cells_while_one_computes_the_stage_and_are_woken_when_it_is_done() -> None:
    async def story() -> list[object]:
        actor = Board()
        await actor.put([stage("S0"), cell("a", 0, 0, "S0"), cell("b", 0, 1, "S0"), cell("c", 1, 0)], {})
        first = [(await actor.take(slot, 1)).key for slot in ("a/0", "a/1")]
        waiting = [asyncio.create_task(actor.take(slot, 1)) for slot in ("b/0", "b/1")]
        await asyncio.sleep(0.01)
        idle = [task.done() for task in waiting]
        await actor.done("a/0", 1, "S0", {})
        return [first, idle, sorted([(await asyncio.wait_for(task, 1.0)).key for task in waiting])]

    assert asyncio.run(story()) == [["S0", "c"], [False, False], ["a", "b"]]


def test_waiting_slots_are_woken_when_a_stage_dies_with_its_slot_and_one_of_them_computes_it() -> None:
    async def story() -> object:
        actor = Board()
        await actor.put([stage("S0"), cell("a", 0, 0, "S0")], {})
        await actor.take("a/0", 1)
        waiting = asyncio.create_task(actor.take("b/0", 1))
        await asyncio.sleep(0.01)
        await actor.lost(["a/0"], ["a/0"], "out of memory")
        return (await asyncio.wait_for(waiting, 1.0)).key

    assert asyncio.run(story()) == "S0"


def test_what_never_waited_cannot_be_removed_from_the_backlog() -> None:
    backlog = Backlog()
    backlog.add("a")
    with pytest.raises(ValueError, match="'b' does not wait"):
        backlog.remove("b")
    backlog.remove("a")
    with pytest.raises(ValueError, match="'a' does not wait"):
        backlog.remove("a")
