"""Slots over several nodes, on a real cluster of Ray on this machine: nodes join and leave while cells run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.board import Cell, Snapshot
from orchestrator.board_actor import start_board
from orchestrator.slots import Slots
from tests.local_ray import PATIENCE_S, head
from tests.noted_work import make_work, notes, until
from tests.trained_work import losses, make_training, trained


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without CPUs; a test adds nodes."""
    with head(0, monkeypatch) as made:
        yield made


@dataclass
class Crew:
    """A board, and slots that a test tends."""

    board: Any
    slots: Slots
    said: list[str] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        self.slots.tend()
        snapshot: Snapshot = ray.get(self.board.poll.remote(0))[2]
        return snapshot

    def until_slots(self, *nodes: str) -> None:
        """Wait until just these nodes have a slot each."""
        wanted = sorted(node[:8] for node in nodes)
        until(lambda: sorted(slot.split("/")[0] for slot in self.snapshot().slots) == wanted, PATIENCE_S)

    def close(self) -> None:
        self.slots.closing = True
        ray.get(self.board.close.remote())
        self.slots.join(20.0)
        ray.kill(self.board)


def crew(folder: Path, work: Any, **settings: Any) -> Crew:
    board = start_board()
    said: list[str] = []
    limit = settings.pop("limit", None)
    return Crew(board, Slots(board, work, limit, 0.0, folder / "ray", said.append, **settings), said)


@pytest.mark.slow
def test_slots_come_and_go_with_nodes_up_to_the_limit_over_all_and_rest_when_nothing_waits(
    cluster: Any, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "go"

    def put(*keys: str) -> None:
        payload = {"log": str(log), "waits_for": str(gate)}
        ray.get(held.board.put.remote([Cell(key, 0, 0, None, {"key": key, **payload}) for key in keys], {}))

    held = crew(tmp_path, make_work, limit=2, idle_s=2.0)
    small = cluster.add_node(num_cpus=1)
    put("one", "two", "three")
    held.until_slots(small.node_id)
    assert held.said == ["2 slots were asked for, 1 fit so far: each takes 1 CPU"]
    roomy = cluster.add_node(num_cpus=3)
    held.until_slots(small.node_id, roomy.node_id)
    until(lambda: held.snapshot().running == 2, PATIENCE_S)
    assert [len(team.slots) for team in held.slots.teams] == [1, 1]

    cluster.remove_node(small)
    held.until_slots(roomy.node_id)
    until(
        lambda: held.snapshot() and any(line.endswith("is gone; their cells go to others") for line in held.said),
        PATIENCE_S,
    )
    last = cluster.add_node(num_cpus=1)
    held.until_slots(roomy.node_id, last.node_id)
    gate.touch()
    until(lambda: held.snapshot().settled, PATIENCE_S)
    assert sorted(key for key, _ in notes(log, "ended")) == ["one", "three", "two"]
    assert [key for key, _ in notes(log, "begun")].count("two") == 1  # it ran on the node that stayed

    held.until_slots()
    until(lambda: not held.slots.teams, PATIENCE_S)
    put("four")
    until(lambda: held.snapshot().done == 4, PATIENCE_S)
    held.close()


@pytest.mark.slow
def test_ranks_on_two_nodes_train_a_cell_together_to_the_result_of_one(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    held = crew(tmp_path, make_training, ranks_per_cell=2)
    (tmp_path / "go").touch()
    ray.get(held.board.put.remote([Cell("cell", 0, 0, None, {"key": "cell", "folder": str(tmp_path)})], {}))
    until(lambda: held.snapshot().settled, PATIENCE_S)
    assert [set(team.nodes) for team in held.slots.teams] == [{node.node_id for node in nodes}]
    (event,) = ray.get(held.board.poll.remote(0))[1]
    alone, _ = trained(tmp_path / "alone", lambda *_: None, lambda: False)
    assert event.summary["losses"] == pytest.approx(losses(alone), rel=1e-5, abs=1e-5)
    assert len(set(notes(tmp_path / "log", "begun"))) == 2
    held.close()
