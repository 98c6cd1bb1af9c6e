"""Where test clips lie in embedding space: numbers first, then t-SNE, which shows neighbours and measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from orchestrator.answers.section import Section
from orchestrator.answers.separation import KINDS, embedded, separations
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import BELOW, Picture, hollow, picture, slug
from orchestrator.pictures.material import FEW, Material
from trainers.corpora.utterance import EMOTIONS, GENDERS

MOST_CLIPS = 160
"""Of a fold that are drawn; more would be a cloud, and a heavy page."""

FEWEST_CLIPS = 12
MOST_NAMED = 12
"""Of more speakers a legend has no room."""

MOST_LANGUAGES = 3

READ = (
    "Silhouettes say how far clips of one label lie from those of others, in the embedding space itself (its first 32 "
    "principal components), within the test clips of a fold: 1 is apart, 0 is mixed, below 0 is nearer to other labels "
    "than to its own. A method that transfers should raise emotion; what speaker and gender do is for the reader to "
    "judge, the more so where speakers have few emotions, since then speaker and emotion cannot be told apart. Only "
    "differences within a column mean something, and no test was made of them.",
)

WARNING = (
    "t-SNE (scikit-learn, perplexity 30 or a third of the clips, seed 0) of the same test clips of one fold, coloured "
    "three ways. It keeps neighbours together and nothing else: distances between groups, their sizes and their shapes "
    "are not measurements, and another seed draws another picture. Read the silhouettes above for anything that is to "
    "be said."
)


def chapter(material: Material) -> Chapter:
    title = "Emotions, speakers and genders in embedding space"
    found = {name: material.whole(name) for name in material.few_and_chosen}
    rows = tuple(_rows(material, found))
    if not rows:
        return Chapter(
            title, ("The results hold no embeddings (those of older versions do not), so this is left out.",)
        )
    headings = ("silhouette", "on", *KINDS, "folds")
    notes = (
        "mean over folds; – where a fold has one label alone",
        "of the reference, the chosen configuration and, where there are several methods, one of each",
    )
    groups = [group for language in material.languages[:MOST_LANGUAGES] for group in _groups(material, language)]
    more = ("Pictures are of the first three languages.",) if len(material.languages) > MOST_LANGUAGES else ()
    return Chapter(title, (*READ, *more), tuple(groups), (Section("separation", headings, rows, notes),))


def _rows(material: Material, found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, own in found.items():
        for language in material.languages:
            told = separations(own, language)
            if told:
                values = (f"{told[kind][0]:+.3f}".replace("-", "−") if kind in told else "–" for kind in KINDS)
                yield (material.label(name), language, *values, str(max(count for _, count in told.values())))


# --- t-SNE


def _groups(material: Material, language: str) -> Iterator[Group]:
    """The panels of one language: a row of three for each configuration."""
    clips = {name: _one_fold(material, name, language) for name in material.few[:FEW]}
    there = {name: own for name, own in clips.items() if own is not None and len(own[1]) >= FEWEST_CLIPS}
    for number, (name, (fold, labels, rows)) in enumerate(there.items()):
        thinned = ""
        if len(rows) > MOST_CLIPS:
            kept = np.linspace(0, len(rows) - 1, MOST_CLIPS).round().astype(int)
            thinned = f" Of {len(rows)} clips {MOST_CLIPS} are shown, evenly spaced in their order."
            rows, labels = rows[kept], [labels[place] for place in kept]
        at = neighbours(rows)
        pictures = tuple(_panel(material, name, language, kind, at, labels) for kind in KINDS)
        caption = f"{language}, fold {fold}, {name}.{thinned}"
        yield Group(f"{WARNING} {caption}" if not number else caption, pictures)


def _one_fold(
    material: Material, name: str, language: str
) -> tuple[int, Sequence[Mapping[str, Any]], NDArray[np.float32]] | None:
    """The first fold that holds embeddings, by its number."""
    for (target, fold, _), result in sorted(material.whole(name).items(), key=lambda each: each[0][1:]):
        known = embedded(result, language) if target in (language, None) else None
        if known is not None:
            return fold, known[1], known[0]
    return None


def neighbours(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, d) -> (n, 2) by t-SNE, always the same."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(rows) - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(rows.astype(np.float64))
    return np.asarray(placed, np.float64)


def _panel(
    material: Material,
    name: str,
    language: str,
    kind: str,
    at: NDArray[np.float64],
    labels: Sequence[Mapping[str, Any]],
) -> Picture:
    own = [str(label[kind]) or "not known" for label in labels]
    fixed = {"emotion": EMOTIONS, "gender": GENDERS}.get(kind, ())
    groups = [*(one for one in fixed if one in own), *sorted(set(own) - set(fixed))]
    counts = ", ".join(f"{one} {own.count(one)}" for one in groups)
    alt = (
        f"t-SNE of {len(own)} test clips of {language} as {name} embeds them, coloured and marked by {kind}: {counts} "
        "clips. Distances are no measurements."
    )
    title = f"{material.label(name)}: by {kind}"
    draw = partial(_draw, at=at, own=own, groups=groups)
    file = slug(f"tsne-{language}-{material.number(name)}-{kind}")
    return picture(file, title, alt, draw, height_in=3.3)


def _draw(axes: Axes, at: NDArray[np.float64], own: Sequence[str], groups: Sequence[str]) -> None:
    told = np.array(own)
    for number, group in enumerate(groups):
        places = at[told == group]
        label = group.rpartition(":")[2]
        axes.scatter(places[:, 0], places[:, 1], label=label, **hollow(number, 18))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(groups) <= MOST_NAMED:
        axes.legend(bbox_to_anchor=(0.5, 0.0), ncol=4, **BELOW)
    else:
        axes.set_xlabel(f"{len(groups)} speakers; a mark in one colour is one of them")
