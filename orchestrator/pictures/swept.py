"""What was swept against test UAR, language by language: each level with its folds, and the difference to the reference
with the interval that a claim rests on (VALIDITY §5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from orchestrator.answers.claims import MACRO, Claim, points
from orchestrator.answers.statistics import FEWEST_BLOCKS, corrected_t
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import INK, Picture, colour, line, marker, picture, slug
from orchestrator.pictures.material import Material
from orchestrator.pictures.places import Layout, Places, layout_of, places_of

CHANCE = 25.0


@dataclass(frozen=True)
class Level:
    """Test UAR of a configuration in %: its folds', their mean, and how far the bar reaches to either side (NaN: no
    bar)."""

    name: str
    folds: tuple[float, ...]
    mean: float
    reach: float


def chapter(material: Material) -> Chapter:
    title = "What was varied, and test UAR"
    if not material.listed:
        return Chapter(title, ("No configuration is complete, so there is nothing to show.",))
    layout = layout_of(material)
    levels = {language: _levels(material, language) for language in material.languages}
    every = [level for own in levels.values() for level in own]
    has_interval = all(len(level.folds) >= FEWEST_BLOCKS for level in every)
    groups = [Group(_caption(has_interval), tuple(_level(material, layout, name, own) for name, own in levels.items()))]
    claims = [claim for claim in material.comparison.claims if claim.configuration in material.listed]
    if claims:
        groups.append(_differences(material, layout, claims))
    return Chapter(title, _read(layout), tuple(groups))


def _read(layout: Layout) -> tuple[str, ...]:
    along = f"along {layout.axis}" if layout.axis else "one row for each configuration"
    return (
        f"Test UAR of each language, {along}. Small dots are folds, large marks their means; the dotted line is "
        "chance. The order of two levels is no claim: all configurations share folds and speakers, so look at the "
        "differences below them, and at the sentences at the head. Where a fold lacks a class its dot is what it "
        "contributes to the UAR of all folds' clips together; such dots lie far apart, and so do the ends of the bar.",
    )


def _caption(has_interval: bool) -> str:
    if has_interval:
        return (
            "Levels. Bars: 95 % interval of the mean by the t that is corrected for what trainings share (Nadeau & "
            "Bengio 2003): how far this level may move with other folds. It is not the sd of the folds, which the "
            "table has, and not the interval of a difference: bars may overlap where a difference is shown, or be "
            "apart where it is not."
        )
    return (
        f"Levels. Bars: one sd of the folds to either side, and no interval, because there are fewer than "
        f"{FEWEST_BLOCKS} folds: descriptive."
    )


def _levels(material: Material, language: str) -> list[Level]:
    return [_level_of(material, name, language) for name in material.listed]


def _level_of(material: Material, name: str, language: str) -> Level:
    folds = material.uar_by_fold(name, language)
    blocks = 100 * np.array(list(folds.values()))
    test = corrected_t(blocks[None], material.folds_each(language, list(folds)))
    half = float((test.high - test.low)[0] / 2) if len(blocks) >= FEWEST_BLOCKS else float(test.sd[0])
    return Level(name, tuple(blocks.tolist()), float(test.mean[0]), half)


# --- levels


def _level(material: Material, layout: Layout, language: str, levels: Sequence[Level]) -> Picture:
    told = "; ".join(f"{level.name}: {level.mean:.1f} (folds {_list(level.folds)})" for level in levels)
    places = places_of(material, layout, [level.name for level in levels])
    draw = partial(_draw_levels, places=places, levels=levels)
    alt = f"Test UAR in {language}, in %: {told}."
    return picture(slug(f"swept-{language}"), f"{language}: UAR, %", alt, draw, height_in=places.height_in)


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _draw_levels(axes: Axes, places: Places, levels: Sequence[Level]) -> None:
    places.set_up(axes)
    places.rule(axes, CHANCE, ":")
    for number, label in enumerate(places.labels or [""]):
        own = [level for level in levels if places.series[level.name] == number]
        places.join(axes, {level.name: level.mean for level in own}, number)
        for level in own:
            places.bar(axes, level.name, level.mean, level.reach)
            places.dots(axes, level.name, level.folds)
        if label:
            axes.plot([], [], color=colour(number), marker=marker(number), linestyle=line(number), label=label)
    if places.labels:
        axes.legend()


# --- differences


def _differences(material: Material, layout: Layout, claims: Sequence[Claim]) -> Group:
    pictures = [
        _difference(material, layout, place, [claim for claim in claims if _place(claim) == place])
        for place in dict.fromkeys(map(_place, claims))
    ]
    caption = (
        f"Differences to {material.reference}, in UAR points of all folds' clips together. Bars: 95 % interval of the "
        "corrected t over folds, before Holm's correction. Filled marks: both tests (folds and speakers) hold after "
        "it; hollow marks: not shown. A cross is the reference itself."
    )
    if any(claim.is_descriptive for claim in claims):
        caption += " With so few folds all of it is descriptive."
    if any(50 * (claim.high - claim.low) + 100 * abs(claim.difference) > _span(claims) for claim in claims):
        caption += " Bars that reach the edge of a picture go on beyond it."
    return Group(caption, tuple(pictures))


def _place(claim: Claim) -> str:
    return "mean of languages" if len(claim.languages) > 1 else claim.languages[0]


def _difference(material: Material, layout: Layout, place: str, claims: Sequence[Claim]) -> Picture:
    told_of = {claim.configuration for claim in claims} | ({material.reference} if layout.axis else set())
    places = places_of(material, layout, [name for name in material.listed if name in told_of])
    told = "; ".join(
        f"{claim.configuration}: {points(claim.difference, signed=True)} "
        f"({points(claim.low, signed=True)} to {points(claim.high, signed=True)}), {claim.verdict}"
        for claim in claims
    )
    draw = partial(_draw_differences, places=places, claims=claims, reference=material.reference)
    alt = f"UAR points gained over {material.reference}, {place}: {told}."
    title = f"{place}: points over {material.label(material.reference)}"
    return picture(
        slug(f"difference-{MACRO if len(claims[0].languages) > 1 else place}"),
        title,
        alt,
        draw,
        height_in=places.height_in,
    )


def _draw_differences(axes: Axes, places: Places, claims: Sequence[Claim], reference: str) -> None:
    places.set_up(axes)
    places.rule(axes, 0.0, "-")
    if reference in places.at:
        axes.plot([places.at[reference]], [0.0], marker="x", color=INK)
    for claim in claims:
        reach = 50 * (claim.high - claim.low)
        places.bar(axes, claim.configuration, 100 * claim.difference, reach, is_filled=claim.is_shown)
    places.cut(axes, _span(claims))


def _span(claims: Sequence[Claim]) -> float:
    """How far from 0 the picture reaches: bars of two or three folds may be many times wider than what they are of."""
    return max(20.0, *(300 * abs(claim.difference) for claim in claims))
