"""Whether our own Ray still lives: a driver without its two servers hangs for a minute, and is then aborted by Ray."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import ray

from orchestrator.cluster import connected
from orchestrator.slots import HopelessError
from trainers.errors import UserError

VITAL = ("gcs_server", "raylet")
LOOK_S = 1.0
LEAVING_S = 25.0
"""How long a driver whose Ray is gone may take to leave before it is ended: calls into a dead Ray may take for ever."""


class RayGoneError(HopelessError):
    """A process without which there is no Ray was killed, or ended by itself."""


@contextmanager
def alive(slots: int | None) -> Iterator[bool]:
    """As `cluster.connected`; RayGoneError in one line where a Ray of our own does not come up."""
    with ExitStack() as stack:
        try:
            own = stack.enter_context(connected(slots))
        except UserError:
            raise
        except Exception as error:
            raise RayGoneError(
                f"Ray did not start: {str(error).splitlines()[0]}; try the same command again"
            ) from error
        yield own


class Lifeline:
    """Watches our own Ray from now on; a Ray of somebody else (`own` False) is not looked at."""

    def __init__(self, own: bool) -> None:
        self._ended = threading.Event()
        self._noticed = False
        if own:
            threading.Thread(target=self._watch, daemon=True, name="lifeline").start()
        self._own = own

    def check(self) -> None:
        """RayGoneError where our Ray is gone."""
        if self._own and (dead := dead_servers()):
            self._noticed = True
            raise RayGoneError(told(dead))

    def end(self) -> None:
        """Watch no more: the Ray is to be ended now, or to be left."""
        if not self._noticed:
            self._ended.set()

    def _watch(self) -> None:
        while not dead_servers():
            if self._ended.wait(LOOK_S):
                return
        dead = told(dead_servers())
        if not self._ended.wait(LEAVING_S):
            if not self._noticed:
                print(f"error: {dead}; what is finished is kept", file=sys.stderr, flush=True)
            os._exit(1)


def told(dead: list[str]) -> str:
    """What a person is told."""
    return f"Ray's own {' and '.join(dead)} ended (killed, or out of memory); the same command goes on from there"


def dead_servers() -> list[str]:
    """Those of our Ray's servers that have ended."""
    node = ray._private.worker._global_node
    return sorted({name for name, _ in node.dead_processes() if name in VITAL}) if node else []
