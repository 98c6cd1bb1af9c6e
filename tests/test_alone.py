"""Cells that ran out of memory get their other try alone in their place, soon; what is said of why cells failed."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.board import BoardState, Cause, Cell, Event
from orchestrator.board_actor import Board
from orchestrator.verdict import verdict

SHARED = {"a/0": "a GPU 0", "a/1": "a GPU 0"}


def cell(number: int, configuration: int = 0) -> Cell:
    return Cell(f"key{number}", configuration, number, None, {})


def board(count: int) -> BoardState:
    state = BoardState()
    state.put([cell(number) for number in range(count)], {})
    return state


def take(state: BoardState, slot: str, places: dict[str, str] | None = None) -> str:
    answer = state.take(slot, 1, (SHARED if places is None else places)[slot])
    return answer.key if isinstance(answer, Cell) else answer


def test_the_slots_of_its_gpu_get_nothing_until_the_cell_that_is_to_be_alone_is_done() -> None:
    state = board(9)
    assert [take(state, "a/0"), take(state, "a/1")] == ["key0", "key1"]
    state.failed("a/0", 1, "key0", "memory", "CUDA out of memory")
    assert take(state, "a/0") == "wait"  # the other still runs
    state.done("a/1", 1, "key1", {})
    assert [take(state, "a/1"), take(state, "a/0")] == ["key0", "wait"]
    state.done("a/1", 1, "key0", {})
    assert [take(state, "a/0"), take(state, "a/1")] == ["key2", "key3"]


def test_other_gpus_go_on_meanwhile_and_one_that_is_free_first_takes_the_cell() -> None:
    places = {"a/0": "a GPU 0", "a/1": "a GPU 0", "b/0": "b GPU 0", "b/1": "b GPU 0", "c/0": "c GPU 0"}
    state = board(9)
    for slot in ("a/0", "a/1", "b/0", "b/1", "c/0"):
        take(state, slot, places)
    state.failed("a/0", 1, "key0", "memory", "")
    assert take(state, "a/0", places) == "wait"
    state.done("b/0", 1, "key2", {})
    assert take(state, "b/0", places) == "key5"  # a is cleared for it, b need not be
    state.done("c/0", 1, "key4", {})
    assert take(state, "c/0", places) == "key0"  # nothing is beside it there
    assert take(state, "a/0", places) == "key6"  # so that a need not be cleared any more


def test_a_place_is_not_cleared_for_a_cell_that_nobody_wants_any_more() -> None:
    state = BoardState()
    state.put([cell(0, 0), cell(1, 1), cell(2, 1)], {})
    take(state, "a/0")
    take(state, "a/1")
    state.failed("a/0", 1, "key0", "memory", "")
    assert take(state, "a/0") == "wait"
    state.withdraw(0)
    assert take(state, "a/0") == "key2"


def test_when_a_place_is_gone_that_was_cleared_another_is() -> None:
    places = {"a/0": "a GPU 0", "a/1": "a GPU 0", "b/0": "b GPU 0", "b/1": "b GPU 0"}
    state = board(9)
    for slot in places:
        take(state, slot, places)
    state.failed("b/0", 1, "key2", "memory", "")
    assert take(state, "b/0", places) == "wait"
    for slot in ("b/0", "b/1"):
        state.lost(slot, blame=False)
    state.done("a/0", 1, "key0", {})
    assert take(state, "a/0", places) == "wait"
    state.done("a/1", 1, "key1", {})
    assert take(state, "a/0", places) == "key2"


def test_out_of_memory_alone_is_the_end_and_is_told_so() -> None:
    state = board(1)
    for _ in range(2):
        take(state, "a/0")
        state.failed("a/0", 1, "key0", "memory", "Traceback\ntorch.OutOfMemoryError: CUDA out of memory. Tried 9 GiB.")
    told = "out of memory 2 times, the last time alone: CUDA out of memory. Tried 9 GiB."
    assert [event.told for event in state.events] == [told]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.sets(st.integers(0, 5), min_size=1, max_size=3),
    st.sets(st.integers(1, 5), max_size=5),
    st.randoms(use_true_random=False),
)
def test_however_much_work_there_is_a_cell_that_is_to_be_alone_waits_no_longer_than_what_runs(
    gpus: list[int], unlucky: set[int], gone: set[int], random: Random
) -> None:
    """Each round every slot in any order ends its cell and asks for the next; in the first some slots go for good.

    So no place is ever empty unless it is cleared. That takes one round, and two are enough for each cell; more urgent
    ones that come back go first.
    """
    slots = {f"s/{number}": f"GPU {gpu}" for number, gpu in enumerate(gpus)}
    state = board(150)
    held = {slot: take(state, slot, slots) for slot in slots}
    alone = {key for number, key in enumerate(held.values()) if number in unlucky}
    for slot, key in held.items():
        if key in alone:
            state.failed(slot, 1, key, "memory", "")
    for first in (True, *[False] * (2 * len(alone) + len(held))):
        for slot in random.sample(sorted(slots), len(slots)):
            if slot in state.leases:
                state.done(slot, 1, state.leases[slot].key, {})
            take(state, slot, slots)
        for slot in [slot for slot in slots if int(slot[2:]) in gone] if first else []:
            state.lost(slot, blame=True)
            del slots[slot]
    assert alone <= state.results.keys()


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ([("process", "peer"), ("memory", "9 GiB"), ("stopped", "")], "memory"),
        ([("error", "KeyError"), ("memory", "9 GiB"), ("process", "")], "memory"),
        ([("process", "peer"), ("error", "KeyError"), ("process", "")], "error"),
        ([("process", "peer"), ("stopped", "")], "process"),
        ([("user", "tau"), ("error", "KeyError")], "user"),
        ([("stopped", "")], "stopped"),
    ],
)
def test_a_rank_that_lost_its_peer_explains_nothing_where_another_can(
    told: Sequence[tuple[Cause, str]], cause: str
) -> None:
    assert verdict(told)[0] == cause
    assert verdict(told[::-1])[0] == cause


def test_a_cell_whose_processes_die_is_given_up_and_named_with_the_reason() -> None:
    state = board(2)
    for attempt in range(4):
        state.take("a/0", 2 * attempt + 1)
        state.lost("a/0", blame=True, why="killed by signal 9")
    (event,) = state.events
    assert (event.key, event.cause) == ("key0", "process")
    assert event.told == "its process died 4 times: slot a/0: killed by signal 9"
    assert state.snapshot().waiting == 1


@pytest.mark.parametrize(
    ("cause", "message", "told"),
    [
        ("nan", "Traceback\nFloatingPointError: the loss is nan", "training diverged: the loss is nan"),
        ("collapsed", "trainers.health.CollapsedError: all alike", "embeddings collapsed: all alike"),
        ("user", "tau is 7; it must be below 1", "refused: tau is 7; it must be below 1"),
        ("error", "Traceback\nKeyError: 'a'", "error: KeyError: 'a'"),
    ],
)
def test_each_cause_is_told_in_words(cause: str, message: str, told: str) -> None:
    assert Event("key0", None, cause, message).told == told


def test_what_failed_with_its_stage_is_told_with_the_stages_reason() -> None:
    state = BoardState()
    state.put([Cell("S", None, -1, None, {}, role="stage"), Cell("a", 0, 0, None, {}, ("S",))], {})
    state.take("a/0", 1)
    state.failed("a/0", 1, "S", "user", "only 1 speaker is here")
    assert [event.told for event in state.events] == [
        "refused: only 1 speaker is here",
        "its stage failed: only 1 speaker is here",
    ]


def test_slots_rest_only_when_all_of_them_are_idle_and_nothing_waits_and_are_seen_again_when_they_ask() -> None:
    async def story() -> list[object]:
        actor = Board()
        await actor.put([cell(0)], {})
        await actor.take("a/0", 1)
        idle = asyncio.create_task(actor.take("a/1", 1))
        await asyncio.sleep(0.01)
        seen: list[object] = [(await actor.demand(0.0)).idle, await actor.rest(["a/0", "a/1"]), idle.done()]
        await actor.done("a/0", 1, "key0", {})
        other = asyncio.create_task(actor.take("a/0", 1))
        await asyncio.sleep(0.01)
        seen += [await actor.rest(["a/0", "a/1"]), await idle, await other, actor.state.snapshot().slots]
        await actor.put([cell(1)], {})
        seen += [(await actor.demand(0.0)).waiting, (await actor.take("a/1", 2)).key]
        return [*seen, list(actor.state.snapshot().slots)]

    assert asyncio.run(story()) == [("a/1",), False, False, True, "closed", "closed", {}, 1, "key1", ["a/1"]]


def test_while_cells_wait_for_a_stage_no_slot_rests() -> None:
    async def story() -> tuple[bool, int, int]:
        actor = Board()
        stage = Cell("S", None, -1, None, {}, role="stage")
        await actor.put([stage, Cell("a", 0, 0, None, {}, ("S",))], {})
        await actor.take("a/0", 1)
        waits = asyncio.create_task(actor.take("a/1", 1))
        await asyncio.sleep(0.01)
        demand = await actor.demand(0.0)
        rested = await actor.rest(["a/1"])
        waits.cancel()
        return rested, demand.waiting, demand.free

    assert asyncio.run(story()) == (False, 1, 1)
