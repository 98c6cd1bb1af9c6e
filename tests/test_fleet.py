"""What a cluster has for a plan, and how nodes are asked for; the last on a real Ray of several nodes."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager
from ray.autoscaler.v2.sdk import get_cluster_status

from orchestrator.board import Cell
from orchestrator.board_actor import start_board
from orchestrator.costs import Crew
from orchestrator.fleet import Fleet, crew_of, fleet_of, here, precision_on
from orchestrator.joining import Joining
from orchestrator.packing import Need
from orchestrator.slots import Slots
from tests.local_ray import PATIENCE_S, head
from tests.noted_work import until
from trainers.errors import UserError

CONFIG = yaml.safe_load((Path(__file__).resolve().parent.parent / "cluster.yaml").read_text())


T4S = {
    "available_node_types": {
        "head": {"resources": {"CPU": 8}},
        "gpu": {"resources": {"CPU": 8, "GPU": 1, "accelerator_type:T4": 1}, "max_workers": 4},
    },
    "head_node_type": "head",
    "max_workers": 4,
}
NO_T4S = {
    **T4S,
    "available_node_types": {
        "head": {"resources": {"CPU": 8}},
        "old": {"resources": {"CPU": 8, "GPU": 1, "accelerator_type:T4": 1}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1}},
    },
}
"""A kind that is in the file, and of which none may come."""
OLD = (
    *("Tesla K80", "Tesla M60", "Tesla M4", "Tesla P4", "Tesla P40", "Tesla P100-PCIE-16GB", "Quadro GP100"),
    *("Quadro P6000", "Tesla T4", "NVIDIA T4G", "NVIDIA T1000", "NVIDIA T400", "Tesla V100-SXM2-16GB", "Quadro GV100"),
    *("Tesla V100S-PCIE-32GB", "TITAN V", "NVIDIA TITAN RTX", "GeForce GTX 1080 Ti", "NVIDIA GeForce RTX 2080 Ti"),
    *("Quadro RTX 8000", "GeForce MX450", "NVIDIA Quadro RTX 8000", "NVIDIA Quadro RTX 6000", "NVIDIA Tesla T4"),
    *("NVIDIA Tesla V100-SXM2-16GB", "Tesla K20Xm", "Quadro M1000M", "Tesla K20X", "P106-100", "NVIDIA CMP 30HX"),
    *("GeForce 940MX", "NVIDIA GeForce 940MX"),
)
NEW = (
    *("NVIDIA A100-SXM4-80GB", "NVIDIA A10G", "NVIDIA A10", "NVIDIA L4", "NVIDIA L40S", "NVIDIA H100 80GB HBM3"),
    *("NVIDIA H200", "NVIDIA B200", "NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090", "NVIDIA RTX A6000"),
    *("NVIDIA RTX 2000 Ada Generation", "NVIDIA GeForce RTX 5090", "NVIDIA A40", "NVIDIA A2", "NVIDIA CMP 170HX"),
)
"""GPUs by NVIDIA's names, before Ampere and since."""


def kind_of(name: str) -> str:
    """As Ray has it from NVIDIA's name."""
    return str(NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(name))


def node(cpus: int, gpus: int = 0, kind: str = "", alive: bool = True) -> dict[str, Any]:
    """As `ray.nodes()` tells one."""
    has = {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})}
    return {"Alive": alive, "Resources": has | ({f"accelerator_type:{kind}": 1.0} if kind else {})}


def test_gpus_are_counted_by_kind_over_living_nodes() -> None:
    nodes = [node(0), node(8, 1, "L4"), node(8, 1, "L4"), node(48, 4, "A10G"), node(8, 8, "H100", alive=False)]
    assert fleet_of(nodes) == Fleet({"L4": 2, "A10G": 4}, 64, cpus_a_gpu=8)


def test_gpus_that_may_come_are_those_of_the_cluster_s_own_limit() -> None:
    assert fleet_of([node(0)], CONFIG) == Fleet({}, 0, to_come=16, cpus_a_gpu=8)  # 16 nodes of both kinds together
    assert fleet_of([node(0), node(8, 1, "L4")], CONFIG) == Fleet({"L4": 1}, 8, to_come=15, cpus_a_gpu=8)


def test_the_node_with_the_fewest_cpus_for_its_gpus_counts_also_where_it_is_to_come() -> None:
    assert fleet_of([node(64), node(48, 4, "A10G"), node(30, 8, "H100")]).cpus_a_gpu == 3
    assert fleet_of([node(64), node(16, 1, "L4")]).cpus_a_gpu == 16
    assert fleet_of([node(64), node(16, 1, "L4")], CONFIG).cpus_a_gpu == 8
    assert fleet_of([node(64)]).cpus_a_gpu is None


@pytest.mark.parametrize(
    ("fleet", "asked", "crew"),
    [
        (Fleet({}, 16), (None, None), Crew(16, 1, "core")),
        (Fleet({}, 16), (4, None), Crew(4, 4, "core")),
        (Fleet({"L4": 8}, 64), (None, None), Crew(8, 1.0, "GPU")),
        (Fleet({"L4": 8}, 64), (None, 0.5), Crew(16, 0.5, "GPU")),
        (Fleet({"L4": 8}, 64), (None, 4.0), Crew(2, 4.0, "GPU")),
        (Fleet({}, 0, 16), (None, None), Crew(16, 1.0, "GPU")),
        (Fleet({"L4": 1}, 8, 15), (4, None), Crew(4, 1.0, "GPU")),
        (Fleet({"L4": 8}, 64), (None, 0.0), Crew(64, 1, "core")),
        (Fleet({"NVIDIA L4": 1}, 8), (None, None), Crew(1, 1.0, "GPU", "NVIDIA L4")),
    ],
)
def test_a_crew_is_what_there_is_and_what_may_come(
    fleet: Fleet, asked: tuple[int | None, float | None], crew: Crew
) -> None:
    assert crew_of(fleet, *asked) == crew


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that has nothing to compute with."""
    with head(0, monkeypatch) as made:
        yield made


@pytest.mark.slow
def test_a_plan_is_for_the_cluster_that_ray_start_began_here(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without $RAY_ADDRESS: its head has no GPU, and yet its cells run on some."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster.add_node(num_cpus=3, num_gpus=2)
    ray.shutdown()
    until(lambda: here().most_gpus == 2, PATIENCE_S)
    assert here() == Fleet({"GPU": 2}, 3, cpus_a_gpu=1)
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in ("127.0.0.1:9", "127.0.0.1:99999999999999999999"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=rf"^no Ray at {address}: "):
            here()
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert here().to_come == 0
    (tmp_path / "ray").mkdir()
    note = tmp_path / "ray" / "ray_current_cluster"
    note.mkdir()  # cannot be read, as somebody else's cannot
    assert here().to_come == 0
    note.rmdir()
    note.write_text("127.0.0.1:7")
    with pytest.raises(UserError, match=r"no Ray at 127\.0\.0\.1:7: Connection refused"):
        here()


@pytest.mark.slow
def test_what_ray_says_of_a_cluster_that_cannot_be_joined_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray looks for `auto` at all processes of a machine, where others may have a Ray."""
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", cache(lambda: frozenset()))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(
        UserError, match=r"^cannot join the Ray cluster auto: .*any running Ray instance.*; \$RAY_ADD"
    ) as told:
        here()
    assert "\n" not in str(told.value)
    monkeypatch.setenv("RAY_ADDRESS", "a..b:6379")
    with pytest.raises(UserError, match=r"^no Ray at a\.\.b:6379: "):
        here()


@pytest.mark.slow
def test_the_autoscaler_is_asked_for_what_is_wanted_and_the_room_is_free_once_a_node_joined(cluster: Any) -> None:
    joining = Joining(Need(1, 1.0))
    joining.want(2)
    until(lambda: asked_for(cluster) == 2, PATIENCE_S)
    cluster.add_node(num_cpus=1, num_gpus=1)
    until(met(joining, 1, cluster), PATIENCE_S)
    joining.end()
    until(lambda: asked_for(cluster) == 0, PATIENCE_S)
    until(lambda: ray.available_resources().get("GPU") == 1.0, PATIENCE_S)


@pytest.mark.slow
def test_slots_that_find_no_node_ask_for_as_many_as_cells_wait_for(cluster: Any, tmp_path: Path) -> None:
    board = start_board()
    ray.get(board.put.remote([Cell(name, 0, 0, None, {}) for name in "ab"], {}))
    slots = Slots(board, list, None, 1.0, tmp_path, print, idle_s=0.1, grows=True)

    def asks_for(gpus: int) -> Callable[[], bool]:
        def look() -> bool:
            slots.tend()
            return asked_for(cluster) == gpus

        return look

    until(asks_for(2), PATIENCE_S)
    slots.limit = 1
    until(asks_for(1), PATIENCE_S)
    slots.closing = True
    until(asks_for(0), PATIENCE_S)


def met(joining: Joining, left: int, cluster: Any) -> Callable[[], bool]:
    """Whether, with one slot less to ask for, so many requests are left and the node's GPU is free."""

    def look() -> bool:
        joining.want(left)
        return asked_for(cluster) == left and ray.available_resources().get("GPU") == 1.0

    return look


def asked_for(cluster: Any) -> int:
    """How many GPUs waiting placement groups ask for, as the autoscaler reads it."""
    demands = get_cluster_status(cluster.address).resource_demands.placement_group_demand
    bundles = [each for demand in demands for each in demand.bundles_by_count]
    return sum(int(each.bundle.get("GPU", 0)) * each.count for each in bundles)


@pytest.mark.parametrize(
    ("fleet", "gpus_per_cell", "wanted"),
    [
        (Fleet({}, 16), None, "fp32"),
        (Fleet({}, 16), "auto", "fp32"),
        (Fleet({}, 16), 1.0, "bf16"),  # a head without GPUs, which come with the work
        (Fleet({}, 16, to_come=4), None, "bf16"),
        (Fleet({"L4": 1}, 16), "auto", "bf16"),
        (Fleet({"NVIDIA GeForce RTX 2080": 1}, 16, bf16=False), None, "fp32"),
        (fleet_of([node(8, 1, "T4")]), 1.0, "fp32"),
        (fleet_of([node(8, 1, "M60"), node(8, 1, "L4")]), 1.0, "fp32"),
        *((fleet_of([node(8, 1, kind_of(name))]), 1.0, "fp32") for name in OLD),
        *((fleet_of([node(8, 1, kind_of(name))]), 1.0, "bf16") for name in NEW),
        (fleet_of([node(8, 1, "V100"), node(8, 8, "H100")]), None, "fp32"),  # a sweep computes in one
        (fleet_of([node(8)], T4S), None, "fp32"),  # none is there yet
        (fleet_of([node(8), node(8, 1, "T4")], T4S), None, "fp32"),
        (fleet_of([node(8, 1, "L4")], NO_T4S), None, "bf16"),
    ],
)
def test_cells_compute_in_what_the_gpus_have_that_they_will_run_on(
    fleet: Fleet, gpus_per_cell: float | str | None, wanted: str
) -> None:
    assert precision_on(fleet, gpus_per_cell) == wanted
