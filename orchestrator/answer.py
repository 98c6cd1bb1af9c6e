"""A sweep with all that it takes to answer it, and the answer: the table on the terminal and in MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from orchestrator import mirrored
from orchestrator.answers.comparison import Comparison
from orchestrator.answers.rows import Candidate
from orchestrator.answers.shown import SHOWN as SHOWN
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked, named, write
from orchestrator.choosing import Choice
from orchestrator.circumstances import conditions, longest_s, now, paper_name, revision
from orchestrator.contest import Contest
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.plan import Configuration, Plan, PlannedCell
from orchestrator.tracking import Tracker, default_uri, telling
from search_spaces import Sweep
from trainers import stages
from trainers.splits import Splits


@dataclass(frozen=True)
class Answer:
    """A sweep on its ground, with its plan and the ledger that holds, or will hold, its results.

    `command`: how the user asked. `choice`: how configurations are chosen among.
    """

    sweep: Sweep
    ground: Ground
    plan: Plan
    ledger: Ledger
    tracking_uri: str | None
    command: str
    choice: Choice = field(default_factory=Choice)

    @cached_property
    def splits(self) -> Splits:
        return Splits(self.ground.protocol, self.ground.prepared, self.plan.cells[0].spec.folds_by)

    @property
    def selector(self) -> str:
        """Winners are chosen on high-resource validation speech, as in Gong et al. 2025; within a corpus on its own.

        To choose a language's winner on the others' labels takes a winner per language; one winner over all would be
        chosen on test labels.
        """
        return self.choice.selector(self.splits.selector, self.plan)

    @cached_property
    def contest(self) -> Contest | None:
        """How the configurations race; None where they do not."""
        return self.choice.contest(self.sweep, self.plan)

    @property
    def missing_stages(self) -> dict[str, PlannedCell]:
        """The stages still to compute, by key, with the first cell that begins with each; not those whose cells are
        all done."""
        store, lacking = self.ledger.store, set()
        for cell in self.plan.cells:
            if cell.stage and cell.stage not in lacking and not self.ledger.has(cell.key):
                lacking.add(cell.stage)
        return {
            key: cell for key, cell in self.plan.stages.items() if key in lacking and not stages.is_done(store, key)
        }

    @cached_property
    def names(self) -> dict[str, str]:
        """What to call each cell, by key ("tau=0.996 urdu fold 1")."""
        named = {cell.key: self._name(cell) for cell in self.plan.cells + self.plan.floors}
        return named | {key: f"stage of {named[cell.key]}" for key, cell in self.plan.stages.items()}

    def configuration_of(self, key: str) -> Configuration | None:
        """The configuration that a cell belongs to; None for a floor."""
        number = self._numbers.get(key)
        return None if number is None else self.plan.configurations[number]

    @cached_property
    def _numbers(self) -> dict[str, int | None]:
        return {cell.key: cell.configuration for cell in self.plan.cells}

    def _name(self, cell: PlannedCell) -> str:
        spec = cell.spec
        what = spec.method if cell.configuration is None else self.plan.configurations[cell.configuration].name
        where = [spec.target, f"fold {spec.fold}", f"seed {spec.seed}" if len(self.plan.seeds) > 1 else None]
        return " ".join([what, *(part for part in where if part)])

    def compare(self, record: Asked) -> Comparison:
        """Open the test scores; the ledger counts it. The record is kept for later comparisons."""
        write(self.ledger.store, record)
        return answered(self.ledger, record)

    def record(self, failed: Mapping[str, str] | None = None, dropped: Mapping[str, str] | None = None) -> Asked:
        """The sweep as `python -m orchestrator.compare` needs it; to be written (`asked.write`) before it runs.

        `failed`: why cells (by key) have no result; `dropped`: what is to be said of configurations (by name) that were
        given up.
        """
        return Asked(
            sweep=self.plan.sweep,
            question=self.sweep.question,
            command=self.command,
            at=now(),
            commit=revision(),
            note=self.ground.protocol.note,
            protocol=self.ground.protocol.name,
            folds_by=self.plan.cells[0].spec.folds_by,
            languages=self.plan.languages,
            held_out=self.splits.held_out_languages,
            selector=self.selector,
            objective=self.choice.objective_name,
            shared_speakers=tuple(sorted(self.splits.shared_speakers)),
            folds={language: self.splits.folds(language) for language in self.plan.languages},
            reference=self._reference,
            shows=self.sweep.shows,
            configurations=tuple(self._candidate(one) for one in self.plan.configurations),
            floors=tuple(self._floors),
            conditions=conditions(self.ground, self.plan, self.splits),
            longest_s=longest_s(self.ground.prepared, self.splits.languages),
            failed=dict(failed or {}),
            dropped=dict(dropped or {}),
            versions=dict(_versions()),
        )

    def _candidate(self, one: Configuration) -> Candidate:
        cells = self.plan.of(one.number)
        return Candidate(one.name, _places(cells), one.values, paper_name(cells[0].spec))

    @property
    def _floors(self) -> Iterator[Candidate]:
        for name in dict.fromkeys(cell.spec.method for cell in self.plan.floors):
            own = [cell for cell in self.plan.floors if cell.spec.method == name]
            yield Candidate(name, _places(own), method=name)

    @property
    def _reference(self) -> str:
        """The name of the configuration that others are compared with."""
        wanted = dict(self.sweep.reference)
        return next((one.name for one in self.plan.configurations if one.values == wanted), "")


def _places(cells: Sequence[PlannedCell]) -> dict[tuple[str | None, int, int], str]:
    return {(cell.spec.target, cell.spec.fold, cell.spec.seed): cell.key for cell in cells}


def _versions() -> Iterator[tuple[str, str]]:
    """Of what a sweep runs with; a package that was not installed has none."""
    for name in ("foldwise", "torch", "ray", "mlflow"):
        with suppress(PackageNotFoundError):
            yield name, version(name)


def tracker(answer: Answer) -> Tracker:
    """MLflow's mirror of this sweep."""
    uri = answer.tracking_uri or default_uri(answer.ledger.store)
    return Tracker(uri, answer.plan.sweep, telling.described(answer.record()), settings_of(answer))


def settings_of(answer: Answer) -> dict[str, dict[str, Any]]:
    """Each configuration with all settings that its cells share."""
    first = [(one, answer.plan.of(one.number)[0].spec) for one in answer.plan.configurations]
    return {one.name: mirrored.settings(spec, one.values) for one, spec in first}


def tell(answer: Answer, comparison: Comparison, mirror: Tracker) -> None:
    """The answer in MLflow: means of every configuration, the opened test scores, the table, by the record that
    `Answer.compare` kept, so that a sync tells the same."""
    kept = named(answer.ledger.store, f"{answer.plan.sweep}/{answer.record().digest}")[0]
    telling.tell(kept, answer.ledger, comparison, mirror)
