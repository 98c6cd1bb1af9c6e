"""Confusion matrices of all folds' clips together, and what one configuration confuses more or less than another, as
Gong et al. 2025, Table 2, lay out two methods."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from orchestrator.answers.claims import points
from orchestrator.answers.heard import Cells
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import INK, Picture, colour, picture
from orchestrator.pictures.material import Material
from trainers.corpora.utterance import EMOTIONS

Floats = NDArray[np.float64]

READ = (
    "Rows are what was spoken, columns what it was taken for. Each row is of 100 % and has its number of clips beside "
    "it; the shares of the diagonal are the recalls, whose mean is UAR. Clips of all folds are counted together, so a "
    "mean of folds may differ a little.",
    "Differences are in points of a row: a row sums to 0, and what is gained on the diagonal is taken from the rest of "
    "that row. A frame marks the diagonal. No interval stands beside these cells: they describe, and claim nothing.",
)


def chapter(material: Material) -> Chapter:
    title = "Confusions"
    if not material.few:
        return Chapter(title, ("No configuration is complete, so there are no confusions to show.",))
    groups = [Group(language, tuple(_pictures(material, language))) for language in material.languages]
    return Chapter(title, READ, tuple(groups))


def pooled(cells: Cells, language: str) -> Floats:
    """(truth, prediction): clips of all cells that are tested on the language, together."""
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    for (target, _, _), cell in cells.items():
        if target in (language, None) and language in cell.test:
            counts += np.array(cell.test[language].confusion)
    return counts


def shares(counts: Floats) -> Floats:
    """Each row in shares of its sum; NaN where there is no clip of the class."""
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / counts.sum(1, keepdims=True))


def _pictures(material: Material, language: str) -> list[Picture]:
    names = material.few_and_chosen
    counts = {name: pooled(material.comparison.cells[name], language) for name in names}
    times = {name: material.times(name, language) for name in names}
    made = [_matrix(material, name, language, counts[name], times[name]) for name in names]
    first = material.reference or names[0]
    made += [_difference(material, name, first, language, counts) for name in names if name != first]
    return made


def _matrix(material: Material, name: str, language: str, counts: Floats, times: int) -> Picture:
    found = shares(counts)
    told = "; ".join(
        f"{emotion} ({counts[row].sum() / times:.0f} clips): "
        + ", ".join(f"{100 * value:.0f} % taken for {EMOTIONS[column]}" for column, value in enumerate(found[row]))
        for row, emotion in enumerate(EMOTIONS)
        if counts[row].sum()
    )
    alt = f"Confusion matrix of {name} in {language}. {told}."
    rows = [f"{emotion}\n{counts[row].sum() / times:.0f} clips" for row, emotion in enumerate(EMOTIONS)]
    words = [[_cell(found[row, column], counts[row, column] / times) for column in range(4)] for row in range(4)]
    draw = partial(_draw, rows=rows, words=words, strengths=found)
    return _square(f"confusion-{language}-{material.number(name)}", f"{material.label(name)}, %", alt, draw)


def _square(name: str, title: str, alt: str, draw: partial[None]) -> Picture:
    return picture(name, title, alt, draw, height_in=2.9)


def _cell(value: float, clips: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f}\n({clips:.0f})"


def difference(counts: Floats, other: Floats) -> Floats:
    """(truth, prediction): by how much the shares of `counts` are above those of `other`."""
    return shares(counts) - shares(other)


def _difference(material: Material, name: str, first: str, language: str, counts: dict[str, Floats]) -> Picture:
    found = difference(counts[name], counts[first])
    told = "; ".join(
        f"{emotion}: "
        + ", ".join(f"{EMOTIONS[column]} {points(value, signed=True)}" for column, value in enumerate(found[row]))
        for row, emotion in enumerate(EMOTIONS)
    )
    alt = f"Confusions of {name} less those of {first} in {language}, in points. {told}."
    words = [[points(value, signed=True) for value in row] for row in found]
    most = max(0.1, float(np.nanmax(np.abs(found), initial=0.0)))
    draw = partial(_draw, rows=list(EMOTIONS), words=words, strengths=found / most)
    title = f"{material.label(name)} − {material.label(first)}, points"
    return _square(f"confusion-{language}-{material.number(name)}-{material.number(first)}", title, alt, draw)


def _draw(axes: Axes, rows: list[str], words: list[list[str]], strengths: Floats) -> None:
    """Cells as strong as their numbers, those below 0 in another colour; letters stay readable on the strongest."""
    for row in range(len(EMOTIONS)):
        for column in range(len(EMOTIONS)):
            value = float(np.nan_to_num(strengths[row, column]))
            face = colour(0 if value >= 0 else 1)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, alpha=0.55 * abs(value), linewidth=0))
            axes.text(column + 0.5, row + 0.5, words[row][column], ha="center", va="center", linespacing=1.1)
        axes.add_patch(Rectangle((row + 0.04, row + 0.04), 0.92, 0.92, fill=False, edgecolor=INK, linewidth=0.8))
    places = [place + 0.5 for place in range(len(EMOTIONS))]
    axes.set_xticks(places, EMOTIONS)
    axes.set_yticks(places, rows)
    axes.set_xlim(0, len(EMOTIONS))
    axes.set_ylim(len(EMOTIONS), 0)
    axes.set_xlabel("taken for")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
