"""Before a sweep on a cluster: a node that differs is told in one line, and a sound cluster takes no time."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group_table

from orchestrator import preflight_brief, slots
from orchestrator.board import Cell
from orchestrator.cluster import list_nodes
from orchestrator.lease import LOCK, locked
from orchestrator.preflight_brief import Gate, differing, look
from tests.local_ray import head
from tests.noted_work import make_work, until
from tests.test_nodes import crew
from trainers.errors import UserError


def test_what_a_node_has_otherwise_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "trace").touch()
    ours = look(tmp_path / "trace")
    assert differing(ours, ours) == ""
    assert "torch 1.0 (the driver " in differing(ours, ours | {"torch": "1.0"})
    assert "has other code (x, the driver " in differing(ours, ours | {"code": "x"})
    assert "does not see the driver's store" in differing(ours, ours | {"store": ""})


def test_a_lock_that_an_earlier_sweep_left_in_a_folder_of_the_node_s_own_is_not_the_driver_s_store(
    tmp_path: Path,
) -> None:
    with locked(tmp_path / "other", "byol_tau", "before"):
        pass
    with locked(tmp_path / "store", "byol_tau", "now"):
        ours = look(tmp_path / "store" / LOCK)
        assert differing(ours, look(tmp_path / "store" / LOCK)) == ""
        assert (tmp_path / "other" / LOCK).exists()
        assert "does not see the driver's store" in differing(ours, look(tmp_path / "other" / LOCK))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head alone; a test adds nodes."""
    with head(1, monkeypatch) as made:
        yield made


@pytest.mark.slow
def test_a_node_of_other_packages_is_refused_in_one_line_and_gets_no_slots_where_it_joins_later(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_brief, "PATIENCE_S", 120.0)
    said: list[str] = []
    trace = tmp_path / "sweep.lock"
    trace.touch()
    gate = Gate(trace, said.append)
    gate.agree()
    there = list_nodes()
    assert gate.admitted(there) == there
    same = cluster.add_node(num_cpus=1)
    other = tmp_path / "packages" / "torch-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    before = os.environ.get("PYTHONPATH", "")
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": f"{other.parent}:{before}"})
    until(lambda: len(list_nodes()) == 3, 60.0)
    until(lambda: bool(gate.admitted(list_nodes())[1:] and said), 120.0)
    assert {node["NodeID"] for node in gate.admitted(list_nodes())} == {there[0]["NodeID"], same.node_id}
    assert len(said) == 1
    assert "has joined and gets no cells: it has torch 1.0 (the driver " in said[0]
    assert "has torch 1.0 (the driver " in gate.refusal(list_nodes())
    with pytest.raises(UserError, match=r"torch 1\.0 \(the driver [^\n]*$"):
        Gate(trace, said.append).agree()
    assert set(tmp_path.iterdir()) == {other.parent, trace}


class Door(Gate):
    """Lets in one node alone."""

    only = ""

    def admitted(self, nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [node for node in nodes if node["NodeID"] == self.only]

    def refusal(self, nodes: Iterable[Mapping[str, Any]]) -> str:
        return "" if all(node["NodeID"] == self.only for node in nodes) else "one has other code"


@pytest.mark.slow
def test_slots_are_on_admitted_nodes_alone(cluster: Any, tmp_path: Path) -> None:
    """`Slots` with a real board: of two nodes that join only the one that the gate lets in gets any."""
    first = cluster.add_node(num_cpus=1)
    second = cluster.add_node(num_cpus=1)

    door = Door(tmp_path, print)
    door.only = second.node_id
    held = crew(tmp_path, make_work, gate=door, grows=True)
    try:
        cells = [Cell(key, 0, 0, None, {"key": key, "log": str(tmp_path / "log")}) for key in ("one", "two")]
        ray.get(held.board.put.remote(cells, {}))
        held.until_slots(second.node_id)
        until(lambda: held.snapshot().done == 2, 60.0)
        assert held.slots.error is None
        assert not asked_for()
        assert all(not slot.startswith(first.node_id[:8]) for slot in held.snapshot().slots)
    finally:
        held.close()


def asked_for() -> list[str]:
    """Placement groups that wait for nodes."""
    return [each["placement_group_id"] for each in placement_group_table().values() if each["state"] == "PENDING"]


@pytest.mark.slow
def test_where_no_node_may_have_slots_that_is_told_and_none_are_asked_for(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "REFUSED_S", 3.0)
    held = crew(tmp_path, make_work, gate=Door(tmp_path, print), grows=True)
    try:
        cluster.add_node(num_cpus=1)
        ray.get(held.board.put.remote([Cell("one", 0, 0, None, {"key": "one", "log": str(tmp_path / "log")})], {}))
        until(lambda: bool(held.snapshot() and held.slots.error), 60.0)
        assert isinstance(held.slots.error, UserError)
        assert str(held.slots.error) == "no node may have slots: one has other code; all that is finished is kept"
        assert not asked_for()
        assert not held.slots.teams
    finally:
        held.close()
