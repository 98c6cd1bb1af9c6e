"""Puts the points of a sweep into their places: settings first, then seed, fold and language."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from orchestrator.ground import Ground
from search_spaces import Point
from trainers.audio.front_end import FrontEnd
from trainers.corpora.folds import FOLDS
from trainers.methods.configs import FLOORS, FloorConfig, MethodConfig, hearing, hears_target, method_of
from trainers.spec import CellSpec, Training, as_plain, canonical, code_version, digest, written
from trainers.splits import Splits
from trainers.stages import stage_of


@dataclass(frozen=True)
class Request:
    """What the user asked for beside the sweep's name; empty means all there are (seeds: the sweep's own).

    `repeats`: how many partitions there are to take folds from; where each has K folds, fold f is fold f mod K of
    repeat f // K (`trainers.splits`).
    """

    languages: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    folds_by: str = "speaker"
    settings: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell with its place in the sweep. `configuration` is None for a floor; `stage` is the key of the stage that it
    begins with, "" for none."""

    spec: CellSpec
    key: str
    configuration: int | None
    stage: str = ""


@dataclass(frozen=True)
class Heard:
    """Hash of all that a cell hears and of what its stage hears, each as JSON too."""

    cell: str
    cell_json: str
    stage_json: str


@dataclass(frozen=True)
class Pattern:
    """A configuration's cell without a place, with what the keys of all its cells share, written once.

    `stage`: the same of the stage that they begin with; None where there is none.
    """

    spec: CellSpec
    configuration: int | None
    hears: tuple[object, ...]
    hears_target: bool
    cell: Mapping[str, str]
    stage: Mapping[str, str] | None

    @classmethod
    def of(cls, spec: CellSpec, configuration: int | None) -> "Pattern":
        stage, config = stage_of(spec, ""), spec.config
        own = written(as_plain(stage)) if stage else None
        return cls(spec, configuration, hearing(config), hears_target(config), spec.written(), own)

    def placed(self, place: Mapping[str, Any], place_json: Mapping[str, str], heard: Heard) -> PlannedCell:
        """The cell of one seed, fold and language."""
        spec = replace(self.spec, **place, data_fingerprint=heard.cell)
        key = digest({**self.cell, **place_json, "data_fingerprint": heard.cell_json})
        if self.stage is None:
            return PlannedCell(spec, key, self.configuration)
        stage = {**self.stage, "seed": place_json["seed"], "data_fingerprint": heard.stage_json}
        return PlannedCell(spec, key, self.configuration, digest(stage))


def template(config: MethodConfig, training: Training) -> CellSpec:
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
    """The ground and the wishes by which points become cells."""

    ground: Ground
    request: Request
    splits: Splits
    _heard: dict[tuple[object, ...], Heard] = field(default_factory=dict)

    def configured(self, point: Point, training: Training) -> CellSpec:
        """A point's cell without a place. Settings come from the sweep, then the protocol where the method has such a
        one, the fleet's precision, the user where the method has such a one, and last the point's own."""
        protocol = self.ground.protocol
        blank = replace(
            template(point.config, training),
            front_end=protocol.front_end,
            protocol=protocol.name,
            folds_by=self.request.folds_by,
            encoder_fingerprint=self.ground.encoder(point.encoder).fingerprint,
        )
        named = {**protocol.settings, "precision": self.ground.precision, **self.request.settings}
        known = blank.settings()
        fixed = self._fixed(point)
        own = {name: value for name, value in named.items() if name in known and name not in fixed}
        return blank.configured({**known, **own, **point.values})

    def _fixed(self, point: Point) -> set[str]:
        """Settings by which an arm differs from its method's own: a protocol or a user that changed them would make
        two arms one."""
        if not point.arm:
            return set()
        plain = type(point.config)()
        return {one.name for one in fields(plain) if getattr(plain, one.name) != getattr(point.config, one.name)}

    def cells(self, patterns: Sequence[Pattern], target: str | None, fold: int, seed: int) -> Iterator[PlannedCell]:
        """The cells of one place, of all patterns that have one there."""
        place = {"target": target, "fold": fold, "seed": seed}
        place_json = written(place)
        for pattern in patterns:
            if self._has_place(pattern.hears_target, target, fold):
                yield pattern.placed(place, place_json, self._hears(pattern, target, fold))

    def placed(
        self, spec: CellSpec, configuration: int | None, target: str | None, fold: int, seed: int
    ) -> PlannedCell:
        """One cell of a configuration."""
        pattern, place = Pattern.of(spec, configuration), {"target": target, "fold": fold, "seed": seed}
        return pattern.placed(place, written(place), self._hears(pattern, target, fold))

    def floors(self, like: CellSpec, languages: Sequence[str], folds: Sequence[int]) -> Iterator[PlannedCell]:
        """The floors share the front end, and nothing else, with the sweep's cells."""
        within = self.ground.protocol.task == "within"
        methods = FLOORS[:2] if within else FLOORS  # within a corpus its own statistics are the probe's
        bare = replace(like, method=methods[0], config=FloorConfig(), training=Training(steps=1))
        floors = [replace(bare, method=method, code_version=code_version(method)) for method in methods]
        for fold in folds:
            for target in languages if within else (None,):
                if self._has_place(hears_target(bare.config), target, fold):
                    yield from (self.placed(floor, None, target, fold, seed=0) for floor in floors)

    def _has_place(self, hears_target: bool, target: str | None, fold: int) -> bool:
        """Whether there is such a cell: within corpora one of every language, else as the method hears."""
        if self.ground.protocol.task == "within":
            return target is not None and fold < self.splits.folds(target) * self.request.repeats
        return fold < FOLDS * self.request.repeats and hears_target == (target is not None)

    def _hears(self, pattern: Pattern, target: str | None, fold: int) -> Heard:
        """Cells that hear the same share one reading."""
        place = (target, fold, *pattern.hears)
        if place not in self._heard:
            split, prepared = self.splits.of(target, fold, pattern.spec.config), self.ground.prepared
            cell = split.fingerprint(prepared)
            self._heard[place] = Heard(cell, canonical(cell), canonical(split.stage_fingerprint(prepared)))
        return self._heard[place]
