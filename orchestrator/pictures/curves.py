"""Learning curves: losses, validation, and λ and τ as they were really applied."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from orchestrator.answers.section import Found
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import BELOW, Picture, colour, line, picture, slug
from orchestrator.pictures.material import Material

READ = (
    "Each line is the mean over a configuration's cells (folds, languages, seeds) and the shade behind it their range, "
    "at the steps that all of them logged. Losses of different methods are not comparable; look at whether they still "
    "fall, and at validation, which is on high-resource speech unless the head says otherwise. The last checkpoint is "
    "scored, not the best one. λ and τ are those that the optimiser's steps really applied, so a schedule that is not "
    "what was asked for shows here.",
)

SETTINGS = {"lambda": "λ, weight of BYOL's loss, as applied", "tau": "τ, the target's momentum, as applied"}
VALID = {"valid_uar": "validation UAR, %", "valid_accuracy": "validation accuracy, %"}


@dataclass(frozen=True)
class Curve:
    """Mean and range over cells, at `steps`."""

    steps: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def chapter(material: Material) -> Chapter:
    title = "Learning curves"
    found = {name: material.whole(name) for name in material.few_and_chosen}
    panels = [*_losses(material, found), *_together(material, found)]
    if not panels:
        return Chapter(title, ("No results with curves are there, so this is left out.",))
    caption = "Losses of each configuration, then validation and the applied settings of all of them."
    return Chapter(title, READ, (Group(caption, tuple(panels)),))


def names(found: Found, start: str) -> list[str]:
    """The logged names that begin so, in the order in which they first appear."""
    return list(
        dict.fromkeys(
            name for result in found.values() for row in result.history for name in row if name.startswith(start)
        )
    )


def curve(found: Found, name: str) -> Curve | None:
    """Over all cells that logged `name`, at the steps that all of these logged; None where there is none."""
    logged = [
        {row["step"]: row[name] for row in result.history if name in row and "step" in row} for result in found.values()
    ]
    logged = [one for one in logged if one]
    steps = sorted(set.intersection(*(set(one) for one in logged))) if logged else []
    if not steps:
        return None
    values = np.array([[one[step] for step in steps] for one in logged])
    return Curve(np.array(steps), values.mean(0), values.min(0), values.max(0))


def _losses(material: Material, found: Mapping[str, Found]) -> Iterator[Picture]:
    for name, own in found.items():
        told = {loss.removeprefix("loss/"): one for loss in names(own, "loss/") if (one := curve(own, loss))}
        if len(told) == 2:  # the total is the other one again
            told.pop("total", None)
        if told:
            number = material.number(name)
            yield _picture(f"losses-{number}", f"{material.label(name)}: losses", f"Training losses of {name}", told)


def _together(material: Material, found: Mapping[str, Found]) -> Iterator[Picture]:
    """Validation, λ and τ, each with a line for every configuration that has it."""
    for logged, title in (VALID | SETTINGS).items():
        scale = 100 if logged in VALID else 1
        told = {material.label(name): one for name, own in found.items() if (one := curve(own, logged))}
        if told:
            yield _picture(slug(f"curve-{logged}"), title, title, told, scale)


def _picture(name: str, title: str, what: str, told: Mapping[str, Curve], scale: float = 1.0) -> Picture:
    ends = "; ".join(
        f"{label}: {scale * one.mean[0]:.4g} at step {one.steps[0]:g}, {scale * one.mean[-1]:.4g} at step "
        f"{one.steps[-1]:g} (from {scale * one.low[-1]:.4g} to {scale * one.high[-1]:.4g})"
        for label, one in told.items()
    )
    draw = partial(_draw, told=list(told.items()), scale=scale)
    return picture(name, title, f"{what}, over steps. {ends}.", draw)


def _draw(axes: Axes, told: Sequence[tuple[str, Curve]], scale: float) -> None:
    for number, (label, one) in enumerate(told):
        style: dict[str, Any] = {"color": colour(number), "linestyle": line(number), "label": label}
        mark = "o" if len(one.steps) < 4 else None
        axes.plot(one.steps, scale * one.mean, marker=mark, **style)
        axes.fill_between(one.steps, scale * one.low, scale * one.high, color=colour(number), alpha=0.15, linewidth=0)
    axes.set_xlabel("step")
    axes.legend(bbox_to_anchor=(0.5, -0.22), ncol=2 if _are_short(told) else 1, **BELOW)


def _are_short(told: Sequence[tuple[str, Curve]]) -> bool:
    return max(len(label) for label, _ in told) < 18
