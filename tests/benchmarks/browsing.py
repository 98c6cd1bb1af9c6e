"""python -m tests.benchmarks.browsing [--configurations 300] [--store DIR]: how long does a look into MLflow take?

A sweep of configurations × 15 cells that no training made, of the size that real ones have (`tests.benchmarks.compare`
invents them), is mirrored into SQLite by the sweep's own way, with its test scores open. A real `mlflow server` serves
it on loopback. Timed are the requests that a browser's pages make, and, where there is a Chromium, those pages: from
the click until the rows, or the plot, are to be seen.
"""

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from orchestrator.answers.rows import Candidate, row
from orchestrator.mirrored import settings
from orchestrator.tracking import Tracker, default_uri
from tests import browsed
from tests.benchmarks.compare import FOLDS, LANGUAGES, cell
from tests.browser import CHROMIUM, Page, browser
from tests.mlflow_server import served
from tests.synthetic_results import spec

SWEEP = "benchmark"
LOOKS = 5

Line = tuple[str, list[float], str]
"""What was done, the seconds that it took each time, and what came."""


def fill(store: Path, configurations: int) -> float:
    """Mirror so many configurations; returns the seconds that a cell took, median."""
    draws, seconds = np.random.default_rng(0), []
    taus = [round(0.9 + 0.0999 * number / configurations, 6) for number in range(configurations)]
    known = {f"tau={tau:g}": settings(spec(tau), {}) for tau in taus}
    sender = Tracker(default_uri(store), SWEEP, "How long does a look take?", known)
    for tau, name in track(list(zip(taus, known, strict=True)), "filling MLflow", console=Console(stderr=True)):
        results = {(one, fold, 0): cell(tau, one, fold, draws) for fold in range(FOLDS) for one in LANGUAGES}
        candidate = Candidate(name, {place: result.spec.key() for place, result in results.items()}, {"tau": tau})
        own = row(candidate, results, LANGUAGES, held_out=("english",))
        began = time.perf_counter()
        for result in results.values():
            assert sender.log(result, name)
        assert sender.aggregate(own, opened=True)
        assert sender.open_tests(own, results.values())
        seconds.append((time.perf_counter() - began) / len(results))
    return float(np.median(seconds))


def requests(uri: str, experiment: str) -> Iterator[Line]:
    """What the pages ask of the server, asked without a browser."""
    newest = {"run_view_type": "ACTIVE_ONLY", "order_by": ["attributes.start_time DESC"]}
    filtered = {**newest, "filter": browsed.CONFIGURATIONS}
    for told, asked in (
        ("runs/search, the newest 50 of all", {**newest, "max_results": 50}),
        ("runs/search, tags.level = 'configuration', a page of 100", {**filtered, "max_results": 100}),
        ("runs/search, tags.level = 'configuration', all", {**filtered, "max_results": 1000}),
        (
            "runs/search, tags.level = 'cell' and tags.fold = '0', 100",
            {**filtered, "max_results": 100, "filter": CELLS},
        ),
    ):
        seconds, runs, size = [], [], 0
        for _ in range(LOOKS):
            began = time.perf_counter()
            answer = _post(f"{uri}/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": [experiment], **asked})
            seconds.append(time.perf_counter() - began)
            runs, size = json.loads(answer)["runs"], len(answer)
        yield told, seconds, f"{len(runs)} runs, {size / 1e6:.2f} MB"


CELLS = "tags.level = 'cell' and tags.fold = '0'"


def _post(url: str, body: dict[str, Any]) -> bytes:
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=300) as answer:
        content: bytes = answer.read()
    return content


async def pages(uri: str, experiment: str) -> list[Line]:
    """Seconds from the click until rows, or the plot, are to be seen, each time in a fresh browser."""
    lists, compares, own = [], [], dict[str, list[float]]()
    for _ in range(LOOKS):
        async with browser() as page:
            await browsed.prepare(page, experiment)
            began = time.perf_counter()
            await browsed.runs_page(page, uri, experiment, browsed.CONFIGURATIONS)
            await page.until(f"{browsed.MATCHING} > 0 && {browsed.ROWS}.length > 5")
            lists.append(time.perf_counter() - began)
            before = set(page.requests)
            began = time.perf_counter()
            await browsed.compare_all(page)
            await page.until(f"{browsed.AXES}.length > 1")
            compares.append(time.perf_counter() - began)
            _note(page, before, own)
    return [
        ("runs page, filtered, until its rows are there", lists, "a fresh browser"),
        ("all ticked, Compare, until the plot is there", compares, "100 runs: as many as the page has loaded"),
        *((f"… of that {name}", seconds, "slowest of a look") for name, seconds in own.items()),
    ]


def _note(page: Page, before: set[str], own: dict[str, list[float]]) -> None:
    """The slowest of each kind of request that Compare makes."""
    slowest: dict[str, float] = {}
    for number in set(page.requests) - before:
        asked = page.requests[number]
        name = asked.url.partition("/mlflow/")[2].partition("?")[0]
        if name in ("runs/search", "artifacts/list"):
            slowest[name] = max(slowest.get(name, 0.0), asked.seconds)
    for name, seconds in slowest.items():
        own.setdefault(name, []).append(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.browsing", description=__doc__)
    parser.add_argument("--configurations", type=int, default=300)
    parser.add_argument("--store", type=Path, help="where the database lies, and stays (default: a folder that goes)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = (chosen.store or Path(folder)).resolve()
        store.mkdir(parents=True, exist_ok=True)
        if not (store / "mlflow.db").exists():
            print(f"{fill(store, chosen.configurations):.3f} s a cell to mirror it (median)")
        size = (store / "mlflow.db").stat().st_size
        table = Table("what", "median s", "slowest s", "came", title=f"{SWEEP}: a database of {size / 1e6:.0f} MB")
        with served(store) as server:
            experiment = _experiment(server.uri)
            lines = list(requests(server.uri, experiment))
            lines += asyncio.run(pages(server.uri, experiment)) if CHROMIUM else []
        for told, seconds, came in lines:
            table.add_row(told, f"{median(seconds):.2f}", f"{max(seconds):.2f}", came)
        Console(width=140).print(table)


def _experiment(uri: str) -> str:
    url = f"{uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={SWEEP}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(json.loads(answer.read())["experiment"]["experiment_id"])


if __name__ == "__main__":
    main()
