"""How slots are packed: what a cell takes of GPUs or CPUs, and which Ray trainers that makes on the nodes there are.

A *rank* is a process; a *slot* is what works off one cell at a time: one rank, or several that train the cell together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from trainers.errors import require

RULE = (
    "1, a whole number of GPUs that train each cell together, or one of several cells' share of a GPU: "
    "0.5, 0.33, 0.25, 0.2, … (0: CPUs alone)"
)
SMALLEST_SHARE = 0.01
AUTO = "auto"
"""Asks for the share that like cells took of a GPU's memory."""


@dataclass(frozen=True)
class Need:
    """What one slot takes: its `ranks`, each with as many `gpus` (a share where several ranks live on one GPU)."""

    ranks: int = 1
    gpus: float = 0.0

    def __str__(self) -> str:
        gpus = f", {self.ranks * self.gpus:g} GPU" if self.gpus else ""
        return f"{self.ranks} CPU{gpus}"


def need_of(gpus_per_cell: float, cpu_ranks: int = 1) -> Need:
    """What a cell with so many GPUs takes; UserError where they are neither whole nor an even share of one.

    Ranks that share a GPU never train one cell together (NCCL refuses that). `cpu_ranks`: without GPUs, how many
    processes train a cell together.
    """
    if gpus_per_cell == 0:
        require(cpu_ranks >= 1, "ranks per cell", cpu_ranks, "at least 1")
        return Need(cpu_ranks)
    require(cpu_ranks == 1, "ranks per cell", cpu_ranks, "1 where cells have GPUs: a GPU is a rank")
    if gpus_per_cell >= 1 and float(gpus_per_cell).is_integer():
        return Need(int(gpus_per_cell), 1.0)
    require(SMALLEST_SHARE <= gpus_per_cell < 1, "gpus per cell", gpus_per_cell, RULE)
    to_a_gpu = round(1 / gpus_per_cell)
    require(0 <= 1 + 1e-9 - to_a_gpu * gpus_per_cell <= 0.02, "gpus per cell", gpus_per_cell, RULE)
    return Need(1, share_of(to_a_gpu))


def share_of(to_a_gpu: int) -> float:
    """A GPU's share for each of so many ranks, in the ten-thousandths that Ray counts in."""
    return 10_000 // to_a_gpu / 10_000


@dataclass(frozen=True)
class Team:
    """The ranks of one Ray trainer: slots of a rank each on one node, or the one slot whose ranks train `together`.

    `nodes`: the node of each rank. `cpus`, `gpus`: of each rank. `first`: the number of its first slot on that node.
    """

    nodes: tuple[str, ...]
    cpus: int
    gpus: float
    together: bool = False
    first: int = 0

    @property
    def slots(self) -> list[str]:
        """Their names."""
        count = 1 if self.together else len(self.nodes)
        return [f"{self.nodes[0][:8]}/{self.first + number}" for number in range(count)]


def new_teams(
    nodes: Sequence[Mapping[str, Any]], there: Sequence[Team], need: Need, limit: int | None = None
) -> list[Team]:
    """The trainers for the room that those which are `there` leave on the living nodes of `ray.nodes()`.

    `limit`: slots over all nodes, those of `there` too (None: as many as fit). The roomiest node comes first; CPUs are
    shared out among a node's ranks. A slot of several ranks lies on one node where it can, else across nodes.
    """
    free = {node["NodeID"]: _free(node, there) for node in nodes if node["Alive"]}
    slots = _slots({name: room.ranks(need) for name, room in free.items()}, need.ranks)
    if limit is not None:
        slots = slots[: max(0, limit - sum(len(team.slots) for team in there))]
    count = Counter(node for slot in slots for node in slot)
    cpus = {node: max(1, free[node].cpus // count[node]) for node in count}
    gpus = {node: max(need.gpus, share_of(ceil(count[node] / free[node].gpus))) for node in count if need.gpus}
    number = Counter(team.nodes[0] for team in there for _ in team.slots)
    if need.ranks == 1:
        return [Team((node,) * count[node], cpus[node], gpus.get(node, 0.0), first=number[node]) for node in count]
    teams = []
    for slot in slots:
        fewest = min(cpus[node] for node in slot)
        teams.append(Team(slot, fewest, need.gpus, together=True, first=number[slot[0]]))
        number[slot[0]] += 1
    return teams


def lacking(nodes: Sequence[Mapping[str, Any]], need: Need) -> str:
    """Why these nodes can have no slot, however long one waits; "" where they can."""
    if new_teams(nodes, [], need):
        return ""
    total = Counter[str]()
    for node in nodes:
        total.update({name: node["Resources"].get(name, 0) for name in ("CPU", "GPU")} if node["Alive"] else {})
    return f"a cell needs {need}; the cluster has {total['CPU']:g} CPU, {total['GPU']:g} GPU"


@dataclass(frozen=True)
class _Room:
    cpus: int
    gpus: float

    def ranks(self, need: Need) -> int:
        """How many of these ranks fit."""
        return min(self.cpus, int(self.gpus / need.gpus + 0.01)) if need.gpus else self.cpus


def _free(node: Mapping[str, Any], there: Sequence[Team]) -> _Room:
    has, name = node["Resources"], node["NodeID"]
    cpus = sum(team.cpus * team.nodes.count(name) for team in there)
    gpus = sum(team.gpus * team.nodes.count(name) for team in there)
    return _Room(max(0, int(has.get("CPU", 0)) - cpus), max(0.0, int(has.get("GPU", 0)) - gpus))


def _slots(free: Mapping[str, int], ranks: int) -> list[tuple[str, ...]]:
    """The nodes of each slot's ranks: whole slots of the roomiest node first, then what is left over across nodes."""
    roomiest = sorted(free, key=lambda node: (-free[node], node))
    within = [(node,) * ranks for node in roomiest for _ in range(free[node] // ranks)]
    left = [node for node in sorted(free, key=lambda node: -(free[node] % ranks)) for _ in range(free[node] % ranks)]
    across = [tuple(left[start : start + ranks]) for start in range(0, len(left) - ranks + 1, ranks)]
    return within + across
