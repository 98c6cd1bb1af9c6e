"""Which cells make up a block (a configuration's fold and seed, over all languages), and how far each configuration is.

Configurations race block by block, so the blocks of one are complete from the first on, or a race waits for them.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping

from orchestrator.messages import DIVERGED, Break, Cell, Standings, Summary


class Blocks:
    """The cells of each configuration's blocks, and which blocks are complete, in the order in which they became so.

    How far each one is, and how far all are, is kept up to date cell by cell: the board asks for it all the time.
    """

    def __init__(self, withdrawn: Iterable[int] = ()) -> None:
        self._keys: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._complete: dict[int, dict[int, None]] = {}
        self._broken: dict[int, dict[int, bool]] = defaultdict(dict)
        self._away: set[int] = set(withdrawn)
        self._racing: set[int] = set()
        self._reached: Counter[int] = Counter()
        self._standing: Counter[int] = Counter()
        self._front = 0

    def add(self, cell: Cell) -> None:
        owner = cell.configuration
        if owner is None:
            return
        self._keys[owner][cell.block].append(cell.key)
        if owner not in self._complete:
            self._complete[owner] = {}
            if owner not in self._away:
                self._racing.add(owner)
                self._standing[0] += 1
                self._front = 0

    def finish(self, cell: Cell, done: Container[str]) -> None:
        """A cell is done: is its block complete now?"""
        owner = cell.configuration
        if owner is not None and all(key in done for key in self._keys[owner][cell.block]):
            self._complete[owner][cell.block] = None
            self._advance(owner)

    def fail(self, cell: Cell, cause: str) -> None:
        """A cell failed: its block will never be complete."""
        owner = cell.configuration
        if owner is not None:
            self._broken[owner][cell.block] = self._broken[owner].get(cell.block, False) or cause in DIVERGED
            self._let_go(owner)

    def leave(self, configuration: int) -> None:
        """Nobody waits for this configuration any more."""
        self._away.add(configuration)
        if configuration in self._racing:
            self._racing.remove(configuration)
            self._standing[self._reached[configuration]] -= 1

    def cells(self, configuration: int) -> list[str]:
        """The keys of all its cells."""
        return [key for keys in self._keys[configuration].values() for key in keys]

    def count(self, configuration: int) -> int:
        """How many of its blocks are complete."""
        return len(self._complete.get(configuration, ()))

    def complete(self, configuration: int, results: Mapping[str, Summary]) -> dict[int, tuple[Summary, ...]]:
        """Complete block -> summaries of its cells, in the order in which the blocks became complete."""
        blocks = self._complete.get(configuration, ())
        return {block: tuple(results[key] for key in self._keys[configuration][block]) for block in blocks}

    @property
    def front(self) -> int:
        """How many blocks from the first on all configurations have, but for those withdrawn or with a failure."""
        if not self._racing:
            return 0
        while not self._standing[self._front]:
            self._front += 1
        return self._front

    def standings(self, results: Mapping[str, Summary]) -> Standings:
        """All complete blocks there are, of withdrawn configurations too."""
        breaks = {one: Break(first := min(blocks), blocks[first]) for one, blocks in self._broken.items()}
        return Standings({one: self.complete(one, results) for one in self._complete}, breaks)

    def _advance(self, configuration: int) -> None:
        """How many of its blocks 0, 1, 2, … are there before the first that is not?"""
        before = after = self._reached[configuration]
        while after in self._complete[configuration]:
            after += 1
        self._reached[configuration] = after
        if configuration in self._racing:
            self._standing[before] -= 1
            self._standing[after] += 1
        self._let_go(configuration)

    def _let_go(self, configuration: int) -> None:
        """Nobody waits for a broken configuration once the blocks before its break are there: a race is judged by these
        as it would be after a restart, when they are all there from the beginning."""
        if configuration in self._broken and self._reached[configuration] >= min(self._broken[configuration]):
            self.leave(configuration)
