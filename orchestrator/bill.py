"""What a person is told of a sweep's costs: before it runs, and when it is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from orchestrator.budget import Budget
from orchestrator.costs import Demand, Estimate
from orchestrator.disk import Disk
from orchestrator.display import clock
from orchestrator.fleet import Fit, Fleet, fit
from orchestrator.packing import share_of
from orchestrator.timings import Timing
from trainers.errors import require

HOW = {
    "same": "by {} like these, of other values or folds",
    "alike": "by {} with as much work in a step",
    "akin": "by {} of the same methods and encoders, in proportion to the speech that they heard",
    "rehearsed": "by rehearsals of {}",
}
"""By what a time is told, for each of `timings.RULES`."""

BOUNDS = {
    "memory": "",
    "CPUs": "; its memory would hold more, but each is to have a CPU",
    "most": "; its memory would hold more, but nobody tried that",
    "cells": "; its memory would hold more, but so few are to run at a time",
}
"""What is said of each bound of `fleet.fit`."""


@dataclass(frozen=True)
class Sharing:
    """How many GPUs each cell gets (None: what the engine finds, one where there is any), and what is said of that."""

    gpus_per_cell: float | None
    told: str = ""


def sharing(asked: float | str | None, fleet: Fleet, demand: Demand, at_once: float = inf) -> Sharing:
    """What was `asked`, with a word where a GPU would hold more cells; for "auto" the share of as many as one holds.

    `at_once`: cells that run at a time, at most.
    """
    found = fit(fleet, demand, at_once)
    if not isinstance(asked, str):  # AUTO is the only word
        larger = found and share_of(found.cells) < (1.0 if asked is None else asked) <= 1
        return Sharing(asked, f"one GPU holds {_fits(found)}" if found and larger else "")
    if found:
        return Sharing(share_of(found.cells), f"packed: one GPU is to hold {_fits(found)}")
    if not fleet.most_gpus:
        return Sharing(None, "packed: no GPU is here or may come, so cells run on CPU cores")
    return Sharing(1.0, f"packed: a whole GPU for each cell; {_unknown(fleet, demand)}")


def _fits(found: Fit) -> str:
    such = f"{_count(found.cells, 'such cell')} (--gpus-per-cell {share_of(found.cells):g})"
    size = f"one takes up to {_bytes(found.taken.memory_bytes)} of {_bytes(found.gpu_bytes)}"
    return f"{such}: {size}, {HOW[found.taken.by].format(_count(found.taken.count, 'cell'))}{BOUNDS[found.bound]}"


def _unknown(fleet: Fleet, demand: Demand) -> str:
    if not demand.cells:
        return "nothing is to run"
    if demand.taken is None:
        who = _either(demand.unknown or ("floor",))
        return f"what {who} cells take of its memory is known once some have run on one"
    return f"how much memory each {_either(sorted(fleet.gpus))} has is known once cells have run on it"


def told(estimate: Estimate, price: float | None = None) -> list[str]:
    """The estimate in a few lines; `price` of a GPU-hour, in whatever money. UserError for a price of 0 or less."""
    lines = [_to_run(estimate), _time(estimate), _room(estimate.disk, estimate.crew.slots)]
    return [*lines, _money(estimate, price)] if price is not None else lines


@dataclass
class Bill:
    """What a run is expected to cost. `reckon`: the same once canaries have told how long cells take; `price`: as in
    `told`; `shared`: what is said of how cells share a GPU."""

    expected: Estimate
    reckon: Callable[[Sequence[Timing]], Estimate]
    price: float | None = None
    shared: str = ""

    def told(self) -> list[str]:
        return [*told(self.expected, self.price), *([self.shared] if self.shared else [])]

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
        kinds = _either(estimate.unknown)
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


def _either(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _count(number: float, what: str) -> str:
    return f"{number:,g} {what}" if number == 1 else f"{number:,g} {what}s"
