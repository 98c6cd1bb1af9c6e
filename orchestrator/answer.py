"""A sweep with all that it takes to answer it, and the answer: the table on the terminal and in MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from orchestrator import crossing, distance, gender, speakers, stability
from orchestrator.choosing import Choice
from orchestrator.compare import Comparison, compare
from orchestrator.contest import Contest
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.plan import Configuration, Plan, PlannedCell
from orchestrator.rows import Candidate
from orchestrator.section import Findings, Show
from orchestrator.table import as_markdown
from orchestrator.tracking import Tracker, default_uri
from search_spaces import Sweep
from trainers import stages
from trainers.splits import Splits

SHOWN: Mapping[str, Show] = {
    "matrix": crossing.matrices,
    "stability": stability.figures,
    "speakers": speakers.verification,
    "gender": gender.balance,
    "distance": distance.correlations,
}
"""Each of `search_spaces.SHOWS`."""


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

    def compare(self, failed: Mapping[str, str] | None = None) -> Comparison:
        """Open the test scores; the ledger counts it."""
        candidates = [
            Candidate(one.name, _places(self.plan.of(one.number)), one.values) for one in self.plan.configurations
        ]
        there_are = dict.fromkeys(cell.spec.method for cell in self.plan.floors)
        floors = [
            Candidate(name, _places([c for c in self.plan.floors if c.spec.method == name])) for name in there_are
        ]
        findings = Findings(self.ledger, candidates, self.plan.languages, self.selector, self._reference)
        comparison = compare(
            self.ledger,
            self.plan.sweep,
            candidates,
            self.plan.languages,
            floors=floors,
            held_out=self.splits.held_out_languages,
            selector=self.selector,
            shared_speakers=self.splits.shared_speakers,
            failed=failed,
        )
        return replace(comparison, sections=tuple(part for name in self.sweep.shows for part in SHOWN[name](findings)))

    @property
    def _reference(self) -> str:
        """The name of the configuration that others are compared with."""
        wanted = dict(self.sweep.reference)
        return next((one.name for one in self.plan.configurations if one.values == wanted), "")


def _places(cells: Sequence[PlannedCell]) -> dict[tuple[str | None, int, int], str]:
    return {(cell.spec.target, cell.spec.fold, cell.spec.seed): cell.key for cell in cells}


def tracker(answer: Answer) -> Tracker:
    """MLflow's mirror of this sweep; each configuration with all settings that its cells share."""
    settings = {one.name: answer.plan.of(one.number)[0].spec.settings() for one in answer.plan.configurations}
    for one in answer.plan.configurations:  # the encoder is no setting of a cell
        settings[one.name] |= {name: value for name, value in one.values.items() if name == "encoder"}
    shared = {"protocol": answer.ground.protocol.name, "folds_by": answer.plan.cells[0].spec.folds_by}
    description = f"{answer.sweep.question}\n\n`{answer.command}`\n\nprotocol {answer.ground.protocol.name}"
    uri = answer.tracking_uri or default_uri(answer.ledger.store)
    return Tracker(uri, answer.plan.sweep, description, {name: {**shared, **own} for name, own in settings.items()})


def tell(answer: Answer, comparison: Comparison, mirror: Tracker) -> None:
    """The answer in MLflow: means of every configuration, the opened test scores, the table."""
    rows = {row.name: row for row in (*comparison.rows, *comparison.unfinished)}
    for configuration in answer.plan.configurations:
        row = rows[configuration.name]
        found = [answer.ledger.light(cell.key) for cell in answer.plan.of(configuration.number)]
        mirror.aggregate(row)
        mirror.open_tests(row, [result for result in found if result is not None])
    mirror.artifact("comparison.md", as_markdown(comparison))
