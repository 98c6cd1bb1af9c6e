"""Work that nobody holds, in order of priority; and who needs whom."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from orchestrator.messages import Cell


class Backlog:
    """Keys that wait, in the order in which they were first added; one that comes back takes its old place.

    Only those that are ready can be begun; the others are kept apart, so that they need not be passed over each time.
    """

    def __init__(self) -> None:
        self._ranks: dict[str, int] = {}
        self._ready: list[tuple[int, str]] = []
        self._blocked: set[str] = set()

    def add(self, key: str, ready: bool = True) -> None:
        """Let a key wait; one that waits already only becomes ready, or not."""
        rank = self._ranks.setdefault(key, len(self._ranks))
        if key in self:
            self.remove(key)
        if ready:
            insort(self._ready, (rank, key))
        else:
            self._blocked.add(key)

    def remove(self, key: str) -> None:
        """ValueError where it is not here."""
        if key in self._blocked:
            self._blocked.remove(key)
        elif self.is_ready(key):
            del self._ready[self._place(key)]
        else:
            raise ValueError(f"{key!r} does not wait")

    def ready(self) -> Iterator[str]:
        """The keys that can be begun, the most urgent first."""
        return (key for _, key in self._ready)

    def is_ready(self, key: str) -> bool:
        """Whether it waits and can be begun."""
        if key not in self._ranks:
            return False
        place = self._place(key)
        return place < len(self._ready) and self._ready[place][1] == key

    def __contains__(self, key: str) -> bool:
        return key in self._blocked or self.is_ready(key)

    def __len__(self) -> int:
        return len(self._ready) + len(self._blocked)

    def __iter__(self) -> Iterator[str]:
        """All keys, in order of priority."""
        return iter(sorted([*self.ready(), *self._blocked], key=self._ranks.__getitem__))

    def _place(self, key: str) -> int:
        return bisect_left(self._ready, (self._ranks[key], key))


class Needs:
    """Who needs whom, of the cells on the board; what is not there is done already."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)

    def add(self, cell: Cell) -> None:
        self._cells[cell.key] = cell
        for need in cell.needs:
            self._dependents[need].append(cell.key)

    def of(self, key: str) -> list[str]:
        """What a cell needs."""
        return [need for need in self._cells[key].needs if need in self._cells]

    def dependents(self, key: str) -> Sequence[str]:
        """What needs a cell."""
        return self._dependents.get(key, ())

    def are_met(self, key: str, done: Container[str]) -> bool:
        """Whether all that a cell needs is done."""
        return all(need in done for need in self.of(key))

    def is_wanted(self, key: str, withdrawn: Container[int | None], *ended: Container[str]) -> bool:
        """Whether a cell is for its configuration, which is not withdrawn, or for others that have not `ended`.

        What belongs to no configuration and was never needed is wanted for its own sake (a floor).
        """
        owner, dependents = self._cells[key].configuration, self.dependents(key)
        if owner not in withdrawn and (owner is not None or not dependents):
            return True
        coming = (each for each in dependents if not any(each in ends for ends in ended))
        return any(self.is_wanted(each, withdrawn, *ended) for each in coming)
