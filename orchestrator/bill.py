"""What a person is told of a sweep's costs: before it runs, and when it is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.budget import Budget
from orchestrator.costs import Estimate
from orchestrator.disk import Disk
from orchestrator.display import clock
from orchestrator.timings import Timing
from trainers.errors import require

HOW = {
    "same": "by {} like these, of other values or folds",
    "alike": "by {} with as much work in a step",
    "akin": "by {} of the same methods and encoders, in proportion to the speech that they heard",
    "rehearsed": "by rehearsals of {}",
}
"""By what a time is told, for each of `timings.RULES`."""


def told(estimate: Estimate, price: float | None = None) -> list[str]:
    """The estimate in a few lines; `price` of a GPU-hour, in whatever money. UserError for a price of 0 or less."""
    lines = [_to_run(estimate), _time(estimate), _room(estimate.disk, estimate.crew.slots)]
    return [*lines, _money(estimate, price)] if price is not None else lines


@dataclass
class Bill:
    """What a run is expected to cost. `reckon`: the same once canaries have told how long cells take; `price`: as in
    `told`."""

    expected: Estimate
    reckon: Callable[[Sequence[Timing]], Estimate]
    price: float | None = None

    def told(self) -> list[str]:
        return told(self.expected, self.price)

    def rehearsed(self, timings: Sequence[Timing]) -> list[str]:
        """What can be told now of a time that was not known; nothing where it was, or still is not."""
        if self.expected.hours is not None:
            return []
        self.expected = self.reckon(timings)
        if self.expected.hours is None:
            return []
        return [_time(self.expected), *([_money(self.expected, self.price)] if self.price is not None else [])]


def after(estimate: Estimate, spent: Budget, cells: int) -> str:
    """What a run took that finished so many cells, floors and stages, beside what was said before."""
    unit = estimate.crew.unit
    took = f"took {_hours(spent.spent_hours, unit)} and {clock(spent.wall_s)} for {_count(cells, 'cell')}"
    if estimate.hours is None or estimate.wall_s is None:
        return f"{took}; before the run nothing was known of cells like these"
    most = "at most " if estimate.at_most else ""
    planned = sum(lacking for _, lacking in (estimate.cells, estimate.stages, estimate.floors))
    said = f"{most}{_hours(estimate.hours, unit)} and {clock(estimate.wall_s)} for {planned}"
    return f"{took}; the plan said {said}{_off(estimate.hours, spent.spent_hours, planned, cells)}"


def _off(planned_hours: float, spent_hours: float, planned: int, done: int) -> str:
    """By how much a cell took more or less than it should have."""
    if not (planned_hours and planned and done):
        return ""
    ratio = (spent_hours / done) / (planned_hours / planned)
    return f" ({100 * abs(ratio - 1):.0f} % {'more' if ratio >= 1 else 'less'} a cell)"


def _to_run(estimate: Estimate) -> str:
    kinds = {"cell": estimate.cells, "stage": estimate.stages, "floor cell": estimate.floors}
    parts = [f"{lacking} of {_count(there_are, what)}" for what, (there_are, lacking) in kinds.items() if there_are]
    return f"to run: {', '.join(parts)}"


def _time(estimate: Estimate) -> str:
    crew, most = estimate.crew, "at most " if estimate.at_most else ""
    if estimate.hours is None or estimate.wall_s is None:
        where = "a GPU" if crew.unit == "GPU" else "CPU cores"
        *first, last = estimate.unknown
        kinds = f"{', '.join(first)} or {last}" if first else last
        return f"time: not known, nothing like {kinds} was timed on {where} yet; it is once cells have run"
    if not estimate.seconds:
        return "time: none"
    how = HOW[estimate.by].format(_count(estimate.told_by, "cell"))
    slots = f"{_count(crew.slots, 'slot')} of {_count(crew.units_per_cell, crew.unit)}"
    return f"time: {most}{_hours(estimate.hours, crew.unit)}, {clock(estimate.wall_s)} on {slots}, {how}"


def _room(disk: Disk, slots: int) -> str:
    running = f"checkpoints while {_count(slots, 'cell')} at a time run"
    parts = {"results": disk.results, "stages": disk.stages, running: disk.checkpoints}
    said = ", ".join(f"{_bytes(size)} of {what}" for what, size in parts.items() if size)
    lacks = f"; only {_bytes(disk.free)} are free" if disk.most > disk.free else ""
    return f"disk: {said or 'nothing more'}{lacks}"


def _money(estimate: Estimate, price: float) -> str:
    require(price > 0, "price_per_gpu_hour", price, "above 0")
    if estimate.crew.unit != "GPU":
        return "money: no GPU-hours, cells run on CPU cores"
    if estimate.hours is None:
        return "money: not known, as the time is not"
    most = "at most " if estimate.at_most else ""
    return f"money: {most}{estimate.hours * price:,.2f} at {price:g} a GPU-hour"


def _hours(hours: float, unit: str) -> str:
    """To two digits below ten, else whole."""
    return f"{hours:,.0f} {unit}-hours" if hours >= 10 else f"{hours:.2g} {unit}-hours"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _count(number: float, what: str) -> str:
    return f"{number:,g} {what}" if number == 1 else f"{number:,g} {what}s"
