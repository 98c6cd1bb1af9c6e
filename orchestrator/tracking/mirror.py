"""What one experiment holds, and how to add to it. Every method may raise whatever MLflow does.

Runs are found again by their tags (`configuration`: a digest of name and settings; `cell`: its key; `record`: the
digest of what was asked), so a replay adds what is missing and doubles nothing. What a crash left half-written is
replaced; what another process is just writing (`writer`) is let be.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import mirrored
from orchestrator.answers.rows import Row
from orchestrator.tracking import writer
from orchestrator.tracking.client import all_runs, describe, experiment, now_ms, send, send_datasets
from trainers.result import Result, Scores

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
AGGREGATES = ("valid", "test/")
PLACING = (PARENT, "cell", "tests", writer.TAG)


@dataclass
class Kept:
    """A run as MLflow has it."""

    number: str
    metrics: dict[str, float]
    tags: dict[str, str]
    status: str


class Mirror:
    """One experiment."""

    def __init__(self, client: "MlflowClient", sweep: str, description: str, artifacts: Path | None) -> None:
        self.client, self.sweep, self.description = client, sweep, ""
        self.experiment = experiment(client, sweep, artifacts)
        self.describe(description)
        self.configurations: dict[str, Kept] = {}
        self.cells: dict[tuple[str, str], str] = {}
        self.opened: set[str] = set()
        self.summaries: dict[str, Kept] = {}
        self._remember(all_runs(client, self.experiment))

    def describe(self, description: str) -> None:
        """What stands at the experiment, and at the sweep's own run."""
        if description != self.description:
            describe(self.client, self.experiment, NOTE, description)
            self.description = description

    def configuration(self, name: str, settings: Mapping[str, str]) -> Kept:
        """A configuration's run, made where there is none."""
        known = mirrored.digest(name, settings)
        if known not in self.configurations:
            tags = mirrored.configuration_tags(self.sweep, name, settings)
            signed = {**tags, writer.TAG: writer.signature()}
            run = self.client.create_run(self.experiment, tags=signed, run_name=mirrored.title(name))
            send(self.client, run.info.run_id, params=settings, tags={"configuration": known})
            self.configurations[known] = Kept(run.info.run_id, {}, tags, "RUNNING")
        return self.configurations[known]

    def add_cell(self, parent: Kept, name: str, result: Result) -> None:
        """A cell with all that may be seen of it while its sweep runs; `name`: of its configuration."""
        key = result.spec.key()
        if (parent.number, key) in self.cells:
            return
        began = now_ms() - int(1000 * result.seconds.get("total", 0.0))
        place = {PARENT: parent.number, "sweep": self.sweep, writer.TAG: writer.signature()}
        tags = {**place, **mirrored.cell_tags(result, name)}
        run = self.client.create_run(self.experiment, began, tags, mirrored.cell_title(result))
        number = run.info.run_id
        points = [(0, of, value) for of, value in mirrored.validation(result).items()]
        send(self.client, number, [*points, *mirrored.curves(result)], mirrored.cell_params(result))
        send_datasets(self.client, number, mirrored.datasets(result))
        self._keep_confusions(number, "valid", result.valid)
        self.client.set_terminated(number)
        self.cells[parent.number, key] = number

    def forget(self, keys: frozenset[str]) -> None:
        """Delete the runs of these cells."""
        for place in [place for place in self.cells if place[1] in keys]:
            number = self.cells.pop(place)
            self.opened.discard(number)
            self.client.delete_run(number)

    def sum_up(self, name: str, settings: Mapping[str, str], row: Row, record: str, opened: bool) -> None:
        """A configuration's means, of validation alone or of what was opened, too."""
        means = mirrored.valid_means(row) | (mirrored.sealed_means(row) if opened else {})
        parent = self.configuration(name, settings)
        if record and parent.tags.get("record") != record:
            if _stale(parent, means):
                parent = self._anew(parent, name, settings)
            self.label(parent, {"record": record})
        self._write_new(parent, means, row.done)
        if row.complete and parent.status != "FINISHED":
            self.client.set_terminated(parent.number)
            parent.status = "FINISHED"

    def open(self, parent: Kept, row: Row, results: Iterable[Result]) -> None:
        """Test scores of a configuration and of those of its cells that are here."""
        for result in results:
            number = self.cells.get((parent.number, result.spec.key()))
            if number is not None and number not in self.opened:
                self._keep_confusions(number, "test", result.test)
                points = [(0, name, value) for name, value in mirrored.sealed(result).items()]
                send(self.client, number, points, tags={"tests": "open"})
                self.opened.add(number)
        self._write_new(parent, mirrored.sealed_means(row), row.done)

    def label(self, kept: Kept, labels: Mapping[str, str]) -> None:
        """Set tags that are not so already."""
        new = {name: value for name, value in labels.items() if kept.tags.get(name) != value}
        send(self.client, kept.number, tags=new)
        kept.tags.update(new)

    def keep(self, record: str, name: str, text: str) -> None:
        """A text among the files of the sweep's own run."""
        self.client.log_text(self._summary(record).number, text, name)

    def keep_folder(self, record: str, folder: Path, place: str, content: str) -> None:
        """A folder among the files of the sweep's own run; `content`: its digest, of which a second time adds
        nothing."""
        summary, tag = self._summary(record), mirrored.named(f"files/{place}")
        if summary.tags.get(tag) != content:
            self.client.log_artifacts(summary.number, str(folder), place)
            self.label(summary, {tag: content})

    def stop(self, names: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Mark those of these configurations that are not complete as stopped."""
        for known in [mirrored.digest(*pair) for pair in names]:
            kept = self.configurations.get(known)
            if kept and kept.status == "RUNNING":
                self.client.set_terminated(kept.number, status="KILLED")
                kept.status = "KILLED"

    def _summary(self, record: str) -> Kept:
        """The run of all that a record of the sweep came to, made where there is none."""
        if record not in self.summaries:
            tags = {"level": "sweep", "sweep": self.sweep, "record": record, NOTE: self.description}
            run = self.client.create_run(self.experiment, tags=tags, run_name=f"{self.sweep} {record}".strip())
            self.client.set_terminated(run.info.run_id)
            self.summaries[record] = Kept(run.info.run_id, {}, tags, "FINISHED")
        self.label(self.summaries[record], {NOTE: self.description})
        return self.summaries[record]

    def _anew(self, old: Kept, name: str, settings: Mapping[str, str]) -> Kept:
        """A run for a configuration instead of one that has means which its new record does not have: MLflow cannot
        take back single numbers."""
        del self.configurations[mirrored.digest(name, settings)]
        new = self.configuration(name, settings)
        for (parent, key), number in list(self.cells.items()):
            if parent == old.number:
                self.client.set_tag(number, PARENT, new.number)
                self.cells[new.number, key] = self.cells.pop((parent, key))
        self.client.delete_run(old.number)
        return new

    def _remember(self, runs: Iterable["Run"]) -> None:
        """Find each run's place. One that was left half-written, double or without its configuration is deleted."""
        levels: dict[str, list[Kept]] = {"configuration": [], "cell": [], "sweep": []}
        for run in runs:
            level = run.data.tags.get("level", "")
            levels.get(level, []).append(_kept(run, whole=level != "cell"))
        lost = [kept for kept in levels["configuration"] if not self._take_configuration(kept)]
        others = {kept.number for kept in lost if _is_being_written(kept)}
        parents = {kept.number for kept in self.configurations.values()}
        lost += [kept for kept in levels["cell"] if not self._take_cell(kept, parents)]
        self.summaries = {kept.tags.get("record", ""): kept for kept in levels["sweep"]}
        for kept in lost:
            if not _is_being_written(kept) and kept.tags.get(PARENT) not in others:
                self.client.delete_run(kept.number)

    def _take_configuration(self, kept: Kept) -> bool:
        """Whether a configuration's run is whole and the only one; its digest is written last."""
        known = kept.tags.get("configuration")
        return known is not None and self.configurations.setdefault(known, kept) is kept

    def _take_cell(self, kept: Kept, parents: Collection[str]) -> bool:
        """Whether a cell's run is whole and the only one below a configuration's."""
        place = kept.tags.get(PARENT, ""), kept.tags.get("cell", "")
        if kept.status != "FINISHED" or place in self.cells or place[0] not in parents:
            return False
        self.cells[place] = kept.number
        if "tests" in kept.tags:
            self.opened.add(kept.number)
        return True

    def _write_new(self, kept: Kept, metrics: Mapping[str, float], step: int) -> None:
        """Only what has changed, so that a replay adds no points."""
        new = {name: value for name, value in metrics.items() if kept.metrics.get(name) != value}
        send(self.client, kept.number, [(step, name, value) for name, value in new.items()])
        kept.metrics.update(new)

    def _keep_confusions(self, number: str, group: str, scores: Scores) -> None:
        for part, score in scores.items():
            self.client.log_text(number, mirrored.confusion_text(score), f"confusion/{group}_{part}.txt")


def _kept(run: "Run", whole: bool) -> Kept:
    """A run that was found; of a cell, of which there are many thousands, only what places it."""
    if whole:
        return Kept(run.info.run_id, dict(run.data.metrics), dict(run.data.tags), run.info.status)
    tags = {name: value for name, value in run.data.tags.items() if name in PLACING}
    return Kept(run.info.run_id, {}, tags, run.info.status)


def _is_being_written(kept: Kept) -> bool:
    """Whether another process may be at it."""
    return kept.status == "RUNNING" and writer.may_be_writing(kept.tags.get(writer.TAG, ""))


def _stale(kept: Kept, means: Mapping[str, float]) -> bool:
    """Whether a run has means that are not told any more."""
    return any(name.startswith(AGGREGATES) and name not in means for name in kept.metrics)
