"""How long a cell will take, by how long like ones took.

A training hears seconds of speech, step by step; what it takes is in proportion to these (`heard_s`). What comes beside
it (opening, scoring) does not grow with the steps. Both are means over the ledger's cells that are like the one asked
for, by the first of `RULES` that any is like by; a rehearsal has to do where none is. What a cell takes of a GPU's
memory is the most that like ones took (`Memories`).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.records import Glance
from trainers.methods.configs import FLOORS, AdaptationConfig, ByolConfig, PairwiseConfig
from trainers.spec import CellSpec
from trainers.stages import stage_steps

UNLABELLED = 8 / 3
"""BYOL's two views of each clip without a label: there and back through one encoder, there alone through the other,
and the way back is twice the way there."""

OF_A_STEP = ("views", "clean_view", "supervised_only", "trainable_layers", "view_names", "classify", "freeze_encoder")
"""Settings of methods that decide how much a step computes."""


def heard_s(spec: CellSpec) -> float:
    """Seconds of speech that the training of a cell sends through its encoder, there and back."""
    config, training = spec.config, spec.training
    views = float(len(config.classified) if isinstance(config, PairwiseConfig) else getattr(config, "views", 1))
    if isinstance(config, ByolConfig) and not config.supervised_only:
        views += UNLABELLED
    return 0.0 if _trains_nothing(spec) else training.steps * training.batch_size * views * spec.front_end.length_s


def stage_heard_s(spec: CellSpec) -> float:
    """The same of the stage that a cell begins with, which hears each clip of its batches twice, or in every view."""
    views = len(spec.config.view_names) if isinstance(spec.config, PairwiseConfig) else 2
    return stage_steps(spec) * spec.training.batch_size * views * spec.front_end.length_s


def _trains_nothing(spec: CellSpec) -> bool:
    return spec.method in FLOORS or isinstance(spec.config, AdaptationConfig)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a cell took: `training_s` for hearing so much speech, `rest_s` for all else.

    `units`: on how many GPUs, a share of one, or CPU cores; 0 is not known. `memory_bytes`: what torch took of a GPU at
    most; `gpu_bytes`: what that GPU has; 0 without one, and of results of older versions.
    """

    spec: CellSpec
    heard_s: float
    training_s: float
    rest_s: float
    device: str = ""
    processor: str = ""
    units: float = 0.0
    memory_bytes: int = 0
    gpu_bytes: int = 0


def timed(spec: CellSpec, seen: Glance) -> Timing:
    """The timing of a finished cell."""
    training_s = seen.seconds.get("training", 0.0)
    rest_s = max(0.0, seen.seconds.get("total", 0.0) - training_s)
    of = seen.versions
    units = float(of.get("gpus" if of.get("device") == "cuda" else "cores", 0.0))
    memory = int(of.get("gpu_memory_bytes", 0)), int(of.get("gpu_bytes", 0))
    where = of.get("device", ""), of.get("processor", "")
    return Timing(spec, heard_s(spec), training_s, rest_s, *where, units, *memory)


def rehearsed(spec: CellSpec, step_s: float, scoring_s: float, share: float) -> Timing:
    """The timing of a cell by its rehearsal: a step took `step_s`, and scoring this `share` of its clips `scoring_s`.

    A step that is not the first, for that one warms up. What validations take is left out.
    """
    return Timing(spec, heard_s(spec), step_s * spec.training.steps, scoring_s / share)


def akin(spec: CellSpec) -> tuple[object, ...]:
    """Cells of one method and encoder."""
    return (spec.method, spec.encoder_fingerprint)


def alike(spec: CellSpec) -> tuple[object, ...]:
    """Cells whose steps compute as much, and on as long clips."""
    front_end, training = spec.front_end, spec.training
    return (*akin(spec), front_end.length_s, front_end.crop, training.batch_size, training.precision, *_of_a_step(spec))


def _of_a_step(spec: CellSpec) -> Iterable[Any]:
    return (getattr(spec.config, name, None) for name in OF_A_STEP)


def same(spec: CellSpec) -> tuple[object, ...]:
    """Cells that validate as often, and on the same speech, beside."""
    return (*alike(spec), spec.training.epoch_steps, spec.protocol, spec.folds_by, spec.target)


Rule = Callable[[CellSpec], tuple[object, ...]]

RULES: Mapping[str, Rule] = {"same": same, "alike": alike, "akin": akin, "rehearsed": akin}
"""What two cells have in common, one of which tells how long the other takes; the closest first."""

REHEARSED = "rehearsed"


@dataclass(frozen=True)
class Expected:
    """What a cell is expected to take, and the stage that it begins with. `by`: the name of the rule and what it
    compares, by which `count` cells are like it."""

    training_s: float
    stage_s: float
    rest_s: float
    by: tuple[object, ...]
    count: int

    @property
    def cell_s(self) -> float:
        return self.training_s + self.rest_s


@dataclass(slots=True)
class Sum:
    """Timings of cells that are alike by a rule, added up."""

    count: int = 0
    heard_s: float = 0.0
    training_s: float = 0.0
    rest_s: float = 0.0

    def add(self, timing: Timing, units: float) -> None:
        scale = timing.units / units if timing.units else 1.0
        self.count += 1
        self.heard_s += timing.heard_s
        self.training_s += scale * timing.training_s
        self.rest_s += scale * timing.rest_s

    def expected(self, spec: CellSpec, by: tuple[object, ...]) -> Expected:
        pace = self.training_s / self.heard_s if self.heard_s else 0.0
        return Expected(pace * heard_s(spec), pace * stage_heard_s(spec), self.rest_s / self.count, by, self.count)


class Experience:
    """All timings that are known, by rule and by what the rule compares.

    `units`: on how many GPUs or cores a cell will run. What took so long on others takes as many GPU-hours on these:
    no more is known of how well several share a cell, or how well cells share a GPU.
    """

    def __init__(self, timings: Iterable[Timing], rehearsals: Iterable[Timing] = (), units: float = 1.0) -> None:
        self._sums: dict[tuple[object, ...], Sum] = {}
        self._units = units
        self.scoring = Sum()
        for timing in timings:
            self._add(timing, RULES.keys() - {REHEARSED})
            if timing.heard_s:
                self.scoring.add(timing, units)
        for timing in rehearsals:
            self._add(timing, {REHEARSED})
            self.scoring.add(timing, units)

    def _add(self, timing: Timing, rules: Iterable[str]) -> None:
        for name in rules:
            self._sums.setdefault((name, *RULES[name](timing.spec)), Sum()).add(timing, self._units)

    def expects(self, spec: CellSpec) -> Expected | None:
        """What a cell will take; None where nothing is known that is like it. A floor that was never timed is a pass
        over the speech without training, as scoring is."""
        for name, rule in RULES.items():
            by = (name, *rule(spec))
            if by in self._sums:
                return self._sums[by].expected(spec, by)
        if spec.method in FLOORS:
            return Expected(0.0, 0.0, self.scoring.rest_s / max(1, self.scoring.count), (REHEARSED,), 0)
        return None


def held(spec: CellSpec) -> tuple[object, ...]:
    """Cells that hold the same weights, and of each clip the same for the way back: akin, with equal steps."""
    return (*akin(spec), *_of_a_step(spec))


MEMORY_RULES: Mapping[str, Rule] = {"same": same, "alike": alike, "akin": held}
"""As `RULES`, for what cells take of memory. Cells that are akin alone tell too little: one may freeze the encoder that
the other trains."""


def step_load(spec: CellSpec, staged: bool = False) -> float:
    """What a step holds for the way back grows with this: seconds of speech that it hears, twice where numbers are
    twice as long. `staged`: or a step of the stage that the cell begins with, where that hears more."""
    own = heard_s(spec) / spec.training.steps
    stage = stage_heard_s(spec) / stage_steps(spec) if staged else 0.0
    return max(own, stage) * (2.0 if spec.training.precision == "fp32" else 1.0)


@dataclass(frozen=True)
class Taken:
    """What a cell is expected to take of a GPU's memory at most, by the rule of this name, and by so many cells."""

    memory_bytes: float
    by: str
    count: int


class Memories:
    """What cells that had one GPU took of its memory, by rule and by what the rule compares.

    Weights take what they take and the rest is in proportion to a step's load, so that a cell of r times the load of
    another (r > 1) takes at most r times as much, and one of less load at most as much. Cells of several loads each
    give such a bound; the least of these holds.
    """

    def __init__(self, timings: Iterable[Timing]) -> None:
        self._most: defaultdict[tuple[object, ...], dict[float, int]] = defaultdict(dict)
        self._count = Counter[tuple[object, ...]]()
        for timing in timings:
            if timing.memory_bytes and timing.units <= 1:  # of several GPUs each has a part of the batch
                self._add(timing)

    def _add(self, timing: Timing) -> None:
        load = step_load(timing.spec)
        for name, rule in MEMORY_RULES.items():
            by = (name, *rule(timing.spec), _averages(timing.spec))
            self._most[by][load] = max(timing.memory_bytes, self._most[by].get(load, 0))
            self._count[by] += 1

    def expects(self, spec: CellSpec, staged: bool = False) -> Taken | None:
        """What a cell will take, or the stage before it if that is `staged`; None where nothing tells."""
        load = step_load(spec, staged)
        for name, rule in MEMORY_RULES.items():
            by = (name, *rule(spec), _averages(spec))
            known = {step: most for step, most in self._most.get(by, {}).items() if step or not load}
            if known:
                least = min(most * max(1.0, load / step) if load else most for step, most in known.items())
                return Taken(least, name, self._count[by])
        return None


def _averages(spec: CellSpec) -> int:
    """Moving averages of the weights that are kept beside a training."""
    return len(getattr(spec.config, "passive_taus", ()))
