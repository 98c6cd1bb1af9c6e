"""Cells that ran out of memory and get their other try with nothing beside them.

A *place* is memory that slots share: a GPU, or the node where there is none. A cell that is to be alone is handed to a
slot in whose place nothing else runs. Where something does, one place is *cleared* for it: its slots get nothing more
until the last cell there has ended and this one is done. So such a cell waits no longer than the cells that run there.
"""

from collections.abc import Callable, Iterable, Mapping

from orchestrator.messages import Lease


class Alone:
    """Which cells are to be alone, where each slot is, and which places are cleared for whom."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._places: dict[str, str] = {}
        self._cleared: dict[str, str] = {}

    def add(self, key: str) -> None:
        """From now on this cell runs alone."""
        self._keys.add(key)

    def settle(self, slot: str, place: str) -> None:
        """A slot says in which place it is; "" is one of its own."""
        self._places[slot] = place or slot

    def leave(self, slot: str) -> None:
        """A slot's process is gone, and may not come back: its place is cleared for nobody."""
        self._cleared.pop(self._place(slot), None)

    def choose(
        self, slot: str, ready: Iterable[str], waits: Callable[[str], bool], leases: Mapping[str, Lease]
    ) -> str | None:
        """The first of the cells that are `ready` which this slot may begin now; None where it is to wait.

        `waits`: whether a cell is still to be had.
        """
        if not self._keys:
            return next(iter(ready), None)
        place = self._place(slot)
        beside = [lease.key for other, lease in leases.items() if other != slot and self._place(other) == place]
        if self._keys.intersection(beside):
            return None
        self._cleared = {where: key for where, key in self._cleared.items() if waits(key)}
        if place in self._cleared:
            return None if beside else self._cleared.pop(place)
        for key in ready:
            if key not in self._keys or not beside:
                self._cleared = {where: other for where, other in self._cleared.items() if other != key}
                return key
            if key not in self._cleared.values():
                self._cleared[place] = key
                return None
        return None

    def _place(self, slot: str) -> str:
        return self._places.get(slot, slot)
