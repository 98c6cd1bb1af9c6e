"""Asking Ray's autoscaler for nodes: slots start only where a node is, and from none nobody else would ask.

A request is a placement group that waits. When a node has joined that holds it, it has done its work and is removed, so
that the slot can have the room. (`request_resources` is not used: it replaces what Ray Train asks for.)
"""

from dataclasses import dataclass, field
from typing import Any

from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from orchestrator.packing import Need

MOST = 64
"""Requests at a time. More are made when these are met; the cluster's own limit holds anyway."""


@dataclass
class Joining:
    """Requests for the slots that are wanted and have no room."""

    need: Need
    most: int = MOST
    _waiting: list[Any] = field(default_factory=list)

    def want(self, slots: int) -> None:
        """Have requests for just so many slots. To be called now and then, after slots took the room there is."""
        for group in [each for each in self._waiting if placement_group_table(each)["state"] != "PENDING"]:
            self._drop(group)
        while len(self._waiting) > slots:
            self._drop(self._waiting[-1])
        while len(self._waiting) < min(slots, self.most):
            self._waiting.append(self._ask())

    def end(self) -> None:
        """Withdraw all requests."""
        self.want(0)

    def _ask(self) -> Any:
        bundle = {"CPU": 1.0, **({"GPU": self.need.gpus} if self.need.gpus else {})}
        return placement_group([bundle] * self.need.ranks, strategy="PACK")

    def _drop(self, group: Any) -> None:
        self._waiting.remove(group)
        remove_placement_group(group)
