"""The ledger's mirror in MLflow: one run per configuration, one child run per cell. The only file that knows MLflow.

Runs are found again by their tags (configuration, cell), so replaying the ledger adds what is missing and doubles
nothing; a run that a crash left half-written is replaced. Nothing of the test speech is written before `open_tests`.
MLflow takes seconds to import, so that happens when the first thing is logged.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator import mirrored
from orchestrator.answers.rows import Row
from trainers.errors import unknown
from trainers.result import Result, Scores

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")

RETRY_AFTER_S = 60.0
"""How long nothing is sent after a failure, so that a server that is down does not hold up the sweep."""

PARENT = "mlflow.parentRunId"
BATCH = 1000
PARAMS_BATCH = 100

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default waits four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def default_uri(store: Path) -> str:
    """MLflow's database beside the ledger."""
    return f"sqlite:///{store.resolve()}/mlflow.db"


class Tracker:
    """Mirrors one sweep. A server that cannot be reached costs a warning, never the sweep. Threads may share it.

    `configurations`: name -> all settings that its cells share. Configurations of the same name and other settings
    (a sweep run again with more steps) are other runs. `artifacts`: where a database's files lie, by default
    `mlartifacts` beside a SQLite file; a server keeps its own. UserError for a tracking URI of unknown kind.
    """

    def __init__(
        self,
        tracking_uri: str,
        sweep_name: str,
        description: str,
        configurations: Mapping[str, Mapping[str, Any]],
        *,
        artifacts: Path | None = None,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        if urlsplit(tracking_uri).scheme.split("+")[0] not in SCHEMES:
            raise unknown("kind of tracking URI", tracking_uri, SCHEMES)
        self._uri, self._sweep, self._description = tracking_uri, sweep_name, description
        self._settings = {name: mirrored.plain(settings) for name, settings in configurations.items()}
        self._artifacts = artifacts or _beside(tracking_uri)
        self._retry_after_s, self._silent_until = retry_after_s, 0.0
        self._mirror: _Mirror | None = None
        self._one_at_a_time = Lock()

    def know(self, configurations: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in configurations that came later."""
        self._settings |= {name: mirrored.plain(settings) for name, settings in configurations.items()}

    def log(self, result: Result, configuration: str) -> bool:
        """Mirror a cell: parameters, curves, validation scores, facts. Says whether MLflow has it now."""
        settings = self._settings[configuration]
        return self._attempt(lambda mirror: mirror.add_cell(mirror.parent(configuration, settings), result))

    def logged(self, configuration: str, keys: Iterable[str]) -> set[str]:
        """Those of the cells that MLflow has already; empty where it cannot be reached."""
        found: set[str] = set()

        def look(mirror: "_Mirror") -> None:
            parent = mirror.parent(configuration, self._settings[configuration])
            found.update(key for key in keys if (parent, key) in mirror.cells)

        self._attempt(look)
        return found

    def aggregate(self, row: Row) -> bool:
        """Write a configuration's means over folds of validation scores; ends its run where all cells are there."""
        settings = self._settings[row.name]
        return self._attempt(lambda mirror: mirror.sum_up(mirror.parent(row.name, settings), row))

    def open_tests(self, row: Row, results: Iterable[Result]) -> bool:
        """Write the test scores of a configuration and of those of its cells that MLflow has (`log` first)."""
        settings = self._settings[row.name]
        return self._attempt(lambda mirror: mirror.open(mirror.parent(row.name, settings), row, results))

    def diagnose(self, configuration: str, told: str) -> bool:
        """Tag a configuration's run with the failures that were found in it ("" where there were none)."""
        settings = self._settings[configuration]
        return self._attempt(lambda mirror: mirror.tag(mirror.parent(configuration, settings), "diagnosis", told))

    def artifact(self, name: str, text: str) -> bool:
        """Keep a text of the whole sweep (a table), in a run of its own with `level` = `sweep`."""
        return self._attempt(lambda mirror: mirror.keep(name, text))

    def forget(self, keys: Iterable[str]) -> bool:
        """Delete the runs of cells whose results were set aside, so that their new numbers are written."""
        return self._attempt(lambda mirror: mirror.forget(frozenset(keys)))

    def close(self) -> None:
        """Mark the configurations that are not complete as stopped."""
        if self._mirror is not None:
            self._attempt(lambda mirror: mirror.stop())

    def _attempt(self, action: Callable[["_Mirror"], object]) -> bool:
        with self._one_at_a_time:
            if time.monotonic() < self._silent_until:
                return False
            try:
                if self._mirror is None:
                    self._mirror = _Mirror(_client(self._uri), self._sweep, self._description, self._artifacts)
                action(self._mirror)
            except Exception as error:  # MLflow's, the database's, the network's: none may end a sweep
                self._rest(error)
                return False
            return True

    def _rest(self, error: Exception) -> None:
        """Send nothing for a while, then look anew at what is there."""
        self._mirror = None
        self._silent_until = time.monotonic() + self._retry_after_s
        told = str(error).partition("\n")[0][:200] or type(error).__name__
        warnings.warn(f"MLflow at {self._uri}: {told}; what is missing there is sent at the next run", stacklevel=4)


class _Mirror:
    """What one experiment holds, and how to add to it. Every method may raise whatever MLflow does."""

    def __init__(self, client: "MlflowClient", sweep: str, description: str, artifacts: Path | None) -> None:
        self.client, self.sweep = client, sweep
        self.experiment = _experiment(client, sweep, artifacts)
        client.set_experiment_tag(self.experiment, "mlflow.note.content", description)
        self.parents: dict[str, str] = {}
        self.cells: dict[tuple[str, str], str] = {}
        self.opened: set[str] = set()
        self.summary: str | None = None
        self.numbers: dict[str, dict[str, float]] = {}
        for run in self._runs():
            self._remember(run)

    def parent(self, name: str, settings: Mapping[str, str]) -> str:
        """The id of a configuration's run, made where there is none."""
        known = mirrored.digest(name, settings)
        if known not in self.parents:
            tags = mirrored.configuration_tags(self.sweep)
            number = self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
            self._set(number, settings)
            self.client.set_tag(number, "configuration", known)
            self.parents[known] = number
        return self.parents[known]

    def add_cell(self, parent: str, result: Result) -> None:
        key = result.spec.key()
        if (parent, key) in self.cells:
            return
        now = _now_ms()
        began = now - int(1000 * result.seconds.get("total", 0.0))
        tags = {PARENT: parent, **mirrored.cell_tags(result)}
        run = self.client.create_run(self.experiment, began, tags, mirrored.cell_title(result))
        number = run.info.run_id
        self._set(number, mirrored.cell_params(result))
        points = [(0, name, value) for name, value in mirrored.validation(result).items()]
        self._send(number, [*points, *mirrored.curves(result)])
        self._keep_confusions(number, "valid", result.valid)
        self.client.set_terminated(number)
        self.cells[parent, key] = number

    def forget(self, keys: frozenset[str]) -> None:
        for place in [place for place in self.cells if place[1] in keys]:
            number = self.cells.pop(place)
            self.opened.discard(number)
            self.client.delete_run(number)

    def sum_up(self, parent: str, row: Row) -> None:
        self._write_new(parent, mirrored.valid_means(row), step=row.done)
        if row.complete:
            self.client.set_terminated(parent)

    def open(self, parent: str, row: Row, results: Iterable[Result]) -> None:
        for result in results:
            number = self.cells.get((parent, result.spec.key()))
            if number is not None and number not in self.opened:
                self._send(number, [(0, name, value) for name, value in mirrored.sealed(result).items()])
                self._keep_confusions(number, "test", result.test)
                self.client.set_tag(number, "tests", "open")
                self.opened.add(number)
        self._write_new(parent, mirrored.sealed_means(row), step=row.done)

    def tag(self, number: str, name: str, value: str) -> None:
        self.client.set_tag(number, name, value)

    def keep(self, name: str, text: str) -> None:
        if self.summary is None:
            run = self.client.create_run(self.experiment, tags={"level": "sweep"}, run_name=self.sweep)
            self.client.set_terminated(run.info.run_id)
            self.summary = run.info.run_id
        self.client.log_text(self.summary, text, name)

    def stop(self) -> None:
        for number in self.parents.values():
            if self.client.get_run(number).info.status == "RUNNING":
                self.client.set_terminated(number, status="KILLED")

    def _runs(self) -> Iterator["Run"]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=BATCH, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _remember(self, run: "Run") -> None:
        """Find a run's place; one that a crash left half-written is deleted, so that it is written anew."""
        number, tags = run.info.run_id, run.data.tags
        match tags.get("level"):
            case "configuration" if "configuration" in tags:
                self.parents[tags["configuration"]] = number
                self.numbers[number] = dict(run.data.metrics)
            case "cell" if run.info.status == "FINISHED":
                self.cells[tags[PARENT], tags["cell"]] = number
                if "tests" in tags:
                    self.opened.add(number)
            case "configuration" | "cell":
                self.client.delete_run(number)
            case "sweep":
                self.summary = number

    def _write_new(self, number: str, metrics: Mapping[str, float], step: int) -> None:
        """Only what has changed, so that a replay adds no points."""
        known = self.numbers.setdefault(number, {})
        new = {name: value for name, value in metrics.items() if known.get(name) != value}
        self._send(number, [(step, name, value) for name, value in new.items()])
        known.update(new)

    def _set(self, number: str, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(entries), PARAMS_BATCH):
            self.client.log_batch(number, params=entries[start : start + PARAMS_BATCH])

    def _send(self, number: str, points: Sequence[mirrored.Point]) -> None:
        from mlflow.entities import Metric

        now = _now_ms()
        metrics = [Metric(name, float(value), now, step) for step, name, value in points]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(number, metrics=metrics[start : start + BATCH])

    def _keep_confusions(self, number: str, group: str, scores: Scores) -> None:
        for part, score in scores.items():
            self.client.log_text(number, mirrored.confusion_text(score), f"confusion/{group}_{part}.txt")


def _client(uri: str) -> "MlflowClient":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name, level in (("mlflow", logging.WARNING), ("alembic", logging.WARNING), ("urllib3", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    return MlflowClient(uri)


def _experiment(client: "MlflowClient", sweep: str, artifacts: Path | None) -> str:
    found = client.get_experiment_by_name(sweep)
    if found is None:
        location = None if artifacts is None else (artifacts / sweep).as_uri()
        return str(client.create_experiment(sweep, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _beside(uri: str) -> Path | None:
    """`mlartifacts` in the folder of a SQLite file."""
    path = uri.removeprefix("sqlite:///")
    return Path(path).resolve().parent / "mlartifacts" if path != uri else None


def _now_ms() -> int:
    return int(time.time() * 1000)
