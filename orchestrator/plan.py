"""sweep × corpora -> cells, in the order in which they are worth having."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrator.ground import Ground
from search_spaces import Sweep
from trainers.corpora.prepared import Prepared
from trainers.errors import UserError, unknown
from trainers.methods.configs import FLOORS, FloorConfig, hears_target
from trainers.protocols import FOLDS, Splits
from trainers.spec import CellSpec, Training, code_version


@dataclass(frozen=True)
class Configuration:
    """One point of the search space; `name` says in what it differs ("tau=0.996")."""

    number: int
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its place in the sweep. `configuration` is None for a floor."""

    spec: CellSpec
    key: str
    configuration: int | None


@dataclass(frozen=True)
class Request:
    """What the user asked for beside the sweep's name; empty means all there are (seeds: the sweep's own)."""

    languages: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    lrl_folds: str = "speaker"
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


def plan(name: str, sweep: Sweep, ground: Ground, request: Request) -> Plan:
    """Expand a sweep; UserError where a language, fold or setting is not there or out of range, where the user sets
    what the sweep varies, and where two configurations would be the same training."""
    splits = Splits(ground.protocol, ground.prepared, request.lrl_folds)
    languages = _chosen("language", request.languages, splits.languages)
    folds = _chosen("fold", request.folds, tuple(range(FOLDS)))
    seeds = tuple(dict.fromkeys(request.seeds or sweep.seeds))
    configurations = tuple(_configurations(sweep))
    _require_unswept(configurations, request.settings)
    template = _template(sweep, ground, request.lrl_folds)
    draft = Draft(template, _settings(template, ground, request), splits, ground.prepared)
    configured = [(one, draft.configured(one)) for one in configurations]
    cells = tuple(
        draft.placed(spec, one.number, target, fold, seed)
        for seed in seeds
        for fold in folds
        for target in (None, *languages)
        for one, spec in configured
        if hears_target(spec.config) == (target is not None)
    )
    _require_apart(configurations, cells)
    floors = tuple(draft.floor(method, fold) for fold in folds for method in FLOORS)
    return Plan(name, configurations, cells, floors, languages, folds, seeds)


def _chosen(kind: str, asked: tuple[Any, ...], there_are: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in asked:
        if value not in there_are:
            raise unknown(kind, value, there_are)
    return tuple(dict.fromkeys(asked)) or there_are


def _configurations(sweep: Sweep) -> Iterator[Configuration]:
    for number, values in enumerate(sweep.grid()):
        name = " ".join(f"{setting}={_short(value)}" for setting, value in values.items())
        yield Configuration(number, name or sweep.method, values)


def _short(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def _require_unswept(configurations: Sequence[Configuration], settings: Mapping[str, Any]) -> None:
    swept = sorted(set(settings) & {name for one in configurations for name in one.values})
    if swept:
        raise UserError(f"{swept[0]} is an axis of this sweep and cannot be set beside it")


def _require_apart(configurations: Sequence[Configuration], cells: Sequence[PlannedCell]) -> None:
    first: dict[str, int | None] = {}
    for cell in cells:
        other = first.setdefault(cell.key, cell.configuration)
        if other != cell.configuration:
            names = [configurations[number or 0].name for number in (other, cell.configuration)]
            raise UserError(f"two configurations are the same training: {names[0]} and {names[1]}")


def _template(sweep: Sweep, ground: Ground, lrl_folds: str) -> CellSpec:
    """The sweep's cell without a place and with nobody else's settings."""
    return CellSpec(
        method=sweep.method,
        code_version=code_version(sweep.method),
        config=sweep.config,
        training=sweep.training,
        front_end=ground.protocol.front_end,
        protocol=ground.protocol.name,
        lrl_folds=lrl_folds,
        target=None,
        fold=0,
        seed=0,
        encoder_fingerprint=ground.encoder_fingerprint,
        data_fingerprint="",
    )


def _settings(template: CellSpec, ground: Ground, request: Request) -> dict[str, Any]:
    """Every setting: the sweep's, then the protocol's where the method has such a one, this machine's precision, then
    the user's."""
    own = template.settings()
    protocols = {name: value for name, value in ground.protocol.settings.items() if name in own}
    return {**own, **protocols, "precision": ground.precision, **request.settings}


@dataclass
class Draft:
    """Puts the template of a sweep into its places."""

    template: CellSpec
    settings: Mapping[str, Any]
    splits: Splits
    prepared: Prepared
    _fingerprints: dict[tuple[str | None, int], str] = field(default_factory=dict)

    def configured(self, configuration: Configuration) -> CellSpec:
        """A configuration's cell without a place."""
        return self.template.configured({**self.settings, **configuration.values})

    def floor(self, method: str, fold: int) -> PlannedCell:
        """The floors share the front end, and nothing else, with the sweep's cells."""
        bare = replace(
            self.template,
            method=method,
            config=FloorConfig(),
            training=Training(steps=1),
            code_version=code_version(method),
        )
        front_end = {name: self.settings[name] for name in asdict(self.template.front_end)}
        return self.placed(bare.configured(front_end), None, None, fold, 0)

    def placed(
        self, spec: CellSpec, configuration: int | None, target: str | None, fold: int, seed: int
    ) -> PlannedCell:
        """The cell of one language, fold and seed."""
        placed = replace(spec, target=target, fold=fold, seed=seed, data_fingerprint=self._fingerprint(target, fold))
        return PlannedCell(placed, placed.key(), configuration)

    def _fingerprint(self, target: str | None, fold: int) -> str:
        if (target, fold) not in self._fingerprints:
            self._fingerprints[target, fold] = self.splits.of(target, fold).fingerprint(self.prepared)
        return self._fingerprints[target, fold]
