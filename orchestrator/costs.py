"""What the rest of a plan will cost: how many cells and stages, GPU-hours and wall time by what like cells took, disk,
and how much of a GPU's memory a cell takes.

The time is that of every cell once: a race may drop configurations; starting, canaries and retries come on top.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.disk import Disk, disk
from orchestrator.draft import PlannedCell
from orchestrator.ledger import Ledger
from orchestrator.plan import Plan
from orchestrator.timings import RULES, Expected, Experience, Memories, Taken, Timing, timed
from trainers import stages
from trainers.errors import require
from trainers.methods.configs import FLOORS
from trainers.spec import CellSpec

LOOKED_AT = 500
"""Results of other sweeps among which like cells are looked for: the newest."""


@dataclass(frozen=True)
class Crew:
    """What cells run on: so many at a time, each on so many units ("GPU", or "core" where there is none).

    `processor`: the GPU's name where it is known, "" for any.
    """

    slots: int
    units_per_cell: float = 1.0
    unit: str = "core"
    processor: str = ""

    def has_timed(self, timing: Timing) -> bool:
        """Whether a timing is of such a machine."""
        kind = "cuda" if self.unit == "GPU" else "cpu"
        return timing.device == kind and self.processor in ("", timing.processor)


@dataclass(frozen=True)
class Estimate:
    """What the rest of a plan will cost.

    `cells`, `stages`, `floors`: how many there are, and how many of them are to run. `seconds`: of all that is to run,
    one after the other; `wall_s`: on the crew's slots. Both are None where the time of `unknown` methods is not known.
    `by`: the loosest rule by which like cells were found (`timings.RULES`), `told_by` how many by this one. `at_most`:
    a race may drop configurations.
    """

    crew: Crew
    cells: tuple[int, int]
    stages: tuple[int, int]
    floors: tuple[int, int]
    seconds: float | None
    wall_s: float | None
    unknown: tuple[str, ...]
    by: str
    told_by: int
    disk: Disk
    at_most: bool

    @property
    def hours(self) -> float | None:
        """GPU-hours, or core-hours."""
        return None if self.seconds is None else self.seconds * self.crew.units_per_cell / 3600


def estimate(
    plan: Plan,
    ledger: Ledger,
    crew: Crew,
    encoders: Mapping[str, Path],
    *,
    rehearsals: Sequence[Timing] = (),
    at_most: bool = False,
) -> Estimate:
    """What is left of a plan, and what that will cost.

    `encoders`: fingerprint -> folder, of all that the cells take. `rehearsals`: what the canaries took
    (`timings.rehearsed`), once they have.
    """
    require(crew.slots >= 1, "slots", crew.slots, "at least 1")
    there_are = plan.cells + plan.floors
    seen = ledger.glances(cell.key for cell in there_are)
    lacking = [cell for cell in there_are if cell.key not in seen]
    known = [timed(cell.spec, seen[cell.key]) for cell in there_are if cell.key in seen]
    pace = _pace(lacking, known, ledger, crew, rehearsals)
    begin = _begin_with_a_stage(lacking, ledger)
    paces = [pace[_likes(cell)] for cell in lacking]
    work = [
        (each.cell_s, each.stage_s if cell.key in begin else 0.0)
        for cell, each in zip(lacking, paces, strict=True)
        if each
    ]
    unknown = {cell.spec.method for cell, each in zip(lacking, paces, strict=True) if each is None}
    used = {each.by: each.count for each in pace.values() if each and each.count}
    loosest = max((str(rule) for rule, *_ in used), key=list(RULES).index, default="")
    floors = sum(cell.configuration is None for cell in lacking)
    return Estimate(
        crew=crew,
        cells=(len(plan.cells), len(lacking) - floors),
        stages=(len(plan.stages), len(begin)),
        floors=(len(plan.floors), floors),
        seconds=None if unknown else sum(map(sum, work)),
        wall_s=None if unknown else wall_s(work, crew.slots),
        unknown=tuple(sorted(unknown)),
        by=loosest,
        told_by=sum(count for (rule, *_), count in used.items() if rule == loosest),
        disk=disk(ledger, lacking, begin, crew.slots, encoders),
        at_most=at_most,
    )


@dataclass(frozen=True)
class Demand:
    """What the most demanding of the `cells` that are to run takes of a GPU's memory.

    `taken`: None where that is not known of the `unknown` methods, or where nothing is to run. `gpus`: the memory of
    each kind of GPU, in bytes, that a cell ran on.
    """

    cells: int
    taken: Taken | None = None
    unknown: tuple[str, ...] = ()
    gpus: Mapping[str, int] = field(default_factory=dict)


def demand(plan: Plan, ledger: Ledger, every: bool = False) -> Demand:
    """What a plan's cells will take of a GPU's memory, and the stages that they begin with, by what like cells took.

    `every`: cells and stages that are done count as if they were to run. A floor that is not known decides nothing: it
    hears as scoring does, which every training is followed by. Results of other sweeps are asked where this one's do
    not do.
    """
    there_are = plan.cells + plan.floors
    seen = ledger.glances(cell.key for cell in there_are)
    lacking = [cell for cell in there_are if every or cell.key not in seen]
    if not lacking:
        return Demand(0)
    begin = lacking if every else _begin_with_a_stage(lacking, ledger).values()
    staged = {_likes(cell) for cell in begin if cell.stage}
    kinds = {_likes(cell): cell.spec for cell in reversed(lacking)}
    known = [timed(cell.spec, seen[cell.key]) for cell in there_are if cell.key in seen]
    found = _taken(kinds, staged, known)
    if not all(each and each.by != "akin" for each in found.values()):
        known += _others(ledger, {timing.spec.key() for timing in known})
        found = _taken(kinds, staged, known)
    unknown = {kinds[likes].method for likes, each in found.items() if each is None}
    gpus = {timing.processor: timing.gpu_bytes for timing in known if timing.gpu_bytes}
    most = max((each for each in found.values() if each), key=lambda each: each.memory_bytes, default=None)
    return Demand(len(lacking), None if unknown else most, tuple(sorted(unknown)), gpus)


def _taken(
    kinds: Mapping["Likes", CellSpec], staged: Collection["Likes"], known: Iterable[Timing]
) -> dict["Likes", Taken | None]:
    memories = Memories(known)
    found = {likes: memories.expects(spec, likes in staged) for likes, spec in kinds.items()}
    return {likes: each for likes, each in found.items() if each or kinds[likes].method not in FLOORS}


Likes = tuple[int | None, str, str | None]


def _likes(cell: PlannedCell) -> Likes:
    """Cells of a plan that take equally long: those of a configuration (of a floor: of its method) and a language."""
    return (cell.configuration, cell.spec.method, cell.spec.target)


def _pace(
    lacking: Sequence[PlannedCell],
    known: Sequence[Timing],
    ledger: Ledger,
    crew: Crew,
    rehearsals: Sequence[Timing],
) -> dict[Likes, Expected | None]:
    """What each kind of cell is expected to take. Results of other sweeps are asked where this one's do not do."""
    kinds = {_likes(cell): cell.spec for cell in reversed(lacking)}
    own = Experience(filter(crew.has_timed, known), units=crew.units_per_cell)
    found = {likes: own.expects(spec) for likes, spec in kinds.items()}
    if all(each and each.by[0] != "akin" for each in found.values()):
        return found
    others = _others(ledger, {timing.spec.key() for timing in known})
    every = Experience(filter(crew.has_timed, [*known, *others]), rehearsals, crew.units_per_cell)
    return {likes: every.expects(spec) for likes, spec in kinds.items()}


def _others(ledger: Ledger, but: Collection[str]) -> Iterator[Timing]:
    """Timings of the newest other results."""
    stored = ledger.stored()
    newest = sorted(stored.keys() - but, key=lambda key: stored[key].written_ns, reverse=True)
    for key in newest[:LOOKED_AT]:
        if (result := ledger.light(key)) and (seen := ledger.glance(key)):
            yield timed(result.spec, seen)


def _begin_with_a_stage(lacking: Iterable[PlannedCell], ledger: Ledger) -> dict[str, PlannedCell]:
    """By key, the first cell of each stage that is still to be computed."""
    first: dict[str, PlannedCell] = {}
    for cell in lacking:
        if cell.stage:
            first.setdefault(cell.stage, cell)
    return {cell.key: cell for key, cell in first.items() if not stages.is_done(ledger.store, key)}


def wall_s(work: Iterable[tuple[float, float]], slots: int) -> float:
    """How long `slots` take for cells (seconds of each, and of the stage that is computed for it before), each slot
    taking the next cell as soon as it is free; at least as long as any stage and its cell."""
    free = [0.0] * slots
    longest = 0.0
    for cell_s, stage_s in work:
        for piece_s in (stage_s, cell_s):
            heapq.heapreplace(free, free[0] + piece_s)
        longest = max(longest, stage_s + cell_s)
    return max(longest, *free)
