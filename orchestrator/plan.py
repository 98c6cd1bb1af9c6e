"""sweep × corpora -> cells and the stages that they share, in the order in which they are worth having."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from orchestrator.ground import Ground
from search_spaces import Point, Sweep
from trainers.audio.front_end import FrontEnd
from trainers.corpora.folds import FOLDS
from trainers.errors import UserError, unknown
from trainers.methods.configs import (
    FLOORS,
    FloorConfig,
    MethodConfig,
    hearing,
    hears_target,
    method_of,
    require_packages,
)
from trainers.spec import CellSpec, Training, code_version
from trainers.splits import Splits
from trainers.stages import stage_of


@dataclass(frozen=True)
class Configuration:
    """One point of the search space; `name` says in what it differs ("tau=0.996")."""

    number: int
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its place in the sweep. `configuration` is None for a floor; `stage` is the key of the stage that it
    begins with, "" for none."""

    spec: CellSpec
    key: str
    configuration: int | None
    stage: str = ""


@dataclass(frozen=True)
class Request:
    """What the user asked for beside the sweep's name; empty means all there are (seeds: the sweep's own)."""

    languages: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    folds_by: str = "speaker"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will ask of the ledger and of the slots.

    `cells` come in the order of blocks: all configurations and languages of one fold before the next fold, so that
    configurations can be compared early.
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
        return [cell for cell in self.cells if cell.configuration == configuration]

    @property
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
    languages = _chosen("language", request.languages, splits.languages)
    folds = _chosen("fold", request.folds, tuple(range(max(splits.folds(language) for language in languages))))
    seeds = tuple(dict.fromkeys(request.seeds or sweep.seeds))
    points = sweep.points(ground.encoders)
    configurations = tuple(_configuration(number, point) for number, point in enumerate(points))
    _require_known(points, sweep, request.settings)
    draft = Draft(ground, request, splits)
    configured = [draft.configured(point, sweep.training) for point in points]
    for spec in configured:
        require_packages(spec.config)
    cells = tuple(
        draft.placed(spec, number, target, fold, seed)
        for seed in seeds
        for fold in folds
        for target in (None, *languages)
        for number, spec in enumerate(configured)
        if draft.has_place(spec, target, fold)
    )
    _require_apart(configurations, cells)
    return Plan(name, configurations, cells, draft.floors(configured[0], languages, folds), languages, folds, seeds)


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
    known = {name for point in points for name in _template(point.config, sweep.training).settings()}
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


def _template(config: MethodConfig, training: Training) -> CellSpec:
    """A method's cell without a place and with nobody else's settings."""
    method = method_of(config)
    return CellSpec(
        method=method,
        code_version=code_version(method),
        config=config,
        training=training,
        front_end=FrontEnd(),
        protocol="",
        folds_by="",
        target=None,
        fold=0,
        seed=0,
        encoder_fingerprint="",
        data_fingerprint="",
    )


@dataclass
class Draft:
    """Puts the points of a sweep into their places: settings first, then language, fold and seed."""

    ground: Ground
    request: Request
    splits: Splits
    _known: dict[tuple[object, ...], tuple[str, str]] = field(default_factory=dict)

    def configured(self, point: Point, training: Training) -> CellSpec:
        """A point's cell without a place. Settings come from the sweep, then the protocol where the method has such a
        one, this machine's precision, the user where the method has such a one, and last the point's own."""
        protocol = self.ground.protocol
        template = replace(
            _template(point.config, training),
            front_end=protocol.front_end,
            protocol=protocol.name,
            folds_by=self.request.folds_by,
            encoder_fingerprint=self.ground.encoder(point.encoder).fingerprint,
        )
        named = {**protocol.settings, "precision": self.ground.precision, **self.request.settings}
        known = template.settings()
        fixed = self._fixed(point)
        own = {name: value for name, value in named.items() if name in known and name not in fixed}
        return template.configured({**known, **own, **point.values})

    def _fixed(self, point: Point) -> set[str]:
        """Settings by which an arm differs from its method's own: a protocol or a user that changed them would make
        two arms one."""
        if not point.arm:
            return set()
        plain = type(point.config)()
        return {one.name for one in fields(plain) if getattr(plain, one.name) != getattr(point.config, one.name)}

    def has_place(self, spec: CellSpec, target: str | None, fold: int) -> bool:
        """Whether there is such a cell: within corpora one of every language, else as the method hears."""
        if self.ground.protocol.task == "within":
            return target is not None and fold < self.splits.folds(target)
        return fold < FOLDS and hears_target(spec.config) == (target is not None)

    def placed(
        self, spec: CellSpec, configuration: int | None, target: str | None, fold: int, seed: int
    ) -> PlannedCell:
        """The cell of one language, fold and seed."""
        fingerprint, of_stage = self._fingerprints(target, fold, spec.config)
        placed = replace(spec, target=target, fold=fold, seed=seed, data_fingerprint=fingerprint)
        stage = stage_of(placed, of_stage)
        return PlannedCell(placed, placed.key(), configuration, stage.key() if stage else "")

    def floors(self, like: CellSpec, languages: Sequence[str], folds: Sequence[int]) -> tuple[PlannedCell, ...]:
        """The floors share the front end, and nothing else, with the sweep's cells."""
        within = self.ground.protocol.task == "within"
        methods = FLOORS[:2] if within else FLOORS  # within a corpus its own statistics are the probe's
        floors = [
            replace(
                like,
                method=method,
                config=FloorConfig(),
                training=Training(steps=1),
                code_version=code_version(method),
            )
            for method in methods
        ]
        return tuple(
            self.placed(floor, None, target, fold, 0)
            for fold in folds
            for target in (languages if within else (None,))
            for floor in floors
            if self.has_place(floor, target, fold)
        )

    def _fingerprints(self, target: str | None, fold: int, config: MethodConfig) -> tuple[str, str]:
        """Of all that a cell hears, and of what its stage hears."""
        place = (target, fold, *hearing(config))
        if place not in self._known:
            split, prepared = self.splits.of(target, fold, config), self.ground.prepared
            self._known[place] = (split.fingerprint(prepared), split.stage_fingerprint(prepared))
        return self._known[place]
