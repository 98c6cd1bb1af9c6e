"""sweep × corpora -> cells and the stages that they share, in the order in which they are worth having."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.draft import Draft, Pattern, PlannedCell, Request, template
from orchestrator.ground import Ground
from search_spaces import Point, Sweep
from trainers.errors import UserError, unknown
from trainers.methods.configs import method_of, require_packages
from trainers.splits import Splits

__all__ = ["Configuration", "Draft", "Plan", "PlannedCell", "Request", "plan"]


@dataclass(frozen=True)
class Configuration:
    """One point of the search space; `name` says in what it differs ("tau=0.996")."""

    number: int
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will ask of the ledger and of the slots.

    `cells` come in the order of blocks: all configurations and languages of one fold before the next fold, so that
    configurations can be compared early; all seeds of a partition before the next repeat of it.
    """

    sweep: str
    configurations: tuple[Configuration, ...]
    cells: tuple[PlannedCell, ...]
    floors: tuple[PlannedCell, ...]
    languages: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]

    def of(self, configuration: int) -> list[PlannedCell]:
        """The cells of one configuration."""
        return self._of.get(configuration, [])

    @cached_property
    def _of(self) -> dict[int | None, list[PlannedCell]]:
        found: dict[int | None, list[PlannedCell]] = {}
        for cell in self.cells:
            found.setdefault(cell.configuration, []).append(cell)
        return found

    @cached_property
    def blocks(self) -> dict[tuple[int, int], int]:
        """(seed, fold) of each block -> its place in the order in which blocks are worked off."""
        places = dict.fromkeys((cell.spec.seed, cell.spec.fold) for cell in self.cells)
        return {place: number for number, place in enumerate(places)}

    @cached_property
    def stages(self) -> dict[str, PlannedCell]:
        """Key of each stage -> the first cell that begins with it."""
        found: dict[str, PlannedCell] = {}
        for cell in self.cells:
            if cell.stage:
                found.setdefault(cell.stage, cell)
        return found


def plan(name: str, sweep: Sweep, ground: Ground, request: Request) -> Plan:
    """Expand a sweep; UserError where a language, fold or setting is not there or out of range, where the user sets
    what the sweep varies, where a package that a method needs is not installed, and where two configurations would be
    the same training."""
    splits = Splits(ground.protocol, ground.prepared, request.folds_by)
    splits.require_repeats(request.repeats)
    languages = _chosen("language", request.languages, splits.languages)
    size = max(splits.folds(language) for language in languages)
    folds = _chosen("fold", request.folds, tuple(range(size * request.repeats)))
    seeds = tuple(dict.fromkeys(request.seeds or sweep.seeds))
    points = sweep.points(ground.encoders)
    configurations = tuple(_configuration(number, point) for number, point in enumerate(points))
    _require_known(points, sweep, request.settings)
    draft = Draft(ground, request, splits)
    patterns = [Pattern.of(draft.configured(point, sweep.training), number) for number, point in enumerate(points)]
    for pattern in patterns:
        require_packages(pattern.spec.config)
    cells = tuple(
        cell
        for seed, fold in _blocks(seeds, folds, size)
        for target in (None, *languages)
        for cell in draft.cells(patterns, target, fold, seed)
    )
    _require_apart(configurations, cells)
    floors = tuple(draft.floors(patterns[0].spec, languages, folds))
    return Plan(name, configurations, cells, floors, languages, folds, seeds)


def _blocks(seeds: Sequence[int], folds: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Seed and fold of each block, repeat by repeat: what is added later comes last. `size`: folds of a partition."""
    places = [(seed, fold) for seed in seeds for fold in folds]
    return sorted(places, key=lambda place: place[1] // size)


def _chosen(kind: str, asked: tuple[Any, ...], there_are: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in asked:
        if value not in there_are:
            raise unknown(kind, value, there_are)
    return tuple(dict.fromkeys(asked)) or there_are


def _configuration(number: int, point: Point) -> Configuration:
    encoder = f"encoder={point.encoder}" if point.encoder else ""
    named = [encoder, point.arm, *(f"{setting}={_short(value)}" for setting, value in point.values.items())]
    name = " ".join(part for part in named if part)
    return Configuration(number, name or method_of(point.config), point.named())


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_short, value))
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def _require_known(points: Sequence[Point], sweep: Sweep, settings: Mapping[str, Any]) -> None:
    """Each setting of the user must be one that no axis varies and that some arm has."""
    swept = sorted(set(settings) & {name for point in points for name in point.values})
    if swept:
        raise UserError(f"{swept[0]} is an axis of this sweep and cannot be set beside it")
    kinds = {type(point.config): point.config for point in points}
    known = {name for config in kinds.values() for name in template(config, sweep.training).settings()}
    for name in settings:
        if name not in known:
            raise unknown(
                f"setting of {' and '.join(sorted({method_of(point.config) for point in points}))}", name, known
            )


def _require_apart(configurations: Sequence[Configuration], cells: Sequence[PlannedCell]) -> None:
    first: dict[str, int | None] = {}
    for cell in cells:
        other = first.setdefault(cell.key, cell.configuration)
        if other != cell.configuration:
            names = [configurations[number or 0].name for number in (other, cell.configuration)]
            raise UserError(f"two configurations are the same training: {names[0]} and {names[1]}")
