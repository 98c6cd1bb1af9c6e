"""Test speech as several configurations classified it: the arrays that `statistics.py` tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.rows import Place
from orchestrator.answers.statistics import Floats, repeat_of
from orchestrator.answers.tallies import CLASSES, Pile, Tally

Cells = Mapping[Place, Tally]


@dataclass(frozen=True)
class Heard:
    """A language's test speech, and how many of its clips each configuration got right, mean over seeds.

    `folds`: numbers of the J blocks, whole partitions only. `partition`: how many folds a partition is planned to have,
    so that folds from there on belong to repeated ones. `clips` (J, speakers, classes). `hits` (configurations, J,
    speakers, classes).
    """

    names: tuple[str, ...]
    folds: tuple[int, ...]
    partition: int
    speakers: tuple[str, ...]
    clips: Floats
    hits: Floats

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """(J,) which partition each block belongs to."""
        return np.array([repeat_of(fold, self.partition)[0] for fold in self.folds])

    @property
    def folds_each(self) -> int:
        """K, the number of folds of each partition that were run."""
        return len(self.folds) // len(set(self.repeats))

    @cached_property
    def _weights(self) -> Floats:
        """(J, classes): 1 / (C · n_class), pooled over the block's partition; 0 for a class that it lacks."""
        of_block = self.clips.sum(1)
        pooled = np.array([of_block[self.repeats == repeat].sum(0) for repeat in self.repeats])
        there = pooled > 0
        return np.where(there, 1 / np.where(there, pooled * there.sum(1, keepdims=True), 1), 0.0)

    @cached_property
    def contributions(self) -> Floats:
        """(configurations, J): what a fold contributes to the UAR of all folds' clips together, K · Σ w_i · correct_i.

        Their mean is that UAR; unlike a fold's own UAR they need no fold to have all classes (VALIDITY §5).
        """
        return np.asarray(self.folds_each * np.einsum("cjsy,jy->cj", self.hits, self._weights))

    @cached_property
    def of_speakers(self) -> Floats:
        """(configurations, speakers): Σ w_i · correct_i of each speaker's clips; the sum over speakers is that UAR."""
        return np.asarray(np.einsum("cjsy,jy->cs", self.hits, self._weights) / len(set(self.repeats)))

    def only(self, names: Collection[str]) -> "Heard":
        """The same of fewer configurations."""
        kept = [place for place, name in enumerate(self.names) if name in names]
        return replace(self, names=tuple(self.names[place] for place in kept), hits=self.hits[kept])


def heard(language: str, cells: Mapping[str, Cells], reference: str, partition: int) -> Heard | None:
    """Lay side by side what configurations (name -> its cells) heard of a language; None where the reference has no
    speakers to tell. Configurations that were not tested on the very clips of the reference's folds are left out."""
    blocks = {name: _blocks(own, language) for name, own in cells.items()}
    folds = _whole_partitions(sorted(blocks[reference]), partition)
    firsts = [blocks[reference][fold][0].speakers(language) for fold in folds]
    speakers = tuple(sorted({speaker for names, _ in firsts for speaker in names}))
    if not speakers:
        return None
    places = {name: place for place, name in enumerate(speakers)}
    clips = np.zeros((len(folds), len(speakers), CLASSES))
    for block, (names, matrices) in enumerate(firsts):
        clips[block, [places[name] for name in names]] = matrices.sum(2)
    fitting = [name for name, own in blocks.items() if set(folds) <= set(own)]
    hits, alike = _hits([[blocks[name][fold] for fold in folds] for name in fitting], language, places, clips)
    kept = tuple(name for name, same in zip(fitting, alike, strict=True) if same)
    return Heard(kept, tuple(folds), partition, speakers, clips, hits[alike]) if reference in kept else None


def _hits(
    blocks: Sequence[Sequence[Sequence[Tally]]], language: str, places: Mapping[str, int], clips: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean hits over the cells of each configuration's blocks, (configurations, J, speakers, classes), and whether all
    of its cells were tested on these clips, (configurations,)."""
    hits, alike = np.zeros((len(blocks), *clips.shape)), np.ones(len(blocks), np.bool_)
    for block in range(clips.shape[0]):
        for pile, taken in _by_pile([own[block] for own in blocks]).items():
            names, where = pile.layout.speakers.get(language, ((), slice(0)))
            numbers, rows, shares = (np.array(each) for each in zip(*taken, strict=True))
            known = [places[name] for name in names if name in places]
            found = pile.matrices[rows, where]
            truths = np.zeros((len(rows), *clips.shape[1:]))
            if len(known) == len(names):
                truths[:, known] = found.sum(3)
                own = np.diagonal(found, axis1=2, axis2=3) * shares[:, None, None]
                np.add.at(hits[:, block], (numbers[:, None], np.array(known, np.intp)[None]), own)
            np.logical_and.at(alike, numbers, (truths == clips[block]).all((1, 2)))
    return hits, alike


def _by_pile(cells: Sequence[Sequence[Tally]]) -> dict[Pile, list[tuple[int, int, float]]]:
    """Pile -> (configuration, cell of the pile, share of the block) of each of the cells that configurations have."""
    piles: dict[Pile, list[tuple[int, int, float]]] = {}
    for number, own in enumerate(cells):
        for cell in own:
            piles.setdefault(cell.pile, []).append((number, cell.cell, 1 / len(own)))
    return piles


def confusions(cells: Cells, language: str, folds: Collection[int], speakers: Sequence[str]) -> Floats:
    """(seeds, speakers, truth, prediction): counts of one configuration over these folds."""
    places = {name: place for place, name in enumerate(speakers)}
    seeds: dict[int, Floats] = {}
    for (target, fold, seed), cell in cells.items():
        if target in (language, None) and fold in folds:
            counts = seeds.setdefault(seed, np.zeros((len(speakers), CLASSES, CLASSES)))
            names, matrices = cell.speakers(language)
            counts[[places[name] for name in names]] += matrices
    return np.array(list(seeds.values()))


def _blocks(cells: Cells, language: str) -> dict[int, list[Tally]]:
    """Fold -> its cells (one a seed) that are tested on the language."""
    found: dict[int, list[Tally]] = {}
    for (target, fold, _), cell in cells.items():
        if target in (language, None):
            found.setdefault(fold, []).append(cell)
    return found


def _whole_partitions(folds: Sequence[int], partition: int) -> list[int]:
    """Those folds whose partition has the same ones as the first has: a partition that is not complete has no pooled
    score."""
    by_repeat: dict[int, set[int]] = {}
    for fold in folds:
        repeat, own = repeat_of(fold, partition)
        by_repeat.setdefault(repeat, set()).add(own)
    pattern = next(iter(by_repeat.values()), set())
    return [fold for fold in folds if by_repeat[repeat_of(fold, partition)[0]] == pattern]
