"""Parallel coordinates: every configuration as a line through all that was swept, ending at its validation UAR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import INK, Picture, colour, picture
from orchestrator.pictures.material import Material, is_numeric, moved

WIDE_IN = 7.2
WIDE_RATIO = 20.0

READ = (
    "Each line is a configuration; each upright axis a setting, from its least value below to its greatest above; the "
    "last axis is validation UAR, by which configurations are chosen. Test scores are not in this picture. Stronger "
    "lines are better on validation. Settings were varied together, so a bundle of lines is a hint for the next sweep "
    "and no effect of one setting.",
)


@dataclass(frozen=True)
class Upright:
    """One axis: where each configuration crosses it (0 to 1), and what stands at which heights."""

    title: str
    heights: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def chapter(material: Material) -> Chapter:
    title = "All settings at once"
    names = [name for name in material.listed if material.rows[name].valid]
    settings = moved([material.candidates[name] for name in names])
    if len(settings) < 2 or len(names) < 3:
        return Chapter(title, ("Fewer than two settings were varied, so there is nothing to lay side by side.",))
    uprights = [
        upright(setting, [material.candidates[name].values.get(setting) for name in names]) for setting in settings
    ]
    reached = [100 * valid.mean for name in names if (valid := material.rows[name].valid)]
    uprights.append(upright("validation UAR, %", reached, digits=1))
    return Chapter(
        title,
        READ,
        (
            Group(
                "The reference is dashed, the chosen configuration bold.",
                (_picture(material, names, uprights, reached),),
            ),
        ),
    )


def upright(title: str, values: Sequence[Any], digits: int | None = None) -> Upright:
    """Numbers by size, in logs where they are positive and far apart; anything else evenly, in the plan's order."""
    if not is_numeric(values):
        own = list(dict.fromkeys(values))
        at = {value: place / max(1, len(own) - 1) for place, value in enumerate(own)}
        ticks = tuple((at[value], _word(value)) for value in own)
        return Upright(title, tuple(at[value] for value in values), ticks)
    numbers = np.array(values, np.float64)
    in_logs = numbers.min() > 0 and numbers.max() / numbers.min() > WIDE_RATIO
    scaled = np.log(numbers) if in_logs else numbers
    span = float(np.ptp(scaled)) or 1.0
    heights = (scaled - scaled.min()) / span
    distinct = sorted(set(zip(heights.tolist(), numbers.tolist(), strict=True)))
    shown = distinct if len(distinct) <= 5 else [distinct[0], distinct[-1]]
    words = tuple((height, f"{value:.{digits}f}" if digits is not None else f"{value:g}") for height, value in shown)
    return Upright(f"{title} (logs)" if in_logs else title, tuple(heights.tolist()), words)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or "none"
    return "–" if value is None else str(value)


def _picture(
    material: Material, names: Sequence[str], uprights: Sequence[Upright], reached: Sequence[float]
) -> Picture:
    order = sorted(range(len(names)), key=lambda place: -reached[place])
    told = "; ".join(f"{names[place]}: {reached[place]:.1f}" for place in order)
    swept = ", ".join(one.title for one in uprights[:-1])
    alt = f"Parallel coordinates of {len(names)} configurations over {swept}. Validation UAR in %, best first: {told}."
    marked: Mapping[int, str] = {
        names.index(name): kind
        for kind, name in (("reference", material.reference), ("chosen", material.chosen))
        if name in names
    }
    draw = partial(_draw, uprights=uprights, marked=marked)
    return picture("parallel-coordinates", "Settings and validation UAR", alt, draw, width_in=WIDE_IN, height_in=3.4)


def _draw(axes: Axes, uprights: Sequence[Upright], marked: Mapping[int, str]) -> None:
    across = range(len(uprights))
    for place in across:
        axes.axvline(place, color=INK, linewidth=0.8)
        for height, word in uprights[place].ticks:
            axes.text(place + 0.03, height, word, va="bottom" if height < 1 else "top", fontsize=8, zorder=5)
    for number, strength in enumerate(uprights[-1].heights):
        heights = [one.heights[number] for one in uprights]
        kind = marked.get(number, "")
        style: dict[str, Any] = {"color": colour(0), "alpha": 0.25 + 0.6 * strength, "linewidth": 1.2}
        if kind == "reference":
            style = {"color": colour(2), "linestyle": "--", "linewidth": 1.8, "label": "reference", "zorder": 4}
        if kind == "chosen":
            style = {"color": colour(1), "linewidth": 2.4, "label": "chosen", "zorder": 4}
        axes.plot(across, heights, **style)
    axes.set_xticks(list(across), [one.title for one in uprights])
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.set_xlim(-0.1, len(uprights) - 0.55)
    axes.tick_params(axis="x", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if marked:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=2)
