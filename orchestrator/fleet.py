"""What a cluster has, and may yet get, for a plan that is priced before it runs."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from orchestrator.cluster import connected, list_nodes
from orchestrator.costs import Crew

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's file on its head."""
KIND = "accelerator_type:"
"""How Ray marks a node with its GPUs' kind."""


@dataclass(frozen=True)
class Fleet:
    """GPUs by kind, as Ray calls it ("L4"; "GPU" where it tells none), and CPUs, over all nodes.

    `to_come`: how many GPUs the autoscaler may add to these.
    """

    gpus: Mapping[str, int] = field(default_factory=dict)
    cpus: int = 0
    to_come: int = 0

    @property
    def most_gpus(self) -> int:
        """Those that are there, and those that may come."""
        return sum(self.gpus.values()) + self.to_come

    def __str__(self) -> str:
        kinds = [f"{count} × {kind}" for kind, count in sorted(self.gpus.items())]
        return ", ".join([*kinds, f"{self.cpus} CPU"]) + (f", up to {self.to_come} GPU more" if self.to_come else "")


def here() -> Fleet:
    """The cluster's that $RAY_ADDRESS names, else this machine's."""
    if not os.environ.get("RAY_ADDRESS"):
        count = torch.cuda.device_count()
        return Fleet({torch.cuda.get_device_name(0): count} if count else {}, os.cpu_count() or 1)
    with connected(None):
        return fleet_of(list_nodes(), bootstrap())


def fleet_of(nodes: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None) -> Fleet:
    """Of the living nodes of `ray.nodes()`; `config`: the file of `ray up`, where there is one."""
    gpus, cpus = Counter[str](), 0
    for node in (node for node in nodes if node["Alive"]):
        has = node["Resources"]
        cpus += int(has.get("CPU", 0))
        kind = next((name.removeprefix(KIND) for name in has if name.startswith(KIND)), "GPU")
        gpus[kind] += int(has.get("GPU", 0))
    there = {kind: count for kind, count in gpus.items() if count}
    return Fleet(there, cpus, max(0, _most_gpus(config or {}) - sum(there.values())))


def crew_of(fleet: Fleet, slots: int | None, gpus_per_cell: float | None) -> Crew:
    """What cells will run on: one per GPU, or per CPU where no GPU is there nor may come.

    A GPU's name is kept only where all are of one kind and torch told it: Ray's shorter ones match no timing.
    """
    if gpus_per_cell == 0 or not fleet.most_gpus:
        count = slots or max(1, fleet.cpus)
        return Crew(count, max(1, fleet.cpus // count))
    each = gpus_per_cell or 1.0
    known = [kind for kind in fleet.gpus if " " in kind] if len(fleet.gpus) == 1 else []
    return Crew(slots or max(1, int(fleet.most_gpus / each)), each, "GPU", known[0] if known else "")


def _most_gpus(config: Mapping[str, Any]) -> int:
    """Of as many nodes as the file allows, those with most GPUs first."""
    left, total = config.get("max_workers", 0), 0
    kinds = [node for name, node in config.get("available_node_types", {}).items() if name != config["head_node_type"]]
    for node in sorted(kinds, key=lambda each: -each["resources"].get("GPU", 0)):
        count = min(left, node.get("max_workers", left))
        total, left = total + count * node["resources"].get("GPU", 0), left - count
    return total


def bootstrap() -> dict[str, Any]:
    """The file of `ray up`, on the head; empty elsewhere."""
    try:
        found = yaml.safe_load(BOOTSTRAP.expanduser().read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
