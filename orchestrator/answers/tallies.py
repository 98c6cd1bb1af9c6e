"""What a comparison needs of a cell: counts of its predictions, part by part and speaker by speaker.

Cells of the same fold and method have the same parts and speakers, so their counts lie in one array (a `Pile`), and a
measure of a thousand of them costs little more than of one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.statistics import macro_f1
from trainers.corpora.utterance import EMOTIONS

if TYPE_CHECKING:
    from trainers.result import Result

CLASSES = len(EMOTIONS)

Name = tuple[str, ...]
"""Of a matrix in a tally: ("valid", selector), ("test", language), ("whole", language), ("secondary", evaluator,
language) or ("speaker", language, speaker)."""

Matrices = NDArray[np.int32]


@dataclass(frozen=True)
class Layout:
    """Which matrix of a tally is which. `parts`: kind -> name -> place; `speakers`: language -> names and places."""

    names: tuple[Name, ...]
    parts: Mapping[str, Mapping[Name, int]]
    speakers: Mapping[str, tuple[tuple[str, ...], slice]]

    @classmethod
    def of(cls, names: Iterable[Name]) -> "Layout":
        names = tuple(names)
        parts: dict[str, dict[Name, int]] = {}
        told: dict[str, list[tuple[str, int]]] = {}
        for place, (kind, *of) in enumerate(names):
            if kind == "speaker":
                told.setdefault(of[0], []).append((of[1], place))
            else:
                parts.setdefault(kind, {})[tuple(of)] = place
        speakers = {
            language: (tuple(name for name, _ in placed), slice(placed[0][1], placed[-1][1] + 1))
            for language, placed in told.items()
        }
        return cls(names, parts, speakers)


@dataclass(frozen=True, eq=False)
class Pile:
    """Counts of cells of one layout: `matrices` (cells, names of the layout, truth, prediction).

    The figures are those of each cell and name, but for other evaluators' scores, which are `further`, and for
    speakers, who are never scored alone.
    """

    layout: Layout
    matrices: Matrices

    @cached_property
    def _scored(self) -> Matrices:
        kinds = ("secondary", "speaker")
        return self.matrices[:, : next((k for k, name in enumerate(self.layout.names) if name[0] in kinds), None)]

    @cached_property
    def _further(self) -> tuple[Layout, list[int]]:
        places = self.layout.parts.get("secondary", {})
        return Layout.of(("test", *name) for name in places), list(places.values())

    def further(self, cell: int) -> "Pile":
        """Of one cell: evaluator and language of each score by another evaluator. Few cells are ever asked for it."""
        layout, places = self._further
        return Pile(layout, self.matrices[cell : cell + 1, places])

    @cached_property
    def n(self) -> list[list[int]]:
        counts: list[list[int]] = self._scored.sum((2, 3)).tolist()
        return counts

    @cached_property
    def accuracy(self) -> list[list[float]]:
        with np.errstate(invalid="ignore"):
            return _plain(np.trace(self._scored, axis1=2, axis2=3) / self._scored.sum((2, 3)))

    @cached_property
    def uar(self) -> list[list[float]]:
        """Mean recall over the classes that are present."""
        hits, truths = np.diagonal(self._scored, axis1=2, axis2=3), self._scored.sum(3)
        with np.errstate(invalid="ignore"):
            return _plain((hits / np.maximum(truths, 1)).sum(2) / np.count_nonzero(truths, axis=2))

    @cached_property
    def macro_f1(self) -> list[list[float]]:
        """NaN where a class is absent."""
        return _plain(macro_f1(self._scored))


def _plain(figures: NDArray[np.float64]) -> list[list[float]]:
    """Numbers of Python's own, which are quicker to take one by one."""
    plain: list[list[float]] = figures.tolist()
    return plain


class Counts(NamedTuple):
    """A score: one matrix of a pile. Measures as `trainers.scores.Score` has them."""

    pile: Pile
    cell: int
    place: int

    @property
    def n(self) -> int:
        return self.pile.n[self.cell][self.place]

    @property
    def accuracy(self) -> float:
        return self.pile.accuracy[self.cell][self.place]

    @property
    def uar(self) -> float:
        return self.pile.uar[self.cell][self.place]

    @property
    def macro_f1(self) -> float:
        return self.pile.macro_f1[self.cell][self.place]

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Counts [truth][prediction]."""
        return tuple(map(tuple, self.pile.matrices[self.cell, self.place].tolist()))

    @property
    def recall(self) -> dict[str, float]:
        """NaN where a class is absent."""
        return {
            emotion: row[number] / sum(row) if sum(row) else float("nan")
            for number, (emotion, row) in enumerate(zip(EMOTIONS, self.confusion, strict=True))
        }


@dataclass(frozen=True, eq=False)
class Tally:
    """A cell's counts: those of one `cell` of a pile."""

    pile: Pile
    cell: int

    @cached_property
    def valid(self) -> Mapping[str, Counts]:
        """Selector -> score on validation speech."""
        return self._kind("valid")

    @cached_property
    def test(self) -> Mapping[str, Counts]:
        """Language -> score on this fold's test speech."""
        return self._kind("test")

    @cached_property
    def whole(self) -> Mapping[str, Counts]:
        """Language -> score on all its clips, where the training saw none of them."""
        return self._kind("whole")

    @cached_property
    def secondary(self) -> Mapping[str, Mapping[str, Counts]]:
        """Evaluator -> language -> score on this fold's test speech."""
        found: dict[str, dict[str, Counts]] = {}
        further = self.pile.further(self.cell)
        for (evaluator, language), place in further.layout.parts.get("test", {}).items():
            found.setdefault(evaluator, {})[language] = Counts(further, 0, place)
        return found

    def speakers(self, language: str) -> tuple[tuple[str, ...], Matrices]:
        """The language's test speakers, sorted, and their counts (speakers, truth, prediction)."""
        names, places = self.pile.layout.speakers.get(language, ((), slice(0)))
        return names, self.pile.matrices[self.cell, places]

    def _kind(self, kind: str) -> dict[str, Counts]:
        parts = self.pile.layout.parts.get(kind, {})
        return {name: Counts(self.pile, self.cell, place) for (name,), place in parts.items()}


def tally(result: "Result") -> Tally:
    """Count a whole result."""
    found: dict[Name, Any] = {}
    for kind in ("valid", "test", "whole"):
        found |= {(kind, name): score.confusion for name, score in getattr(result, kind).items()}
    for evaluator, parts in result.secondary.items():
        tested = {part.removeprefix("test/"): score for part, score in parts.items() if part.startswith("test/")}
        found |= {("secondary", evaluator, language): score.confusion for language, score in tested.items()}
    found |= _by_speaker(result.predictions)
    matrices = np.array(list(found.values()), np.int32).reshape(1, -1, CLASSES, CLASSES)
    return Tally(Pile(Layout.of(found), matrices), 0)


def _by_speaker(rows: Iterable[Mapping[str, Any]]) -> dict[Name, Matrices]:
    """("speaker", language or held-out corpus, speaker) -> counts of this fold's test clips, sorted by name."""
    clips = Counter((row["part"], row["speaker"], row["emotion"], row["predicted"]) for row in rows)
    found: dict[Name, Matrices] = {}
    for (part, speaker, emotion, predicted), count in clips.items():
        group, _, tested = part.partition("/")
        if group == "test":
            counts = found.setdefault(("speaker", tested, speaker), np.zeros((CLASSES, CLASSES), np.int32))
            counts[EMOTIONS.index(emotion), predicted] += count
    return dict(sorted(found.items()))
