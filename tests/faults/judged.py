"""What is compared at the end of a disturbed sweep: ledger, MLflow, processes, shared memory and folders."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.ledger import Ledger
from tests.faults.command import Command

LETTING_GO_S = 60.0
"""How long processes of an ended sweep may take to be gone."""

HALF_WRITTEN = ("ray/*", "rehearsal-*", "checkpoints/*", "**/.*.partial", "**/*.tmp", "prepared/.scratch.*")


@dataclass
class Verdict:
    """Keys of cells, runs of MLflow by cell, and what was left; all of it empty after a sweep that lost nothing."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    mirrored: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Verdict") -> "Verdict":
        for name, values in vars(other).items():
            getattr(self, name).extend(values)
        return self

    @property
    def is_clean(self) -> bool:
        return not any(vars(self).values())


def numbers(store: Path) -> dict[str, str]:
    """Key -> everything of a result but how long it took and on which versions: curves and predictions, too."""
    ledger = Ledger(store)
    told: dict[str, str] = {}
    for light in ledger:
        whole = ledger.read(light.spec.key())
        assert whole is not None
        values = {name: value for name, value in whole.as_dict().items() if name not in ("seconds", "versions")}
        told[light.spec.key()] = json.dumps(values, sort_keys=True, default=lambda scalar: scalar.item())
    return told


def judge(command: Command, expected: dict[str, str], tracking_uri: str) -> Verdict:
    """The store of an ended sweep against the numbers of an undisturbed one."""
    found = numbers(command.store)
    beside = [path.name for pattern in ("*.differs.json*", "*.damaged*") for path in command.store.rglob(pattern)]
    return Verdict(
        lost=sorted(expected.keys() - found.keys()),
        doubled=[*sorted(found.keys() - expected.keys()), *beside],
        changed=sorted(key for key in found.keys() & expected.keys() if found[key] != expected[key]),
        mirrored=mirrored(tracking_uri, command.words[0], {key for key in expected if is_planned(expected[key])}),
        left=leavings(command),
    )


def is_planned(numbers_of_cell: str) -> bool:
    """Whether a result is of a configuration, which MLflow mirrors, and no floor."""
    method = json.loads(numbers_of_cell)["spec"]["method"]
    return method not in ("nuisance_only", "frozen_probe", "own_statistics")


def mirrored(uri: str, sweep: str, keys: set[str]) -> list[str]:
    """What MLflow has too few or too many runs of, or runs that are not finished."""
    from orchestrator.tracking.client import all_runs, connect

    client = connect(uri)
    experiment = client.get_experiment_by_name(sweep)
    if experiment is None:
        return [f"no experiment {sweep}"]
    runs = [run for run in all_runs(client, experiment.experiment_id) if run.data.tags.get("level") == "cell"]
    count = Counter(run.data.tags.get("cell", "") for run in runs)
    amiss = [f"{key[:12]}: {count[key]} runs" for key in sorted(keys | count.keys()) if count[key] != (key in keys)]
    return amiss + [f"{run.info.run_id}: {run.info.status}" for run in runs if run.info.status != "FINISHED"]


def leavings(command: Command) -> list[str]:
    """Processes, shared memory and half-written files that an ended sweep left."""
    ends_at = time.monotonic() + LETTING_GO_S
    while (living := command.left()) and time.monotonic() < ends_at:
        time.sleep(0.5)
    memory = [name for name in sorted(command.seen_memory) if Path(name).exists()]
    files = [str(path.relative_to(command.store)) for pattern in HALF_WRITTEN for path in command.store.glob(pattern)]
    return [*(process.command[:80] for process in living), *memory, *files]
