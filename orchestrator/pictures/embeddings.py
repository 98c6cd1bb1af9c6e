"""Where test clips lie in embedding space: numbers first, then t-SNE, which shows neighbours and measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from orchestrator.answers.section import Section
from orchestrator.answers.separation import KINDS, embedded, separations
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import BELOW, Picture, hollow, picture, slug
from orchestrator.pictures.material import Material
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
    "Pictures: t-SNE (scikit-learn, perplexity 30 or a third of the clips, seed 0) of the test clips of one fold, each "
    "configuration by itself, marked three ways. It keeps neighbours together and nothing else: distances between "
    "groups, their sizes and their shapes are not measurements, and another seed draws another picture. Whatever is to "
    "be said must be said of the silhouettes."
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
        "mean over folds; – where every fold has one label alone",
        "where a fold has one woman and one man, speaker and gender are the same",
        "of the reference, the chosen configuration and, where there are several methods, one of each",
    )
    groups = [group for language in material.languages[:MOST_LANGUAGES] for group in _groups(material, language)]
    more = ("Pictures are of the first three languages.",) if len(material.languages) > MOST_LANGUAGES else ()
    warning = (WARNING,) if groups else ()
    return Chapter(title, (*READ, *warning, *more), tuple(groups), (Section("separation", headings, rows, notes),))


def _rows(material: Material, found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, own in found.items():
        for language in material.languages:
            told = separations(own, language)
            if told:
                values = (f"{told[kind][0]:+.3f}".replace("-", "−") if kind in told else "–" for kind in KINDS)
                yield (material.label(name), language, *values, str(max(count for _, count in told.values())))


# --- t-SNE


@dataclass(frozen=True)
class _Fold:
    """Test clips of one fold as a configuration embeds them: their labels, where t-SNE puts them (n, 2), and of how
    many they are."""

    fold: int
    labels: Sequence[Mapping[str, Any]]
    at: NDArray[np.float64]
    of: int


def _groups(material: Material, language: str) -> Iterator[Group]:
    """The panels of one language: a row for each kind of label, configurations side by side."""
    folds = {name: fold for name in material.few if (fold := _one_fold(material, name, language)) is not None}
    for kind in KINDS:
        pictures = tuple(_panel(material, name, language, kind, fold) for name, fold in folds.items())
        if pictures:
            yield Group(f"{language}, {_counted(list(folds.values()))}, by {kind}", pictures)


def _counted(folds: Sequence[_Fold]) -> str:
    first = folds[0]
    thinned = f", {MOST_CLIPS} of {first.of} clips, evenly spaced" if first.of > MOST_CLIPS else ""
    return f"fold {first.fold}{thinned}"


def _one_fold(material: Material, name: str, language: str) -> _Fold | None:
    """The first fold that holds embeddings of enough clips."""
    for (target, fold, _), result in sorted(material.whole(name).items(), key=lambda each: each[0][1:]):
        known = embedded(result, language) if target in (language, None) else None
        if known is not None and len(known[1]) >= FEWEST_CLIPS:
            kept = np.linspace(0, len(known[1]) - 1, min(MOST_CLIPS, len(known[1]))).round().astype(int)
            return _Fold(fold, [known[1][place] for place in kept], neighbours(known[0][kept]), len(known[1]))
    return None


def neighbours(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, d) -> (n, 2) by t-SNE, always the same."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(rows) - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(rows.astype(np.float64))
    return np.asarray(placed, np.float64)


def _panel(material: Material, name: str, language: str, kind: str, fold: _Fold) -> Picture:
    own = [str(label[kind]) or "not known" for label in fold.labels]
    fixed = {"emotion": EMOTIONS, "gender": GENDERS}.get(kind, ())
    groups = [*(one for one in fixed if one in own), *sorted(set(own) - set(fixed))]
    counts = ", ".join(f"{one} {own.count(one)}" for one in groups)
    alt = (
        f"t-SNE of {len(own)} test clips of {language} as {name} embeds them, coloured and marked by {kind}: {counts} "
        "clips. Distances are no measurements."
    )
    title = f"{material.label(name)}: by {kind}"
    draw = partial(_draw, at=fold.at, own=own, groups=groups)
    file = slug(f"tsne-{language}-{material.number(name)}-{kind}")
    return picture(file, title, alt, draw, height_in=3.0)


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
