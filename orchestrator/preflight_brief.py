"""The short form of preflight, for a sweep that joins a cluster: the same code, packages and store on every node."""

import platform
import uuid
from collections.abc import Mapping
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
"""A node that is slower than this is let be: its slots will come, or the engine will tell that none does."""


def agree(store: Path) -> None:
    """UserError in one line where a node has other code or packages than this process, or another store.

    Ray has to be connected. Packages are asked for by name and not imported, so that it takes about a second.
    """
    trace = store / f".agree-{uuid.uuid4().hex[:8]}"
    store.mkdir(parents=True, exist_ok=True)
    trace.touch()
    stores.send(trace)
    place = stores.portable(trace)
    try:
        waiting = {_ask(node, place): node["NodeManagerHostname"] for node in list_nodes() if node["Alive"]}
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=PATIENCE_S)
        ours = look(place)
        for each in ready:
            if wrong := _wrong(ours, each):
                raise UserError(f"{waiting[each]} {wrong}; python -m orchestrator.preflight tells more")
    finally:
        trace.unlink(missing_ok=True)
        stores.forget(trace)


def look(place: Path | stores.Place) -> dict[str, str]:
    """What a process has: versions by package, the code's fingerprint, and whether it sees the trace in the store."""
    found = {name: _version(name) for name in PINNED}
    code = fingerprint(CODE, [f"{name}/**/*.py" for name in PACKAGES])[:10]
    return {
        "processor": platform.machine(),
        **found,
        "code": code,
        "store": "seen" if stores.is_seen(stores.arrived(place)) else "",
    }


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What a node has otherwise, in words; "" where it has all as the driver."""
    if not theirs["store"]:
        return "does not see the driver's store: the same shared folder under the same path on every node, --store DIR"
    if theirs["code"] != ours["code"]:
        return f"has other code ({theirs['code']}, the driver {ours['code']}): `ray up` again, or --working-dir"
    wrong = [f"{name} {told} (the driver {ours[name]})" for name, told in theirs.items() if told != ours[name]]
    return f"has {', '.join(wrong)}: pip install -c constraints.txt there" if wrong else ""


def _ask(node: Mapping[str, Any], trace: Path | stores.Place) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(look).options(num_cpus=0, scheduling_strategy=there, max_retries=0).remote(trace)


def _wrong(ours: Mapping[str, str], answer: Any) -> str:
    try:
        return differing(ours, ray.get(answer))
    except ray.exceptions.RayTaskError as error:
        return f"cannot run this code: {str(error).strip().splitlines()[-1]}"
    except ray.exceptions.RayError:  # it left while it was asked
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
