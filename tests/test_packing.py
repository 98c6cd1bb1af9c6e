"""How slots are packed on nodes: by hand, and for any cluster that can be drawn."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.packing import Need, Team, lacking, need_of, new_teams
from orchestrator.slots import backend
from trainers.errors import UserError


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": resources}


HEAD, BIG, SMALL = node("head", CPU=4), node("big", CPU=32, GPU=8), node("small", CPU=8, GPU=1)
NODES = [HEAD, BIG, SMALL, node("dead", False, CPU=99, GPU=8)]


def alone(name: str, count: int, cpus: int, gpus: float = 0.0, first: int = 0) -> Team:
    return Team((name,) * count, cpus, gpus, first=first)


@pytest.mark.parametrize("asked", [0.7, 0.6, 0.4, 0.34, 0.3, 1.5, 2.25, -1.0, 0.001, float("nan"), float("inf")])
def test_neither_whole_nor_an_even_share_of_a_gpu_is_refused_with_what_would_do(asked: float) -> None:
    with pytest.raises(UserError, match=r"gpus per cell is .*; it must be 1, a whole number .*0\.5, 0\.33") as told:
        need_of(asked)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("asked", "ranks", "to_a_gpu"), [(1, 1, 1), (2, 2, 1), (8.0, 8, 1), (0.5, 1, 2), (0.33, 1, 3), (0.125, 1, 8)]
)
def test_a_gpu_or_several_or_a_share_is_what_the_ranks_of_a_slot_take(asked: float, ranks: int, to_a_gpu: int) -> None:
    need = need_of(asked)
    assert need.ranks == ranks
    assert int(1 / need.gpus) == to_a_gpu
    assert 1 - 0.001 < to_a_gpu * need.gpus <= 1  # Ray never puts more on a GPU than 1


def test_ranks_that_share_a_gpu_cannot_be_asked_to_train_one_cell_together() -> None:
    with pytest.raises(UserError, match="ranks per cell is 2; it must be 1 where cells have GPUs"):
        need_of(0.5, cpu_ranks=2)
    assert need_of(0.0, cpu_ranks=2) == Need(2, 0.0)


def test_slots_are_shared_out_by_gpu_else_by_cpu_up_to_the_limit() -> None:
    gpu = need_of(1)
    assert new_teams(NODES, [], gpu) == [alone("big", 8, 4, 1.0), alone("small", 1, 8, 1.0)]
    assert new_teams(NODES, [], gpu, 3) == [alone("big", 3, 10, 1.0)]
    assert new_teams([HEAD], [], need_of(0)) == [alone("head", 4, 1)]
    assert new_teams([HEAD], [], need_of(0), 2) == [alone("head", 2, 2)]
    assert new_teams([HEAD], [], gpu, 2) == []


def test_a_share_makes_several_slots_of_each_gpu_and_a_limit_spreads_them_over_all() -> None:
    third = need_of(0.33)
    assert new_teams([SMALL, BIG], [], third) == [alone("big", 24, 1, 0.3333), alone("small", 3, 2, 0.3333)]
    assert new_teams([BIG], [], third, 8) == [alone("big", 8, 4, 1.0)]
    assert new_teams([BIG], [], third, 12) == [alone("big", 12, 2, 0.5)]


def test_a_cell_of_several_gpus_is_a_trainer_of_its_own_on_one_node_where_it_can_be() -> None:
    teams = new_teams(NODES, [], need_of(4))
    assert teams == [Team(("big",) * 4, 4, 1.0, True, number) for number in range(2)]
    assert [team.slots for team in teams] == [["big/0"], ["big/1"]]
    assert {backend(team) for team in teams} == {"cpu:gloo,cuda:nccl"}
    assert backend(new_teams([HEAD], [], need_of(0, cpu_ranks=2))[0]) == "gloo"


def test_what_is_left_over_makes_slots_across_nodes() -> None:
    pairs = [node("a", CPU=12, GPU=3), node("b", CPU=4, GPU=1), node("c", CPU=8, GPU=1)]
    teams = new_teams(pairs, [], need_of(2))
    assert [(team.nodes, team.cpus) for team in teams] == [(("a", "a"), 4), (("a", "b"), 4)]
    assert new_teams([node(name, CPU=8, GPU=1) for name in "abc"], [], need_of(3))[0].nodes == ("a", "b", "c")


def test_nodes_that_join_get_slots_until_the_limit_over_all_nodes_is_reached() -> None:
    """The node that joins is the roomier one: it may not push what runs already over the limit."""
    there = new_teams([SMALL], [], need_of(1), 3)
    joined = new_teams([SMALL, BIG], there, need_of(1), 3)
    assert [len(team.slots) for team in [*there, *joined]] == [1, 2]
    assert new_teams([SMALL, BIG], [*there, *joined], need_of(1), 3) == []


def test_room_that_a_lost_node_had_is_taken_elsewhere_under_fresh_names() -> None:
    half = [alone("big", 2, 4, 1.0)]
    more = new_teams([BIG], half, need_of(1), 5)
    assert more == [alone("big", 3, 8, 1.0, first=2)]
    assert not set(half[0].slots) & set(more[0].slots)


def test_a_cluster_that_can_have_no_slot_is_told_what_it_lacks() -> None:
    assert lacking(NODES, need_of(9)) == ""
    assert lacking(NODES, need_of(10)) == "a cell needs 10 CPU, 10 GPU; the cluster has 44 CPU, 9 GPU"
    assert lacking([HEAD], need_of(0.5)) == "a cell needs 1 CPU, 0.5 GPU; the cluster has 4 CPU, 0 GPU"
    assert lacking([HEAD], need_of(0)) == ""


CLUSTERS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=5)
NEEDS = st.sampled_from([need_of(0), need_of(0, cpu_ranks=2), *map(need_of, (1, 2, 3, 0.5, 0.33, 0.25, 0.2))])


@given(CLUSTERS, NEEDS, st.none() | st.integers(1, 12), st.integers(1, 5))
def test_no_node_is_ever_asked_for_more_than_it_has_and_no_limit_is_passed(
    cluster: list[tuple[int, int]], need: Need, limit: int | None, first: int
) -> None:
    """Whether all nodes are there at once or some join later."""
    nodes = [node(f"node{number}", CPU=cpus, GPU=gpus) for number, (cpus, gpus) in enumerate(cluster)]
    teams = new_teams(nodes[:first], [], need, limit)
    teams += new_teams(nodes, teams, need, limit)
    used: Counter[tuple[str, str]] = Counter()
    for team in teams:
        for name in team.nodes:
            used[name, "CPU"] += team.cpus
            used[name, "GPU"] += round(team.gpus * 10_000)
    for one in nodes:
        for kind, unit in (("CPU", 1), ("GPU", 10_000)):
            assert used[one["NodeID"], kind] <= one["Resources"][kind] * unit
    names = [slot for team in teams for slot in team.slots]
    assert len(set(names)) == len(names)
    assert limit is None or len(names) <= limit
    assert all(len(team.nodes) == need.ranks for team in teams if team.together)
    assert new_teams(nodes, teams, need, limit) == []


@given(CLUSTERS, NEEDS)
def test_without_a_limit_all_that_fits_is_used(cluster: list[tuple[int, int]], need: Need) -> None:
    nodes = [node(f"node{number}", CPU=cpus, GPU=gpus) for number, (cpus, gpus) in enumerate(cluster)]
    to_a_gpu = int(1 / need.gpus) if need.gpus else 0
    ranks = sum(min(cpus, gpus * to_a_gpu) if need.gpus else cpus for cpus, gpus in cluster)
    assert sum(len(team.slots) for team in new_teams(nodes, [], need)) == ranks // need.ranks
