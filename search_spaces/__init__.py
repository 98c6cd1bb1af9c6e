"""Which question: one file per sweep; the file's name is the command. The file's docstring tells the question's
source, the command and, once it was run, the result."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import PurePath
from types import ModuleType
from typing import Any

import numpy as np

from trainers.errors import UserError, require, unknown
from trainers.methods.configs import MethodConfig
from trainers.settings import plain
from trainers.spec import Training

SHOWS = {
    "matrix": "UAR of every pair of languages, trained on × tested on",
    "stability": "spread over seeds and late in training, spikes of the loss",
    "speakers": "how well unseen speakers are told apart, before and after adaptation",
    "gender": "F1 of women and men, and whether it is back where it was",
    "distance": "correlation of what is gained with linguistic distance",
}
"""What an answer may have below its table."""


SEARCHES = ("grid", "random", "tpe")


LISTS: tuple[tuple[str, type, str], ...] = (
    ("seeds", int, "whole numbers"),
    ("protocols", str, "names"),
    ("encoders", str, "names"),
    ("shows", str, "names"),
)
"""Fields of a sweep that are lists, and of what."""


@dataclass(frozen=True)
class Point:
    """One point of a search space: its arm ("" where there is only one), that arm's config, and the swept settings.

    `encoder`: what its encoder is called; "" where the sweep has only one.
    """

    arm: str
    config: MethodConfig
    values: Mapping[str, Any]
    encoder: str = ""

    def named(self) -> dict[str, Any]:
        """All by which it differs from others, as a sweep's `reference` has it."""
        places = {"encoder": self.encoder, "arm": self.arm}
        return {**{name: value for name, value in places.items() if value}, **self.values}


@dataclass(frozen=True)
class Sweep:
    """A named question.

    `config`: the method and its settings; or `arms`: name -> method and settings, to compare methods or settings that
    do not form a grid. `axes`: setting -> Tune's `grid_search([...])`, crossed with the arms; settings that move
    together are named together, separated by a comma, and take lists of tuples. With an axis that draws
    (`tune.uniform`, `tune.loguniform`, `tune.choice`, …) the search is random: `samples` points, always the same ones.
    `reference`: the configuration that others are compared with, by its values (its arm is named "arm"); a random
    search begins with it, beside its samples.
    `protocols`: those that it is asked under, the demo's first; the first real one is taken with data. `folds_by`: how
    folds part unless the user says otherwise. `encoders`: checkpoints that it is asked of, one after the other, unless
    the user names others; the demo has only its own. `shows`: what the answer has below its table, of `SHOWS`.
    `chooses`: the question is which configuration is best, so that beaten ones may be dropped; False where the whole
    table is the answer (a matrix, a curve, methods beside each other). `listed`: the points that a search has found so
    far; the axes are then not expanded. `at_random`: points of a grid are drawn.
    """

    question: str
    config: MethodConfig | None = None
    arms: Mapping[str, MethodConfig] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    seeds: tuple[int, ...] = (0,)
    samples: int = 16
    protocols: tuple[str, ...] = ("demo", "open", "gong2025")
    folds_by: str = "speaker"
    encoders: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    chooses: bool = True
    listed: tuple[Mapping[str, Any], ...] | None = None
    at_random: bool = False

    def __post_init__(self) -> None:
        for name in ("axes", "arms", "reference"):
            value = getattr(self, name)
            sound = isinstance(value, Mapping) and all(isinstance(each, str) for each in value)
            require(sound, name, value, "a mapping from names")
        if (self.config is None) == (not self.arms):
            raise UserError("a sweep needs either a config or arms")
        for config in (*([] if self.config is None else [self.config]), *self.arms.values()):
            require(isinstance(config, MethodConfig), "config", config, "settings of a method, such as ByolConfig()")
        require(isinstance(self.training, Training), "training", self.training, "Training(...)")
        for name, kind, what in LISTS:
            value = getattr(self, name)
            sound = isinstance(value, tuple | list) and all(type(each) is kind for each in value)
            require(sound, name, value, f"a tuple of {what}")
        whole = type(self.samples) is int and self.samples >= 1
        require(whole, "samples", self.samples, "a whole number, at least 1")
        for name in self.shows:
            require(name in SHOWS, "shows", name, f"one of {', '.join(SHOWS)}")

    def searched(self, how: str | None, samples: int | None) -> "Sweep":
        """The sweep with its points found as of `SEARCHES` (None: as it is declared), so many (None: as declared).

        UserError: a number of points for a grid, which has all of its own.
        """
        if samples is not None:
            require(samples >= 1, "samples", samples, "at least 1")
        if how == "grid" and self.is_random:
            raise UserError("--search grid needs axes of values; this sweep draws its points")
        chosen = replace(self, at_random=self.at_random or (how == "random" and bool(self.axes)))
        if samples is None or how == "tpe":
            return chosen
        if not chosen.is_random:
            raise UserError(f"samples is {samples}; this sweep is a grid and has all of its points (--search random)")
        return replace(chosen, samples=samples)

    @property
    def is_random(self) -> bool:
        """Whether some axis is drawn from."""
        return self.at_random or any(hasattr(space, "sample") for space in self.axes.values())

    def points(self, encoders: Iterable[str] = ()) -> list[Point]:
        """Every point, in the order of encoders (by what they are called), arms and axes."""
        arms = {"": self.config} if self.config else dict(self.arms)
        places = product(tuple(encoders) or ("",), arms.items(), self.grid())
        return [Point(arm, config, values, encoder) for encoder, (arm, config), values in places]

    def grid(self) -> list[dict[str, Any]]:
        """Every point of the axes as {setting: value}, in their order."""
        swept = [name for axis in self.axes for name in axis_names(axis)]
        for name in swept:
            if swept.count(name) > 1:
                raise UserError(f"{name} is in two axes: {', '.join(map(repr, self.axes))}")
        if self.listed is not None:
            return [dict(point) for point in self.listed]
        if self.is_random:
            drawn = [self.drawn(number) for number in range(self.samples)]
            points = [dict(self.reference), *drawn] if self.reference else drawn
            return [point for number, point in enumerate(points) if point not in points[:number]]
        columns = [[axis_named(axis, value) for value in _values(axis, space)] for axis, space in self.axes.items()]
        return [{name: value for part in point for name, value in part.items()} for point in product(*columns)]

    def drawn(self, number: int) -> dict[str, Any]:
        """Point `number` of a random search, to four digits; more samples keep those that there were."""
        point: dict[str, Any] = {}
        for place, (axis, space) in enumerate(self.axes.items()):
            source = np.random.RandomState([number, place])
            value = space.sample(random_state=source) if hasattr(space, "sample") else _choice(axis, space, source)
            point |= axis_named(axis, rounded(plain(value)))
        return point


def rounded(value: Any) -> Any:
    """A drawn number to four digits, so that it can be told and asked for again."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def axis_values(axis: str, space: Any) -> list[Any] | None:
    """The values of an axis of choices, in their order; None for one that numbers are drawn from."""
    if hasattr(space, "categories"):
        return list(space.categories)
    return None if hasattr(space, "sample") else _values(axis, space)


def axis_named(axis: str, value: Any) -> dict[str, Any]:
    """A value of an axis as {setting: value}; settings that move together have one each."""
    names = axis_names(axis)
    values = value if len(names) > 1 else (value,)
    if not isinstance(values, tuple | list) or len(values) != len(names):
        raise UserError(f"axis {axis!r} has the point {value!r}; it must be a tuple of {len(names)} values")
    return dict(zip(names, values, strict=True))


def called(encoder: str) -> str:
    """What a checkpoint is called in tables: the last part of its path or name."""
    return PurePath(encoder).name


def _choice(axis: str, space: Any, source: np.random.RandomState) -> Any:
    values = _values(axis, space)
    return values[source.randint(len(values))]


def _values(axis: str, space: Any) -> list[Any]:
    grid = isinstance(space, Mapping) and set(space) == {"grid_search"}
    given = space["grid_search"] if grid else ()
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    if values:
        return values
    raise UserError(f"axis {axis!r} is {space!r}; it must be tune.grid_search([...]) with at least one value")


def axis_names(axis: str) -> list[str]:
    """The settings that an axis moves."""
    return [name.strip() for name in axis.split(",")]


def names() -> list[str]:
    """All sweeps there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Sweep:
    """The sweep of a file in this folder; UserError lists the choices."""
    if name not in names():
        raise unknown("sweep", name, names())
    sweep = getattr(_module(name), "SWEEP", None)
    if not isinstance(sweep, Sweep):
        raise UserError(f"search_spaces/{name}.py must define SWEEP = Sweep(...)")
    return sweep


def questions() -> Iterator[tuple[str, str]]:
    """Every sweep's name with its question."""
    return ((name, load(name).question) for name in names())


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except UserError as error:
        raise UserError(f"search_spaces/{name}.py: {error}") from error
    except (Exception, SystemExit) as error:  # whatever a user's own file may raise
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"search_spaces/{name}.py does not load: {type(error).__name__}: {said}") from error
