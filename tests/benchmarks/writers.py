"""python -m tests.benchmarks.writers [--writers 20] [--configurations 2]: twenty sweeps into one MLflow at once.

Each writer is a process with a sweep of configurations × 15 results of the size of real ones
(`tests.benchmarks.compare` invents them), which it sends as a sweep does: cells, means, opened test scores, the table.
Four ways: one writer into SQLite, as without a server; one, and all, into an `mlflow server` before a PostgreSQL of its
own; and all of them into one experiment, as when as many people run the same sweep. Then every run, parameter and point
of the database is compared with what was sent.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy
from rich.console import Console
from rich.table import Table

from orchestrator import mirrored
from orchestrator.answers.rows import Candidate, row
from orchestrator.tracking import Tracker
from tests.benchmarks.compare import FOLDS, LANGUAGES, cell
from tests.benchmarks.databases import lacking, mlflow_server, postgres
from tests.benchmarks.processes import descendants
from tests.synthetic_results import spec
from trainers.result import Result

WORKERS = 4
"""Of the server: MLflow's own number."""

Points = Counter[tuple[str, int, float]]


@dataclass(frozen=True)
class Sent:
    """What a writer sent: seconds of the clock and of its processor, and by (experiment, cell) its parameters and
    points. `lost`: what its tracker warned of."""

    began: float
    ended: float
    cpu_s: float
    cells: Mapping[tuple[str, str], tuple[int, Points]]
    lost: tuple[str, ...]


def write(uri: str, experiment: str, number: int, configurations: int, at: float) -> Sent:
    """Send one sweep, beginning at this time of the clock."""
    draws = np.random.default_rng(number)
    taus = [round(0.9 + 0.0001 * (number * configurations + one), 6) for one in range(configurations)]
    known = {f"tau={tau:g}": mirrored.settings(spec(tau), {}) for tau in taus}
    made = [
        (name, {(one, fold, 0): cell(tau, one, fold, draws) for fold in range(FOLDS) for one in LANGUAGES})
        for tau, name in zip(taus, known, strict=True)
    ]
    import mlflow  # noqa: F401

    time.sleep(max(0.0, at - time.time()))
    began, before = time.time(), time.process_time()
    with warnings.catch_warnings(record=True) as lost:
        warnings.simplefilter("always")
        _send(Tracker(uri, experiment, "How many writers?", known), made)
    took = time.process_time() - before
    cells = {(experiment, one.spec.key()): expected(one) for _, results in made for one in results.values()}
    return Sent(began, time.time(), took, cells, tuple(str(each.message) for each in lost if "MLflow" in str(each)))


def _send(tracker: Tracker, made: Sequence[tuple[str, Mapping[Any, Result]]]) -> None:
    for name, results in made:
        for result in results.values():
            tracker.log(result, name)
    for name, results in made:
        candidate = Candidate(name, {place: result.spec.key() for place, result in results.items()}, {})
        own = row(candidate, results, LANGUAGES, held_out=("english",))
        tracker.aggregate(own, opened=True)
        tracker.open_tests(own, results.values())
    tracker.artifact("comparison.md", "a table")
    tracker.close()


def expected(result: Result) -> tuple[int, Points]:
    """How many parameters, and which points, MLflow is to have of a cell."""
    single = {**mirrored.validation(result), **mirrored.sealed(result)}
    points = Counter((name, 0, float(value)) for name, value in single.items())
    points.update((name, step, float(value)) for step, name, value in mirrored.curves(result))
    return len(mirrored.cell_params(result)), points


def check(database: str, sent: Sequence[Sent]) -> dict[str, int]:
    """Compare every cell's runs, parameters and points in the database with what was sent; all but the first two
    numbers are to be 0."""
    wanted = {place: own for one in sent for place, own in one.cells.items()}
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        runs = connection.execute(sqlalchemy.text(RUNS)).all()
        params = Counter({row.run_uuid: row.many for row in connection.execute(sqlalchemy.text(PARAMS))})
        points: dict[str, Points] = {number: Counter() for number, *_ in runs}
        for number, name, step, value in connection.execute(sqlalchemy.text(METRICS)):
            if number in points:
                points[number][name, step, value] += 1
    engine.dispose()
    there = Counter((experiment, key) for _, experiment, key, _ in runs)
    found = {
        "runs": len(runs),
        "points": sum(own.total() for own in points.values()),
        "runs lost": len(wanted.keys() - there.keys()),
        "runs doubled": sum(count - 1 for count in there.values()),
        "runs that nobody sent": len(there.keys() - wanted.keys()),
        "runs unfinished": sum(status != "FINISHED" for *_, status in runs),
        "points lost": 0,
        "points doubled or false": 0,
        "parameters lost": 0,
    }
    for number, experiment, key, _ in runs:
        count, own = wanted.get((experiment, key), (0, Counter()))
        found["points lost"] += (own - points[number]).total()
        found["points doubled or false"] += (points[number] - own).total()
        found["parameters lost"] += count - params[number]
    found["points lost"] += sum(wanted[place][1].total() for place in wanted.keys() - there.keys())
    return found


RUNS = """SELECT runs.run_uuid, experiments.name, tags.value, runs.status FROM runs
    JOIN experiments USING (experiment_id) JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'cell'
    WHERE runs.lifecycle_stage = 'active'"""
PARAMS = "SELECT run_uuid, count(*) AS many FROM params GROUP BY run_uuid"
METRICS = "SELECT run_uuid, key, step, value FROM metrics"


def at_once(uri: str, writers: int, configurations: int, one_experiment: bool) -> list[Sent]:
    """So many processes, which begin together."""
    names = ["together" if one_experiment else f"sweep_{number}" for number in range(writers)]
    with ProcessPoolExecutor(writers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_ready, range(writers)))
        at = time.time() + 8.0 + writers
        asked = [pool.submit(write, uri, name, number, configurations, at) for number, name in enumerate(names)]
        return [one.result() for one in asked]


def _ready(_: int) -> None:
    time.sleep(0.2)


def measure(way: str, writers: int, configurations: int) -> dict[str, Any]:
    """One way: runs and points a second, processor seconds of each side per run, and what `check` found."""
    with ExitStack() as stack:
        if way == "sqlite":
            database = uri = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/mlflow.db"
            sides = {}
        else:
            cluster = stack.enter_context(postgres())
            server = stack.enter_context(mlflow_server(cluster.uri, WORKERS))
            database, uri = cluster.uri, server.uri
            sides = {"server": server.pid, "PostgreSQL": cluster.pid}
        before = {name: tree_cpu_s(pid) for name, pid in sides.items()}
        sent = at_once(uri, writers, configurations, way == "one experiment")
        used = {name: tree_cpu_s(pid) - before[name] for name, pid in sides.items()}
        found = check(database, sent)
    took = max(one.ended for one in sent) - min(one.began for one in sent)
    per_run = {"writer": sum(one.cpu_s for one in sent), **used}
    cells = sum(len(one.cells) for one in sent)
    return {
        "writers": writers,
        "s": took,
        "runs/s": cells / took,
        "points/s": found["points"] / took,
        **{f"{name}: CPU ms a run": 1e3 * value / cells for name, value in per_run.items()},
        **found,
        "warnings": len([told for one in sent for told in one.lost]),
        "told": next((told for one in sent for told in one.lost), ""),
    }


def tree_cpu_s(root: int) -> float:
    """Processor seconds of a process and of all below it, those that have ended among them."""
    used = 0
    for pid in descendants(root):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used += sum(int(stat[place]) for place in (11, 12, 13, 14))
    return used / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.writers", description=__doc__)
    parser.add_argument("--writers", type=int, default=20)
    parser.add_argument("--configurations", type=int, default=2, help="of each writer; 15 cells each")
    parser.add_argument("--ways", nargs="+", default=["sqlite", "one", "many", "one experiment"])
    asked = parser.parse_args()
    if lack := lacking():
        print(f"skipped: {lack}")
        return
    load = os.getloadavg()[0]
    every = {}
    for way in asked.ways:
        every[way] = measure(way, 1 if way in ("sqlite", "one") else asked.writers, asked.configurations)
        print(json.dumps({way: every[way]}), flush=True)
    Console(width=120).print(shown(every))
    print(f"{os.cpu_count()} cores; load before {load:.1f}, after {os.getloadavg()[0]:.1f}")


TITLES = {
    "sqlite": "SQLite",
    "one": "server, PostgreSQL",
    "many": "the same, at once",
    "one experiment": "at once, one experiment",
}


def shown(every: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("", *(TITLES[way] for way in every))
    for name in dict.fromkeys(name for measured in every.values() for name in measured if name != "told"):
        values = [measured.get(name, "") for measured in every.values()]
        table.add_row(name, *(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in values))
    return table


if __name__ == "__main__":
    main()
