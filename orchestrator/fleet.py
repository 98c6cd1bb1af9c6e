"""What a cluster has, and may yet get, for a plan that is priced before it runs."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from pathlib import Path
from typing import Any

import torch
import yaml

from orchestrator.cluster import NAMED, closed, connected, joined, list_nodes, unjoined
from orchestrator.costs import Crew, Demand
from orchestrator.timings import Taken
from trainers.errors import UserError
from trainers.profiling import holds

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's file on its head."""
KIND = "accelerator_type:"
"""How Ray marks a node with its GPUs' kind."""
WITHOUT_BF16 = re.compile(
    r"(Quadro-)?(K\d+[XM]?|[PT]\d+|M(?![123]$)\d+M?)|T4G|G[PV]100|V100\w*|Tesla-.*|TITAN.*|RTX-8000|Quadro-RTX-.*|"
    r"(GeForce-)?(GTX.*|MX\d+|\d+MX|RTX-20[5-8]0.*)|P10\d-100|CMP-[345]0HX"
)
"""GPUs before Ampere, as Ray calls them, that have no arithmetic of bfloat16 (M1 to M3 are Apple's). The Quadro RTX
4000 to 6000 of 2018 have none either; where the driver does not call them NVIDIA's, Ray's name is a later one's."""
AMPERE = (8, 0)
"""From this compute capability on NVIDIA's GPUs have it."""
UNTOLD = "GPU"
"""The kind of GPUs whose node is not marked."""


@dataclass(frozen=True)
class Fleet:
    """GPUs by kind, as Ray calls it ("L4"; "GPU" where it tells none), and CPUs, over all nodes.

    `to_come`: how many GPUs the autoscaler may add to these. `cpus_a_gpu`: the fewest CPUs that a node has, or will
    have, for each of its GPUs (None: not known). `gpu_bytes`: memory of the smallest GPU (0: Ray does not tell).
    `bf16`: whether all its GPUs, and those that may come where the file of `ray up` tells their kind, have arithmetic
    of bfloat16: so a sweep that goes on there computes in the same as before, whichever nodes are up. Where nobody
    tells what may come (KubeRay) a pool of GPUs without it is known once one of them is up; `--set precision` is firm.
    """

    gpus: Mapping[str, int] = field(default_factory=dict)
    cpus: int = 0
    to_come: int = 0
    cpus_a_gpu: int | None = None
    gpu_bytes: int = 0
    bf16: bool = True

    @property
    def most_gpus(self) -> int:
        """Those that are there, and those that may come."""
        return sum(self.gpus.values()) + self.to_come

    def __str__(self) -> str:
        kinds = [f"{count} × {kind}" for kind, count in sorted(self.gpus.items())]
        return ", ".join([*kinds, f"{self.cpus} CPU"]) + (f", up to {self.to_come} GPU more" if self.to_come else "")


def here() -> Fleet:
    """The cluster's that a run would join, else this machine's; UserError where that cluster cannot be joined."""
    if not (address := joined()):
        return _this_machine(torch.cuda.device_count(), os.cpu_count() or 1)
    if why := closed(address):
        raise UserError(f"no Ray at {why}; {NAMED}")
    try:
        with connected(None):
            nodes = list_nodes()
    except Exception as error:
        raise unjoined(address, error) from error
    return fleet_of(nodes, bootstrap())


def _this_machine(gpus: int, cpus: int) -> Fleet:
    if not gpus:
        return Fleet({}, cpus)
    smallest = min(torch.cuda.get_device_properties(number).total_memory for number in range(gpus))
    bf16 = all(torch.cuda.get_device_capability(number) >= AMPERE for number in range(gpus))
    return Fleet({torch.cuda.get_device_name(0): gpus}, cpus, cpus_a_gpu=cpus // gpus, gpu_bytes=smallest, bf16=bf16)


def fleet_of(nodes: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None) -> Fleet:
    """Of the living nodes of `ray.nodes()`; `config`: the file of `ray up`, where there is one."""
    gpus, cpus = Counter[str](), 0
    for node in (node for node in nodes if node["Alive"]):
        has = node["Resources"]
        cpus += int(has.get("CPU", 0))
        kind = next((name.removeprefix(KIND) for name in has if name.startswith(KIND)), UNTOLD)
        gpus[kind] += int(has.get("GPU", 0))
    there = {kind: count for kind, count in gpus.items() if count}
    to_come = max(0, _most_gpus(config or {}) - sum(there.values()))
    living = [node["Resources"] for node in nodes if node["Alive"]]
    cpus_a_gpu = _cpus_a_gpu([*living, *(_to_come(config or {}) if to_come else [])])
    kinds = {name.removeprefix(KIND) for has in [*living, *_to_come(config or {})] for name in has}
    return Fleet(there, cpus, to_come, cpus_a_gpu, bf16=not any(map(WITHOUT_BF16.fullmatch, kinds)))


def precision_on(fleet: Fleet, gpus_per_cell: float | str | None) -> str:
    """What cells compute in unless the user says otherwise: bf16 where GPUs are asked for by number, are there or may
    come (the driver's own machine, a cluster's head, may have none), unless they are too old for it."""
    on_gpus = isinstance(gpus_per_cell, float) or fleet.most_gpus > 0
    return "bf16" if on_gpus and fleet.bf16 else "fp32"


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


MOST_CELLS = 8
"""Cells on one GPU at most, however little each takes: a bound of caution, beyond which nothing was tried."""


@dataclass(frozen=True)
class Fit:
    """How many cells of a plan share a GPU of `gpu_bytes`, at least 1, each of which takes what is `taken`, and what
    bounds their number."""

    cells: int
    bound: str
    taken: Taken
    gpu_bytes: int


def fit(fleet: Fleet, demand: Demand, at_once: float = inf) -> Fit | None:
    """How many cells a GPU is to have; None where it is not known what the cells take, or what the smallest GPU has.

    The bounds: the memory of the smallest GPU; a CPU for each cell; MOST_CELLS; and, where there are at most `at_once`
    cells at a time, the GPUs that are there, none of which is to be idle while others are shared.
    """
    taken, gpu_bytes = demand.taken, smallest_gpu(fleet, demand.gpus)
    if taken is None or not (fleet.most_gpus and gpu_bytes):
        return None
    cpus = inf if fleet.cpus_a_gpu is None else fleet.cpus_a_gpu
    bounds = {
        "memory": holds(taken.memory_bytes, gpu_bytes),
        "CPUs": cpus,
        "most": MOST_CELLS,
        "cells": at_once / max(1, sum(fleet.gpus.values())),
    }
    bound = min(bounds, key=lambda name: bounds[name])
    return Fit(max(1, ceil(bounds[bound])), bound, taken, gpu_bytes)


def smallest_gpu(fleet: Fleet, seen: Mapping[str, int]) -> int:
    """Bytes of the fleet's smallest GPU; 0 where that is not known.

    `seen`: bytes of the GPUs that cells ran on, by torch's names: what tells it of a cluster, whose Ray knows kinds
    alone. Of GPUs that are to come not even the kind is known: they are taken for the smallest that was seen.
    """
    if fleet.gpu_bytes:
        return fleet.gpu_bytes
    kinds = [kind for kind in fleet.gpus if kind != UNTOLD]
    known = {kind: [has for name, has in seen.items() if kind in re.split(r"\W+", name)] for kind in kinds}
    if not all(known.values()):
        return 0
    all_told = kinds and UNTOLD not in fleet.gpus and not fleet.to_come
    return min([has for each in known.values() for has in each] if all_told else seen.values(), default=0)


def _most_gpus(config: Mapping[str, Any]) -> int:
    """Of as many nodes as the file allows, those with most GPUs first."""
    left, total = config.get("max_workers", 0), 0
    kinds = [node for name, node in config.get("available_node_types", {}).items() if name != config["head_node_type"]]
    for node in sorted(kinds, key=lambda each: -each["resources"].get("GPU", 0)):
        count = min(left, node.get("max_workers", left))
        total, left = total + count * node["resources"].get("GPU", 0), left - count
    return total


def _to_come(config: Mapping[str, Any]) -> list[Mapping[str, float]]:
    """What nodes have of each kind that `ray up` may add."""
    kinds = config.get("available_node_types", {}).items()
    added = [node for name, node in kinds if name != config["head_node_type"] and node.get("max_workers", 1)]
    return [node["resources"] for node in added]


def _cpus_a_gpu(nodes: Sequence[Mapping[str, float]]) -> int | None:
    """The fewest CPUs for each GPU over the nodes that tell both; None where none does."""
    both = [(node["CPU"], node["GPU"]) for node in nodes if node.get("GPU") and "CPU" in node]
    return min((int(cpus / gpus) for cpus, gpus in both), default=None)


def bootstrap() -> dict[str, Any]:
    """The file of `ray up`, on the head; empty elsewhere."""
    try:
        found = yaml.safe_load(BOOTSTRAP.expanduser().read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
