"""What sends a sweep to MLflow while it runs: a server that cannot be reached costs a warning, never the sweep."""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator import mirrored
from orchestrator.answers.rows import Row
from orchestrator.tracking.client import connect
from trainers.credentials import masked
from trainers.errors import unknown
from trainers.result import Result

if TYPE_CHECKING:
    from orchestrator.tracking.mirror import Kept, Mirror

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")

RETRY_AFTER_S = 60.0
"""How long nothing is sent after a failure, so that a server that is down does not hold up the sweep."""


def default_uri(store: Path) -> str:
    """MLflow's database beside the ledger."""
    return f"sqlite:///{store.resolve()}/mlflow.db"


def _warn(told: str) -> None:
    warnings.warn(f"{told}; what is missing there is sent at the next run, or by orchestrator.tracking", stacklevel=6)


class Tracker:
    """Mirrors one sweep. Threads may share it; each method says whether MLflow has now what it was given.

    `configurations`: name -> all settings that its cells share. Configurations of the same name and other settings
    (a sweep run again with more steps) are other runs. `artifacts`: where a database's files lie, by default
    `mlartifacts` beside a SQLite file; a server keeps its own. `failed`: what is done when MLflow cannot be reached.
    UserError for a tracking URI of unknown kind.
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
        failed: Callable[[str], None] = _warn,
    ) -> None:
        if urlsplit(tracking_uri).scheme.split("+")[0] not in SCHEMES:
            raise unknown("kind of tracking URI", tracking_uri, SCHEMES)
        self._uri, self._sweep, self._description = tracking_uri, sweep_name, description
        self._settings = {name: mirrored.plain(settings) for name, settings in configurations.items()}
        self._artifacts = artifacts or _beside(tracking_uri)
        self._retry_after_s, self._silent_until, self._failed = retry_after_s, 0.0, failed
        self._record = ""
        self._mirror: Mirror | None = None
        self._one_at_a_time = Lock()

    @property
    def experiment(self) -> str:
        """The number that MLflow gave the sweep's experiment; "" while it cannot be reached."""
        return self._mirror.experiment if self._mirror else ""

    def know(self, configurations: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in configurations that came later."""
        self._settings |= {name: mirrored.plain(settings) for name, settings in configurations.items()}

    def about(self, record: str, description: str) -> bool:
        """What is told from now on belongs to the record of the sweep that has this digest (`Asked.digest`)."""
        self._record, self._description = record, description
        return self._attempt(lambda mirror: mirror.describe(description))

    def log(self, result: Result, configuration: str) -> bool:
        """Mirror a cell: parameters, curves, validation scores, facts, and what speech it heard."""
        return self._attempt(lambda mirror: mirror.add_cell(self._run_of(mirror, configuration), configuration, result))

    def logged(self, configuration: str, keys: Iterable[str]) -> set[str]:
        """Those of the cells that MLflow has already; empty where it cannot be reached."""
        found: set[str] = set()

        def look(mirror: "Mirror") -> None:
            parent = self._run_of(mirror, configuration)
            found.update(key for key in keys if (parent.number, key) in mirror.cells)

        self._attempt(look)
        return found

    def aggregate(self, row: Row, *, opened: bool = False) -> bool:
        """Write a configuration's means over folds, of validation scores and, where they were `opened`, of test
        scores; its run ends where all cells are there."""
        settings = self._settings[row.name]
        return self._attempt(lambda mirror: mirror.sum_up(row.name, settings, row, self._record, opened))

    def open_tests(self, row: Row, results: Iterable[Result]) -> bool:
        """Write the test scores of a configuration and of those of its cells that MLflow has (`log` first)."""
        return self._attempt(lambda mirror: mirror.open(self._run_of(mirror, row.name), row, results))

    def label(self, configuration: str, labels: Mapping[str, str]) -> bool:
        """Tag a configuration's run."""
        return self._attempt(lambda mirror: mirror.label(self._run_of(mirror, configuration), labels))

    def artifact(self, name: str, text: str) -> bool:
        """Keep a text of the whole sweep (a table), in a run of its own with `level` = `sweep`."""
        return self._attempt(lambda mirror: mirror.keep(self._record, name, text))

    def files(self, folder: Path, place: str = "report") -> bool:
        """Keep a folder of files (a report and its pictures) in the sweep's own run, below `place`; the same files
        are sent once. OSError where the folder cannot be read."""
        content = _digest(folder)
        return self._attempt(lambda mirror: mirror.keep_folder(self._record, folder, place, content))

    def forget(self, keys: Iterable[str]) -> bool:
        """Delete the runs of cells whose results were set aside, so that their new numbers are written."""
        return self._attempt(lambda mirror: mirror.forget(frozenset(keys)))

    def close(self) -> None:
        """Mark the configurations that are not complete as stopped."""
        if self._mirror is not None:
            self._attempt(lambda mirror: mirror.stop(self._settings.items()))

    def _run_of(self, mirror: "Mirror", configuration: str) -> "Kept":
        return mirror.configuration(configuration, self._settings[configuration])

    def _attempt(self, action: Callable[["Mirror"], object]) -> bool:
        with self._one_at_a_time:
            if time.monotonic() < self._silent_until:
                return False
            try:
                if self._mirror is None:
                    self._mirror = self._opened()
                action(self._mirror)
            except Exception as error:  # MLflow's, the database's, the network's: none may end a sweep
                self._rest(error)
                return False
            return True

    def _opened(self) -> "Mirror":
        from orchestrator.tracking.mirror import Mirror

        return Mirror(connect(self._uri), self._sweep, self._description, self._artifacts)

    def _rest(self, error: Exception) -> None:
        """Send nothing for a while, then look anew at what is there."""
        self._mirror = None
        self._silent_until = time.monotonic() + self._retry_after_s
        told = str(error).partition("\n")[0][:200] or type(error).__name__
        self._failed(masked(f"MLflow at {self._uri}: {told}"))


def _beside(uri: str) -> Path | None:
    """`mlartifacts` in the folder of a SQLite file."""
    path = uri.removeprefix("sqlite:///")
    return Path(path).resolve().parent / "mlartifacts" if path != uri else None


def _digest(folder: Path) -> str:
    """Of all files in a folder, by name and content."""
    told = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        told.update(
            f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return told.hexdigest()
