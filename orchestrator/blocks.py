"""Which cells make up a block (a configuration's fold and seed, over all languages), and how far each configuration is.

Configurations race block by block, so the blocks of one are complete from the first on, or a race waits for them.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Mapping
from itertools import count

from orchestrator.messages import Cell, Standings, Summary


class Blocks:
    """The cells of each configuration's blocks, and which blocks are complete, in the order in which they became so."""

    def __init__(self) -> None:
        self._keys: dict[tuple[int, int], list[str]] = defaultdict(list)
        self._complete: dict[int, list[int]] = {}
        self._diverged: dict[int, bool] = {}

    def add(self, cell: Cell) -> None:
        if cell.configuration is not None:
            self._keys[cell.configuration, cell.block].append(cell.key)
            self._complete.setdefault(cell.configuration, [])

    def finish(self, cell: Cell, done: Container[str]) -> None:
        """A cell is done: is its block complete now?"""
        owner = cell.configuration
        if owner is not None and all(key in done for key in self._keys[owner, cell.block]):
            self._complete[owner].append(cell.block)

    def fail(self, cell: Cell, cause: str) -> None:
        """A cell failed: its block will never be complete."""
        if cell.configuration is not None:
            self._diverged[cell.configuration] = self._diverged.get(cell.configuration, False) or cause == "nan"

    def complete(self, configuration: int, results: Mapping[str, Summary]) -> dict[int, tuple[Summary, ...]]:
        """Complete block -> summaries of its cells, in the order in which the blocks became complete."""
        blocks = self._complete.get(configuration, ())
        return {block: tuple(results[key] for key in self._keys[configuration, block]) for block in blocks}

    def front(self, withdrawn: Collection[int]) -> int:
        """How many blocks from the first on all configurations have, but for those withdrawn or with a failure."""
        racing = (done for one, done in self._complete.items() if one not in withdrawn and one not in self._diverged)
        return min(map(_without_gap, racing), default=0)

    def standings(self, results: Mapping[str, Summary]) -> Standings:
        """All complete blocks there are, of withdrawn configurations too."""
        return Standings({one: self.complete(one, results) for one in self._complete}, dict(self._diverged))


def _without_gap(done: Collection[int]) -> int:
    """How many of 0, 1, 2, … are there before the first that is not."""
    there = set(done)
    return next(number for number in count() if number not in there)
