"""The short form of preflight, for a sweep that joins a cluster, and for each node that joins later: the same code,
packages and store."""

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray

from orchestrator.cluster import list_nodes
from orchestrator.preflight_node import CODE, PACKAGES, fingerprint
from trainers import stores
from trainers.errors import UserError

PINNED = ("torch", "torchaudio", "transformers", "numpy", "scikit-learn", "soxr", "audiomentations")
"""All that a cell's numbers depend on. That Ray and Python are the driver's Ray sees to itself."""
PATIENCE_S = 30.0
"""A node that is slower than this is let in: its slots will come, or the engine will tell that none does."""


Node = Mapping[str, Any]
"""As `list_nodes` has them."""


@dataclass
class Gate:
    """Whom a sweep lets have slots: nodes with the driver's code, packages and store.

    `trace`: a file of the store that is there as long as nodes may join, and is like no other sweep's. Ray has to be
    connected. Packages are asked for by name and not imported, so that it takes about a second.
    """

    trace: Path
    notice: Callable[[str], None]
    _admitted: set[str] = field(default_factory=set)
    _refused: dict[str, str] = field(default_factory=dict)
    _asked: dict[str, tuple[Any, float]] = field(default_factory=dict)

    def agree(self) -> None:
        """UserError in one line where a node that is there now differs. One that does not answer in time is let in."""
        nodes = [node for node in list_nodes() if node["Alive"]]
        waiting = {self._ask(node): node for node in nodes}
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=PATIENCE_S)
        for each in ready:
            if wrong := _wrong(self._ours, each):
                raise UserError(f"{_name(waiting[each])} {wrong}; python -m orchestrator.preflight tells more")
        self._admitted = {node["NodeID"] for node in nodes}

    def admitted(self, nodes: Sequence[Node]) -> list[Node]:
        """Of these nodes those that may have slots by now. Those that are new are asked, and nobody waits for them; one
        that differs is told in a line, once. Who is slow is let in until the answer comes."""
        for node in nodes:
            if node["NodeID"] not in self._admitted | self._refused.keys():
                self._look_at(node)
        return [node for node in nodes if node["NodeID"] in self._admitted or self._is_slow(node)]

    def refusal(self, nodes: Iterable[Node]) -> str:
        """Why one of these nodes has no slots, "" where all that have answered may have some."""
        return next((self._refused[node["NodeID"]] for node in nodes if node["NodeID"] in self._refused), "")

    def _look_at(self, node: Node) -> None:
        number = node["NodeID"]
        if number not in self._asked:
            self._asked[number] = (self._ask(node), time.monotonic())
        answer, since = self._asked[number]
        if not ray.wait([answer], timeout=0)[0]:
            return
        if _is_lost(answer):
            self._asked[number] = (self._ask(node), since)
        elif wrong := _wrong(self._ours, answer):
            self._refused[number] = f"{_name(node)} {wrong}"
            self.notice(f"{_name(node)} has joined and gets no cells: it {wrong}")
        else:
            self._admitted.add(number)

    def _is_slow(self, node: Node) -> bool:
        number = node["NodeID"]
        return number not in self._refused and time.monotonic() - self._asked[number][1] > PATIENCE_S

    def _ask(self, node: Node) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asking = ray.remote(look).options(num_cpus=0, scheduling_strategy=there, max_retries=0)
        return asking.remote(stores.portable(self.trace))

    @cached_property
    def _ours(self) -> dict[str, str]:
        return look(self.trace)


def look(place: Path | stores.Place) -> dict[str, str]:
    """What a process has: versions by package, the code's fingerprint, and whether it sees the trace in the store."""
    found = {name: _version(name) for name in PINNED}
    code = fingerprint(CODE, [f"{name}/**/*.py" for name in PACKAGES])[:10]
    return {
        "processor": platform.machine(),
        **found,
        "code": code,
        "store": _seen(stores.arrived(place)),
    }


def _seen(trace: Path) -> str:
    """What tells the trace from another of its name, which an earlier sweep may have left in a folder of this node's
    own; "" where there is none. The one in a bucket is removed when its sweep ends."""
    if stores.behind(trace):
        return "seen" if stores.is_seen(trace) else ""
    try:
        return hashlib.sha256(trace.read_bytes()).hexdigest()[:10]
    except OSError:
        return ""


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What a node has otherwise, in words; "" where it has all as the driver."""
    if theirs["store"] != ours["store"]:
        return "does not see the driver's store: the same shared folder under the same path on every node, --store DIR"
    if theirs["code"] != ours["code"]:
        return f"has other code ({theirs['code']}, the driver {ours['code']}): `ray up` again, or --working-dir"
    wrong = [f"{name} {told} (the driver {ours[name]})" for name, told in theirs.items() if told != ours[name]]
    return f"has {', '.join(wrong)}: pip install -c constraints.txt there" if wrong else ""


def _name(node: Node) -> str:
    return str(node["NodeManagerHostname"])


def _is_lost(answer: Any) -> bool:
    """Whether the question did not get through: its process died, say."""
    try:
        ray.get(answer)
    except ray.exceptions.RayTaskError:
        return False
    except ray.exceptions.RayError:
        return True
    return False


def _wrong(ours: Mapping[str, str], answer: Any) -> str:
    try:
        return differing(ours, ray.get(answer))
    except ray.exceptions.RayTaskError as error:
        return f"cannot run this code: {str(error).strip().splitlines()[-1]}"
    except ray.exceptions.RayError:  # it left while it was asked, or its process died
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
