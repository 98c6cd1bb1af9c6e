"""How a sweep's configurations are chosen among: on which labels, by which objective, and whether they race."""

from dataclasses import dataclass

from orchestrator.answers.comparison import SELECTORS
from orchestrator.contest import FEWEST, Contest
from orchestrator.objective import OBJECTIVES, Objective
from orchestrator.plan import Plan
from orchestrator.racing import Race
from search_spaces import Sweep
from trainers.errors import UserError, require, unknown


@dataclass(frozen=True)
class Choice:
    """What the user wished. `select_on`: validation speech of the high-resource language (None: that, and within a
    corpus its own), or labels of the `other-languages`. `race`: None races grids of six points or more."""

    select_on: str | None = None
    objective_name: str = "mean"
    race: bool | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.objective_name not in OBJECTIVES:
            raise unknown("objective", self.objective_name, OBJECTIVES)
        if self.select_on is not None and self.select_on not in SELECTORS:
            raise unknown("selector", self.select_on, SELECTORS)
        require(0 < self.alpha < 0.5, "race_alpha", self.alpha, "above 0 and below 0.5")

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.objective_name]

    def selector(self, own: str, plan: Plan) -> str:
        """The validation part that chooses, where `own` is the protocol's; UserError where cells do not have it."""
        chosen = self.select_on or own
        if chosen != own and "target" in (chosen, own):
            raise UserError(f"select_on is {chosen!r}; under this protocol it must be {own!r}")
        if chosen == "other-languages" and any(cell.spec.target is None for cell in plan.cells):
            raise UserError(
                "select_on is 'other-languages'; it must be 'hrl' where a configuration hears no target language, "
                "since one training then serves them all"
            )
        if chosen == "other-languages" and len(plan.languages) < 2:
            raise UserError("select_on is 'other-languages'; it needs at least two target languages")
        if chosen == "hrl" and self.objective_name == "worst":
            raise UserError(
                "objective is 'worst'; it needs --select-on other-languages: on 'hrl' all languages are validated on "
                "the same English clips"
            )
        return chosen

    def contest(self, sweep: Sweep, plan: Plan) -> Contest | None:
        """The race of this plan; None where there is none."""
        if not self.races(sweep, plan):
            return None
        wanted = dict(sweep.reference)
        spared = frozenset(one.number for one in plan.configurations if wanted and one.values == wanted)
        return Contest(Race(blocks_of(plan), self.alpha), self.objective, spared)

    def races(self, sweep: Sweep, plan: Plan) -> bool:
        """Whether configurations are dropped once they are beaten; UserError where a race was asked for in vain."""
        if self.race and blocks_of(plan) < 2:
            raise UserError("--race needs at least two blocks (folds or seeds); this plan has one")
        wanted = sweep.chooses and len(plan.configurations) >= FEWEST if self.race is None else self.race
        return wanted and blocks_of(plan) > 1

    def told(self, sweep: Sweep, plan: Plan) -> str:
        """What the user is told of the race."""
        count = len(plan.configurations)
        if self.races(sweep, plan):
            why = f"{count} configurations; --no-race runs every cell" if self.race is None else "--race"
            return (
                f"race on ({why}): whoever is beaten on validation, at alpha {self.alpha:g}, is dropped after a block"
            )
        if self.race is False:
            return "race off (--no-race): every cell is run"
        why = f"{count} configuration{'s' if count > 1 else ''}" if sweep.chooses else "the whole table is the answer"
        return f"race off ({why}; --race drops whoever is beaten): every cell is run"


def blocks_of(plan: Plan) -> int:
    """Blocks of a configuration: each fold of each seed, over all languages."""
    return len(plan.blocks)
