"""The slots: one `TorchTrainer` per node, each rank of it a long-lived process that works off the board's cells.

When a process dies Ray Train starts that node's ranks anew; each cell then continues from its checkpoint.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from orchestrator.cluster import RAY_THREAD, list_nodes
from orchestrator.worker import Work, work_off

HOPELESS = 5
"""Ends of a node's trainer in a row, without a cell worked off in between, after which the run is given up."""


class HopelessError(RuntimeError):
    """Slots end again and again, and no cell is worked off."""


@dataclass(frozen=True)
class NodeSlots:
    """The slots of one node: how many, and the CPUs and GPUs of each."""

    node_id: str
    count: int
    cpus: int
    gpus: float

    @property
    def names(self) -> list[str]:
        return [f"{self.node_id[:8]}/{rank}" for rank in range(self.count)]


def share_out(nodes: Sequence[Mapping[str, Any]], limit: int | None, gpus_per_cell: float) -> list[NodeSlots]:
    """At most `limit` slots (None: all that fit) over the living nodes of `ray.nodes()`, the roomiest node first."""
    room = {node["NodeID"]: (node, _room(node["Resources"], gpus_per_cell)) for node in nodes if node["Alive"]}
    shares: list[NodeSlots] = []
    for node_id, (node, fits) in sorted(room.items(), key=lambda item: (-item[1][1], item[0])):
        count = fits if limit is None else min(fits, limit - sum(share.count for share in shares))
        if count > 0:
            cpus = max(1, int(node["Resources"].get("CPU", 1)) // count)
            shares.append(NodeSlots(node_id, count, cpus, gpus_per_cell))
    return shares


def _room(resources: Mapping[str, float], gpus_per_cell: float) -> int:
    cpus = int(resources.get("CPU", 0))
    return min(cpus, int(resources.get("GPU", 0) / gpus_per_cell)) if gpus_per_cell else cpus


@dataclass
class Slots:
    """Starts a trainer on every node that has room, as nodes join, and starts it anew if it ends by itself."""

    board: Any
    make_work: Callable[[], Work]
    limit: int | None
    gpus_per_cell: float
    scratch: Path
    notice: Callable[[str], None]

    def __post_init__(self) -> None:
        self.closing = False
        self.error: BaseException | None = None
        self._threads: dict[str, threading.Thread] = {}

    def tend(self) -> None:
        """Give each new node its trainer. To be called now and then."""
        for share in share_out(list_nodes(), self.limit, self.gpus_per_cell):
            if share.node_id not in self._threads:
                thread = threading.Thread(
                    target=self._keep, args=(share,), daemon=True, name=f"{RAY_THREAD} {share.node_id[:8]}"
                )
                self._threads[share.node_id] = thread
                thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the trainers of a closed board have ended."""
        ends_at = time.monotonic() + timeout_s
        for thread in self._threads.values():
            thread.join(max(0.0, ends_at - time.monotonic()))

    def end(self) -> None:
        """End all trainers at once, also those that still wait for a GPU."""
        for controller in ray.get(self.board.controllers.remote(), timeout=3.0):
            ray.kill(controller)

    def _keep(self, share: NodeSlots) -> None:
        ends = finished = 0
        while not self.closing:
            why = self._fit(share, f"{share.node_id[:8]}-{time.time_ns()}")
            if self.closing:
                return
            before, finished = finished, self._finished()
            ends = 1 if finished > before else ends + 1
            if ends >= HOPELESS:
                self.error = HopelessError(
                    f"the slots of node {share.node_id[:8]} ended {ends} times without finishing a cell: {why}"
                )
                return
            self.notice(f"the slots of node {share.node_id[:8]} ended ({why}); they start anew")
            ray.get(self.board.lost.remote(share.names, [], why))
            time.sleep(1.0)

    def _fit(self, share: NodeSlots, name: str) -> str:
        """Run a node's trainer to its end; the answer says why it ended."""
        try:
            _trainer(share, self, name).fit()
        except BaseException as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return "they had nothing to do"

    def _finished(self) -> int:
        try:
            _, _, snapshot = ray.get(self.board.poll.remote(0))
        except ray.exceptions.RayError:
            return 0
        return int(snapshot.done + snapshot.failed)


def _trainer(share: NodeSlots, slots: Slots, name: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig

    from orchestrator.light_trainer import LightTrainer

    scaling: dict[str, Any] = {
        "num_workers": share.count,
        "use_gpu": share.gpus > 0,
        "resources_per_worker": {"CPU": float(share.cpus), **({"GPU": share.gpus} if share.gpus else {})},
        "placement_strategy": "STRICT_PACK",
        "label_selector": {"ray.io/node-id": share.node_id},
    }
    return LightTrainer(
        work_off,
        train_loop_config={
            "board": slots.board,
            "make_work": slots.make_work,
            "names": share.names,
            "threads": share.cpus,
        },
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(**scaling),
        run_config=RunConfig(
            name=name,
            storage_path=str(slots.scratch),
            failure_config=FailureConfig(max_failures=-1),
            callbacks=_callbacks(slots.board, share),
        ),
    )


def _callbacks(board: Any, share: NodeSlots) -> list[Any]:
    """What a trainer's controller tells the board: its own handle, and which ranks died.

    Ray Train kills the peers of a dead rank and starts all anew; the peers bear no blame.
    """
    from ray.train import UserCallback
    from ray.train.v2._internal.execution.callback import ControllerCallback

    class Enlist(ControllerCallback):
        def after_controller_start(self, train_run_context: Any) -> None:  # noqa: ARG002
            board.enlist.remote(ray.get_runtime_context().current_actor)

    class Obituary(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, BaseException]) -> None:  # noqa: ARG002
            reasons = [f"{type(error).__name__}: {error}".splitlines()[0] for error in worker_exceptions.values()]
            board.lost.remote(share.names, [share.names[rank] for rank in worker_exceptions], reasons[0])

    return [Enlist(), Obituary()]
