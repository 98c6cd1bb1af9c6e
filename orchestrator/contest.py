"""A sweep's race: the board's results as `racing.py`'s table, whom Tune's scheduler drops, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from orchestrator.messages import Break, Standings
from orchestrator.objective import Objective
from orchestrator.racing import Drop, Race

FEWEST = 6
"""Smaller grids are not raced unless the user asks for it: little is to be saved, and the whole table is worth more."""


@dataclass(frozen=True)
class Contest:
    """How the configurations of a sweep race.

    `spared`: configurations that run to the end though they are beaten: others are compared with the reference.
    """

    race: Race
    objective: Objective
    spared: frozenset[int] = frozenset()

    def dropped(self, standings: Standings) -> dict[int, str]:
        """Configuration -> why it is dropped; a function of the complete blocks alone, so a restart changes nothing."""
        table = {one: self._scores(one, standings) for one in standings.blocks}
        out = [one for one, end in standings.breaks.items() if not end.diverged and _is_there(one, end, standings)]
        drops = self.race.run(table, out).drops
        return {one: told(drop, self.race.blocks) for one, drop in drops.items() if one not in self.spared}

    def _scores(self, configuration: int, standings: Standings) -> dict[int, float]:
        """Block -> score; NaN where training diverged."""
        scores = {block: self.objective(cells) for block, cells in standings.blocks[configuration].items()}
        end = standings.breaks.get(configuration)
        if end and end.diverged:
            scores[end.block] = float("nan")
        return scores


def _is_there(configuration: int, end: Break, standings: Standings) -> bool:
    """Whether a broken configuration has all blocks before its break: until then a race waits for them."""
    return all(block in standings.blocks[configuration] for block in range(end.block))


@dataclass(frozen=True)
class Settled:
    """A race that is over: what runs further is for those who are still in it."""

    beaten: Mapping[int, str]

    def dropped(self, _standings: Standings) -> dict[int, str]:
        return dict(self.beaten)


Judge = Contest | Settled


def told(drop: Drop, blocks: int) -> str:
    """`dropped after 2 of 5 blocks, 4.1 validation points behind (3.0 may be chance)`."""
    after = f"dropped after {drop.blocks} of {blocks} block{'s' if blocks > 1 else ''}"
    if isnan(drop.behind):
        return f"{after}, its training diverged"
    return f"{after}, {100 * drop.behind:.1f} validation points behind ({100 * drop.margin:.1f} may be chance)"


def racing_scheduler(board: Any, contest: Judge) -> Any:
    """Tune's scheduler: whenever all that still race have one more block, it withdraws whoever is beaten.

    It needs no report of each trial: any of them tells how far the race is, and the board has the scores of all.
    """
    import ray
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler

    class Racing(FIFOScheduler):
        judged = 0
        dropped: Mapping[int, str] = {}

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
            if result["front"] > self.judged:
                self.judged = result["front"]
                self.dropped = contest.dropped(ray.get(board.standings.remote()))
                ray.get([board.withdraw.remote(one, why) for one, why in self.dropped.items()])
            mine = trial.config["configuration"]["index"] in self.dropped
            return str(TrialScheduler.STOP if mine else TrialScheduler.CONTINUE)

    return Racing()  # type: ignore[no-untyped-call]  # Ray's scheduler has no types
