"""Whether machines can run a sweep together: pure functions from what they told to rows of a table."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.preflight_node import Facts

SKEW_S = 2.0
"""Clocks may differ by this much: times in logs, MLflow and file dates stay in order."""
LEAST_GB = {"temporary files": 5.0, "store": 10.0}
"""Free disk: Ray spills and logs to the first; checkpoints, stages and results go to the second."""


@dataclass(frozen=True)
class Row:
    """A check's outcome: what was looked at, whether it is right, what was found, and what to do where it is not."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def rows(driver: Facts, nodes: Sequence[Facts]) -> list[Row]:
    """All that the machines' answers show; `driver` is the machine that asks."""
    every = [driver, *nodes]
    return [
        *(_versions(driver, nodes, name) for name in driver.versions),
        _gpus(nodes),
        _clocks(nodes),
        *(_disk(every, which) for which in LEAST_GB),
        _writable(every),
        _one_folder(every),
        _data(every),
        _prepared(every),
        _encoder(driver, nodes),
    ]


def ports(unreached: Mapping[str, Sequence[str]]) -> Row:
    """`unreached`: node -> the nodes at which it got no answer, on a port that was free there."""
    wrong = {node: f"does not reach {', '.join(names)}" for node, names in unreached.items() if names}
    remedy = "let nodes connect to each other on all ports (firewall, security group): ranks of a cell choose theirs"
    return Row(
        "nodes reach each other", not wrong, _unless(f"{len(unreached)}, on ports of their choice", wrong), remedy
    )


def _versions(driver: Facts, nodes: Iterable[Facts], name: str) -> Row:
    expected = driver.versions[name]
    others = {node.node: node.versions.get(name, "none") for node in nodes}
    wrong = {node: told for node, told in others.items() if told != expected}
    what = "code" if name == "foldwise" else name
    remedy = "the driver's folder to all nodes: `ray up` again" if name == "foldwise" else _pins()
    return Row(what, not wrong, _unless(expected, wrong, f"the driver has {expected}"), remedy)


def _pins() -> str:
    return "on every node: pip install -c constraints.txt -e '.[cluster]', with the driver's Python"


def _gpus(nodes: Sequence[Facts]) -> Row:
    wrong = {}
    for node in nodes:
        if node.ray_gpus and node.torch_gpus < node.ray_gpus:
            driver = f"{len(node.gpus)} by its driver" if node.gpus else "no working driver"
            wrong[node.node] = f"Ray counts {node.ray_gpus:g}, torch can use {node.torch_gpus} ({driver})"
        elif len(node.gpus) > node.ray_gpus:
            wrong[node.node] = f"{len(node.gpus)} there, Ray counts {node.ray_gpus:g}"
    kinds = Counter(f"{name} {gib:.0f} GiB" for node in nodes for name, gib in node.gpus)
    there = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items())) or "none: cells run on CPUs"
    remedy = "NVIDIA's driver for torch's CUDA (13: 580 or newer); ray start with the --num-gpus that are there"
    return Row("GPUs", not wrong, _unless(there, wrong), remedy)


def _clocks(nodes: Iterable[Facts]) -> Row:
    off = {node.node: node.skew_s for node in nodes}
    wrong = {node: f"off by {seconds:.1f} s" for node, seconds in off.items() if seconds > SKEW_S}
    return Row("clocks", not wrong, _unless(f"within {SKEW_S:g} s", wrong), "start chrony or systemd-timesyncd there")


def _disk(every: Iterable[Facts], which: str) -> Row:
    free = {each.node: (each.free_gb or {}).get(which, 0.0) for each in every}
    wrong = {node: f"{gb:.1f} GB" for node, gb in free.items() if gb < LEAST_GB[which]}
    good = f"{min(free.values()):.0f} GB or more"
    remedy = f"{LEAST_GB[which]:g} GB at least: make room, or choose another place ($TMPDIR, --store)"
    return Row(f"free disk, {which}", not wrong, _unless(good, wrong), remedy)


def _writable(every: Iterable[Facts]) -> Row:
    wrong = {each.node: each.store for each in every if each.store}
    remedy = (
        "mount it for writing, on a file system that renames and locks (NFS 4, EFS, Lustre), or a bucket by its URL"
    )
    return Row("store writable, atomic", not wrong, _unless("renames over, creates once, locks", wrong), remedy)


def _one_folder(every: Sequence[Facts]) -> Row:
    names = {each.node for each in every}
    unseen = {each.node: names.difference(each.seen) for each in every}
    wrong = {node: f"sees nothing of {', '.join(sorted(lost))}" for node, lost in unseen.items() if lost}
    if not wrong and sum(each.first for each in every) != 1:
        wrong = {each.node: "created a file that another had created" for each in every if each.first}
    return Row("store is one folder", not wrong, _unless(f"{len(names)} see each other's files", wrong), _mount())


def _mount() -> str:
    return "the same shared folder under the same path on every node: --store DIR"


def _data(every: Sequence[Facts]) -> Row:
    """Slots hear prepared audio, which lies in the store; recordings are needed by the driver alone."""
    driver = every[0]
    wrong = {each.node: "other files" for each in every[1:] if each.data and each.data != driver.data}
    told = f"{driver.data[:10]}; slots hear the store's prepared audio" if driver.data else "the demo's"
    return Row(
        "recordings", not wrong, _unless(told, wrong), "copy the driver's --data there, or remove the other copy"
    )


def _prepared(every: Sequence[Facts]) -> Row:
    wrong = {each.node: each.prepared[:10] or "none" for each in every[1:] if each.prepared != every[0].prepared}
    told = every[0].prepared[:10] or "none yet"
    return Row("prepared audio", not wrong, _unless(told, wrong, f"the driver has {told}"), _mount())


def _encoder(driver: Facts, nodes: Iterable[Facts]) -> Row:
    wrong = {each.node: each.encoder for each in (driver, *nodes) if each.encoder}
    expected = driver.encoder_fingerprint
    wrong |= {n.node: "other weights" for n in nodes if not n.encoder and n.encoder_fingerprint != expected}
    told = f"{expected[:10]}, loaded" if expected else "the demo's"
    return Row("encoder", not wrong, _unless(told, wrong), "--encoder with a folder that all nodes see, as the store's")


def _unless(good: str, wrong: dict[str, str], expected: str = "") -> str:
    told = "; ".join(f"{node}: {what}" for node, what in wrong.items())
    return good if not wrong else f"{told} ({expected})" if expected else told
