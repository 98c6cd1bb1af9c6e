"""Where configurations stand in a picture: along the setting that was swept, or each in a row of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from orchestrator.pictures.drawing import INK, PAPER, colour, line, marker
from orchestrator.pictures.material import Material, is_numeric, moved

MOST_LINES = 5
"""More values of a further setting are no lines beside one another but points."""

TICKS = 7
WIDE_RATIO = 20.0
"""A positive axis whose values differ by more is logarithmic."""

CLOSE = 0.9
"""Where all values lie between this and 1, their distance from 1 is what matters: momenta."""


@dataclass(frozen=True)
class Layout:
    """`axis`: a setting of numbers, with a line for each value of `apart` ("" for one line); without an axis each
    configuration has a row of its own."""

    axis: str
    apart: str


def layout_of(material: Material) -> Layout:
    """Lines along an axis where one setting of numbers moved, and at most one other; rows otherwise."""
    names = moved([material.candidates[name] for name in material.listed])
    numeric = [name for name, values in names.items() if is_numeric(values)]
    others = [name for name in names if name not in numeric]
    if len(numeric) == 1 and (not others or (len(others) == 1 and len(names[others[0]]) <= MOST_LINES)):
        return Layout(numeric[0], others[0] if others else "")
    return Layout("", "")


@dataclass(frozen=True)
class Places:
    """`at`: of each configuration its place along x, or its row; `series`: which of the `labels` it belongs to."""

    at: Mapping[str, float]
    series: Mapping[str, int]
    labels: tuple[str, ...]
    set_up: Callable[[Axes], None]
    in_rows: bool

    @property
    def height_in(self) -> float:
        return 0.9 + 0.24 * len(self.at) if self.in_rows else 2.6

    def rule(self, axes: Axes, value: float, style: str) -> None:
        """A line at one value, across all configurations."""
        (axes.axvline if self.in_rows else axes.axhline)(value, color=INK, linewidth=0.8, linestyle=style)

    def bar(self, axes: Axes, name: str, value: float, reach: float, *, is_filled: bool = True) -> None:
        """A configuration's mark with a bar to either side, which is absent where `reach` is NaN."""
        number = self.series[name]
        style: dict[str, Any] = {"marker": marker(number), "color": colour(number), "linestyle": "none", "zorder": 3}
        style |= {"capsize": 2.5, "elinewidth": 1.0, "markerfacecolor": colour(number) if is_filled else PAPER}
        style["xerr" if self.in_rows else "yerr"] = [reach]
        x, y = self._turned([self.at[name]], [value])
        axes.errorbar(x, y, **style)

    def cut(self, axes: Axes, span: float) -> None:
        """Show no more than from −span to span."""
        low, high = axes.get_xlim() if self.in_rows else axes.get_ylim()
        (axes.set_xlim if self.in_rows else axes.set_ylim)(max(low, -span), min(high, span))

    def dots(self, axes: Axes, name: str, values: Sequence[float]) -> None:
        """Small hollow dots of a configuration."""
        x, y = self._turned([self.at[name]] * len(values), values)
        own = colour(self.series[name])
        axes.scatter(x, y, s=9, facecolors="none", edgecolors=own, linewidths=0.7, zorder=4)

    def join(self, axes: Axes, values: Mapping[str, float], number: int) -> None:
        """A line through configurations along an axis; rows are not joined."""
        if not self.in_rows:
            x, y = zip(*sorted((self.at[name], value) for name, value in values.items()), strict=True)
            axes.plot(x, y, color=colour(number), linestyle=line(number))

    def _turned(self, at: Sequence[float], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
        return (values, at) if self.in_rows else (at, values)


def places_of(material: Material, layout: Layout, names: Sequence[str]) -> Places:
    """Where these configurations stand."""
    if not layout.axis:
        set_up = partial(rows, labels=[material.label(name) for name in names])
        at = {name: float(place) for place, name in enumerate(names)}
        return Places(at, dict.fromkeys(names, 0), (), set_up, in_rows=True)
    values = {name: float(material.candidates[name].values[layout.axis]) for name in names}
    further = {name: material.candidates[name].values.get(layout.apart) for name in names}
    groups = list(dict.fromkeys(further.values()))
    to_one = min(values.values()) >= CLOSE and max(values.values()) < 1
    return Places(
        {name: 1 - value if to_one else value for name, value in values.items()},
        {name: groups.index(value) for name, value in further.items()},
        tuple(f"{layout.apart}={value}" for value in groups) if layout.apart else (),
        partial(_along, axis=layout.axis, values=sorted(set(values.values())), to_one=to_one),
        in_rows=False,
    )


def _along(axes: Axes, axis: str, values: Sequence[float], to_one: bool) -> None:
    """An axis of numbers; momenta near 1 stand by how far they are from 1, in logs, and still grow to the right."""
    axes.set_xlabel(f"{axis} (1 − {axis} in logs)" if to_one else axis)
    at = [1 - value if to_one else value for value in values]
    if to_one or (values[0] > 0 and values[-1] / values[0] > WIDE_RATIO):
        axes.set_xscale("log")
    if to_one:
        axes.invert_xaxis()
    if len(values) <= TICKS:
        axes.set_xticks(at, [f"{value:g}" for value in values])
        axes.set_xticks([], minor=True)
    axes.margins(x=0.12)


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """A row for each label, from above to below, with a faint line."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
