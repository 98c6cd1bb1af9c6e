"""A node is announced to go, on a real cluster of Ray on this machine: what Ray says of a spot instance's warning."""

from pathlib import Path
from typing import Any

import pytest
import ray
from ray.core.generated import autoscaler_pb2

from orchestrator.board import BoardState, Cell
from tests.local_ray import PATIENCE_S
from tests.noted_work import notes, until
from tests.test_nodes import cluster, crew
from tests.trained_work import STEPS, losses, make_training, trained

__all__ = ["cluster"]


def drain(address: str, node: str) -> None:
    """Tell Ray what a provider's warning tells it: this node will be taken away."""
    reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    client: Any = ray._raylet.GcsClient(address=address)
    accepted, why = client.drain_node(node, reason, "a spot instance is taken back", 0)
    assert accepted, why


@pytest.mark.slow
def test_a_cell_whose_node_will_be_taken_away_goes_on_elsewhere_from_the_very_step(
    cluster: Any, tmp_path: Path
) -> None:
    """It stands at step 6; epochs end at 4, 8 and 12. What it comes to is what it would have come to undisturbed."""
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1) for _ in range(2))}
    held = crew(tmp_path, make_training)
    payload = {"key": "cell", "folder": str(tmp_path), "stops_at": 6}
    ray.get(held.board.put.remote([Cell("cell", 0, 0, None, payload)], {}))
    held.until_slots(*nodes)
    until(lambda: bool(notes(tmp_path / "log", "step 6")) and held.snapshot().running == 1, PATIENCE_S)
    (slot,) = [slot for slot, lease in held.snapshot().slots.items() if lease]
    (going,) = [node for node in nodes if node.startswith(slot.split("/")[0])]
    drain(cluster.address, going)
    until(lambda: held.snapshot().settled, PATIENCE_S)
    (event,) = ray.get(held.board.poll.remote(0))[1]
    assert event.summary is not None, event
    steps = [notes(tmp_path / "log", f"step {step}") for step in range(1, STEPS + 1)]
    assert [len(each) for each in steps] == [1] * STEPS
    before, after = ({pid for step in some for _, pid in step} for some in (steps[:6], steps[6:]))
    assert len(before) == len(after) == 1
    assert before != after
    alone, _ = trained(tmp_path / "alone", lambda *_: None, lambda: False)
    assert event.summary["losses"] == pytest.approx(losses(alone), rel=1e-6)
    held.until_slots(*(nodes.keys() - {going}))  # no new slot on a node that goes
    assert [line for line in held.said if "will be taken away; their cells write checkpoints" in line]
    held.close()


def test_a_slot_that_is_to_leave_gives_its_cell_back_takes_none_and_counts_no_more() -> None:
    board = BoardState()
    board.put([Cell(key, 0, 0, None, {}) for key in "ab"], {})
    held, other = board.take("x/0", 1), board.take("y/0", 1)
    assert isinstance(held, Cell)
    assert isinstance(other, Cell)
    board.leave(["x/0"])
    assert board.should_stop("x/0", 1)
    assert not board.should_stop("y/0", 1)
    assert board.failed("x/0", 1, held.key, "stopped", "told to stop")
    assert board.take("x/0", 1) == "closed"
    assert list(board.snapshot().slots) == ["y/0"]
    assert board.done("y/0", 1, other.key, {"valid_uar": 0.5})
    again = board.take("y/0", 1)
    assert isinstance(again, Cell)
    assert again.key == held.key
    assert not board.failures
