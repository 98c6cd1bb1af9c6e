"""The slots: Ray trainers whose ranks are long-lived processes that work off the board's cells.

One trainer per node has a slot in each of its ranks; where a cell takes several GPUs, one trainer is one slot of as
many ranks, on one node or across nodes. When a process dies Ray Train starts its trainer's ranks anew; each cell then
continues from its checkpoint.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from orchestrator.cluster import RAY_THREAD, list_nodes, resources
from orchestrator.joining import Joining
from orchestrator.messages import Demand
from orchestrator.packing import Need, Team, need_of, new_teams
from orchestrator.preflight_brief import Gate
from orchestrator.worker import Work, work_off
from trainers.errors import UserError

HOPELESS = 5
"""Ends of a trainer in a row, without a cell worked off in between, after which the run is given up."""
ASK_S = 5.0
"""Seconds between two looks at what there is to do."""
TEND_S = 1.0
"""Seconds between two looks at the nodes: each asks Ray's head for all of them."""

REFUSED_S = 120.0
"""Seconds without any slot, where a node is there that may have none, after which the run is given up."""


class HopelessError(RuntimeError):
    """Slots end again and again, and no cell is worked off."""


@dataclass
class _Kept:
    """A trainer and the thread that keeps it running; `over` once it is not to be started again, `leaving` once a node
    of it was announced to go."""

    team: Team
    name: str
    over: bool = False
    leaving: bool = False


@dataclass
class Slots:
    """Starts trainers where there is room, as nodes join, and starts them anew if they end by themselves.

    `limit`: slots over all nodes (None: all that fit). `gpus_per_cell`: as `packing.need_of` takes it; UserError where
    it does not. A trainer whose slots all had nothing to do for `idle_s`, while no cell waits, ends, so that its node
    can go; it is back when cells wait. `ranks_per_cell`: without GPUs, processes that train each cell together.
    `grows`: whether the cluster's autoscaler is asked for the room that is lacking. `gate`: which nodes may have slots.
    """

    board: Any
    make_work: Callable[[], Work]
    limit: int | None
    gpus_per_cell: float
    scratch: Path
    notice: Callable[[str], None]
    idle_s: float = 60.0
    ranks_per_cell: int = 1
    grows: bool = False
    gate: Gate | None = None

    def __post_init__(self) -> None:
        self.need: Need = need_of(self.gpus_per_cell, self.ranks_per_cell)
        self.closing = False
        self.error: BaseException | None = None
        self._kept: list[_Kept] = []
        self._threads: list[threading.Thread] = []
        self._wanted = True
        self._lacking = 0
        self._joining = Joining(self.need) if self.grows else None
        self._told_limit = self.limit is None
        self._answer: Any = None
        self._asked_at = time.monotonic()
        self._tend_at = 0.0
        self._refusal = ""
        self._served_at = time.monotonic()

    @property
    def teams(self) -> list[Team]:
        """The trainers that run, or start."""
        return [kept.team for kept in self._kept]

    def tend(self) -> None:
        """Give nodes that joined their trainers, end those of nodes that left. To be called often; it looks at once and
        then every second."""
        if time.monotonic() < self._tend_at:
            return
        self._tend_at = time.monotonic() + TEND_S
        nodes = list_nodes()
        self._bury({node["NodeID"] for node in nodes if node["Alive"]})
        leaving = draining()
        self._vacate(leaving)
        self._heed_demand()
        if self._wanted:
            staying = [node for node in nodes if node["Alive"] and node["NodeID"] not in leaving]
            for team in new_teams(self._admitted(staying), self.teams, self.need, self.limit):
                self._start(team)
        else:
            self._served_at = time.monotonic()
        self._tell_limit()
        self._ask_for_room()

    def _admitted(self, nodes: list[Any]) -> list[Any]:
        """The nodes that may have slots. Where some may not, no more are asked for: they would be alike, and these stay
        awake for it. Where nobody has had a slot for long, that is the end."""
        if self.gate is None:
            return nodes
        allowed = self.gate.admitted(nodes)
        self._refusal = self.gate.refusal(nodes)
        if not self._refusal or self._kept:
            self._served_at = time.monotonic()
        elif time.monotonic() - self._served_at > REFUSED_S:
            self.error = UserError(f"no node may have slots: {self._refusal}; all that is finished is kept")
        return allowed

    def join(self, timeout_s: float) -> None:
        """Wait until the trainers of a closed board have ended."""
        ends_at = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def end(self) -> None:
        """End all trainers at once, also those that still wait for a GPU."""
        if self._joining:
            self._joining.end()
        for controller in self._controllers().values():
            ray.kill(controller)

    def _start(self, team: Team) -> None:
        kept = _Kept(team, team.slots[0])
        name = f"{RAY_THREAD} {kept.name}"
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=self._keep, args=(kept,), daemon=True, name=name))
        self._kept.append(kept)
        self._threads[-1].start()

    def _controllers(self) -> dict[str, Any]:
        found: dict[str, Any] = ray.get(self.board.controllers.remote(), timeout=3.0)
        return found

    def _bury(self, living: set[str]) -> None:
        """End trainers that lost a node: they would wait for that very node for ever."""
        for kept in [kept for kept in self._kept if not living.issuperset(kept.team.nodes)]:
            kept.over = True
            self._kept.remove(kept)
            self.notice(f"a node of slots {', '.join(kept.team.slots)} is gone; their cells go to others")
            self.board.lost.remote(kept.team.slots, [], "its node is gone")
            with suppress(ray.exceptions.RayError, KeyError):  # a board built anew knows no controllers
                ray.kill(self._controllers()[kept.name])

    def _vacate(self, leaving: set[str]) -> None:
        """Let slots end whose node will be taken away; said again each time, since a board built anew knows nothing."""
        for kept in [kept for kept in self._kept if leaving.intersection(kept.team.nodes)]:
            self.board.leave.remote(kept.team.slots)
            if not kept.leaving:
                kept.leaving = True
                slots = ", ".join(kept.team.slots)
                self.notice(
                    f"a node of slots {slots} will be taken away; their cells write checkpoints and go to others"
                )

    def _heed_demand(self) -> None:
        """Now and then: let trainers end that have nothing to do, and want none while no cell waits for one."""
        if self._answer is None:
            if time.monotonic() - self._asked_at > min(ASK_S, self.idle_s):
                self._answer = self.board.demand.remote(self.idle_s)
            return
        if not ray.wait([self._answer], timeout=0.0)[0]:
            return
        demand: Demand = ray.get(self._answer)
        self._answer, self._asked_at = None, time.monotonic()
        self._wanted = demand.waiting > demand.free
        self._lacking = max(0, demand.waiting - demand.free)
        for kept in [] if demand.waiting else self._kept:
            if demand.idle and set(kept.team.slots) <= set(demand.idle):
                self.board.rest.remote(kept.team.slots)

    def _ask_for_room(self) -> None:
        """Where cells wait for slots and no node has room for these, a cluster that can grow is told so."""
        if self._joining:
            count = sum(len(team.slots) for team in self.teams)
            most = self._lacking if self.limit is None else min(self._lacking, self.limit - count)
            self._joining.want(0 if self.closing or self._refusal else max(0, most))

    def _tell_limit(self) -> None:
        """Say once that fewer slots fit than were asked for."""
        count = sum(len(team.slots) for team in self.teams)
        if not self._told_limit and 0 < count < (self.limit or 0):
            self._told_limit = True
            self.notice(f"{self.limit} slots were asked for, {count} fit so far: each takes {self.need}")

    def _keep(self, kept: _Kept) -> None:
        ends = finished = 0
        team = kept.team
        try:
            while not self.closing and not kept.over:
                why = self._fit(kept, f"{kept.name.replace('/', '-')}-{time.time_ns()}")
                if self.closing or kept.over or kept.leaving or not why:
                    return
                before, finished = finished, self._finished()
                ends = 1 if finished > before else ends + 1
                if ends >= HOPELESS:
                    self.error = HopelessError(
                        f"slots {', '.join(team.slots)} ended {ends} times without finishing a cell: {why}"
                    )
                    return
                self.notice(f"slots {', '.join(team.slots)} ended ({why}); they start anew")
                ray.get(self.board.lost.remote(team.slots, [], why))
                time.sleep(1.0)
        finally:
            with suppress(ValueError):  # its node left, and it with it
                self._kept.remove(kept)

    def _fit(self, kept: _Kept, name: str) -> str:
        """Run a trainer to its end; the answer says what was wrong, "" where its slots had nothing more to do."""
        from orchestrator.light_trainer import remove_rooms

        try:
            _trainer(kept, self, name).fit()
        except BaseException as error:
            with suppress(ray.exceptions.RayError):
                remove_rooms(name)
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return ""

    def _finished(self) -> int:
        try:
            return int(ray.get(self.board.ended.remote()))
        except ray.exceptions.RayError:
            return 0


def draining() -> set[str]:
    """Nodes that Ray was told will be taken away: spot instances, pods that are deleted, nodes that idle."""
    read: Any = ray._private.state.state.get_draining_nodes
    return set(read())


def _trainer(kept: _Kept, slots: Slots, name: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig

    from orchestrator.light_trainer import LightTrainer

    team = kept.team
    scaling: dict[str, Any] = {
        "num_workers": len(team.nodes),
        "use_gpu": team.gpus > 0,
        "resources_per_worker": {"CPU": float(team.cpus), **({"GPU": team.gpus} if team.gpus else {})},
        "placement_strategy": "STRICT_PACK" if len(set(team.nodes)) == 1 else "PACK",
        "label_selector": [{"ray.io/node-id": node} for node in team.nodes],
    }
    kept_where: dict[str, Any] = {"name": name, "storage_path": str(slots.scratch)}
    if not team.gpus and resources().get("GPU", 0):  # Ray leaves all GPUs in sight of those who ask for none
        kept_where["worker_runtime_env"] = {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
    trainer = LightTrainer(
        work_off,
        train_loop_config={
            "board": slots.board,
            "make_work": slots.make_work,
            "slots": team.slots,
            "threads": team.cpus,
            "together": team.together,
        },
        torch_config=TorchConfig(backend=backend(team)),
        scaling_config=ScalingConfig(**scaling),
        run_config=RunConfig(
            **kept_where, failure_config=FailureConfig(max_failures=-1), callbacks=_callbacks(slots.board, kept, name)
        ),
    )
    trainer.alone = not slots.grows
    return trainer


def backend(team: Team) -> str:
    """What torch.distributed speaks among a trainer's ranks: NCCL where they train together on GPUs."""
    return "cpu:gloo,cuda:nccl" if team.together and team.gpus else "gloo"


def _callbacks(board: Any, kept: _Kept, run: str) -> list[Any]:
    """What a trainer's controller tells the board: its own handle, and which ranks died; what it reserves bears a name.

    Ray Train kills the peers of a dead rank and starts all anew; the peers bear no blame, unless they are one slot.
    """
    from ray.train import UserCallback
    from ray.train.v2._internal.execution.callback import ControllerCallback

    from orchestrator.light_trainer import name_rooms

    name, slots, together = kept.name, kept.team.slots, kept.team.together

    class Enlist(ControllerCallback):
        def after_controller_start(self, train_run_context: Any) -> None:  # noqa: ARG002
            name_rooms(run)
            board.enlist.remote(name, ray.get_runtime_context().current_actor)

    class Obituary(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, BaseException]) -> None:  # noqa: ARG002
            reasons = [f"{type(error).__name__}: {error}".splitlines()[0] for error in worker_exceptions.values()]
            blamed = slots if together else [slots[rank] for rank in worker_exceptions]
            board.lost.remote(slots, blamed, reasons[0])

    return [Enlist(), Obituary()]
