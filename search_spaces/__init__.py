"""Which question: one file per sweep; the file's name is the command. The file's docstring tells the question's
source, the command and, once it was run, the result."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import ModuleType
from typing import Any

from trainers.errors import UserError, unknown
from trainers.methods.configs import MethodConfig
from trainers.spec import Training


@dataclass(frozen=True)
class Sweep:
    """A named question.

    `axes`: setting -> Tune's `grid_search([...])`; settings that move together are named together, separated by a
    comma, and take lists of tuples. `reference`: the configuration that others are compared with, by its values.
    """

    question: str
    method: str
    config: MethodConfig
    axes: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    seeds: tuple[int, ...] = (0,)

    def grid(self) -> list[dict[str, Any]]:
        """Every point of the grid as {setting: value}, in the order of the axes."""
        swept = [name for axis in self.axes for name in _names(axis)]
        for name in swept:
            if swept.count(name) > 1:
                raise UserError(f"{name} is in two axes: {', '.join(map(repr, self.axes))}")
        columns = [[_named(axis, value) for value in _values(axis, space)] for axis, space in self.axes.items()]
        return [{name: value for part in point for name, value in part.items()} for point in product(*columns)]


def _values(axis: str, space: Any) -> list[Any]:
    grid = isinstance(space, Mapping) and set(space) == {"grid_search"}
    values = list(space["grid_search"]) if grid else []
    if values:
        return values
    raise UserError(f"axis {axis!r} is {space!r}; it must be tune.grid_search([...]) with at least one value")


def _names(axis: str) -> list[str]:
    return [name.strip() for name in axis.split(",")]


def _named(axis: str, value: Any) -> dict[str, Any]:
    names = _names(axis)
    values = value if len(names) > 1 else (value,)
    if not isinstance(values, tuple | list) or len(values) != len(names):
        raise UserError(f"axis {axis!r} has the point {value!r}; it must be a tuple of {len(names)} values")
    return dict(zip(names, values, strict=True))


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
    except UserError:
        raise
    except Exception as error:  # whatever a user's own file may raise
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"search_spaces/{name}.py does not load: {type(error).__name__}: {said}") from error
