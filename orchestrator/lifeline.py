"""Whether our own Ray still lives: a driver without its two servers hangs for a minute, and is then aborted by Ray."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import ray

from orchestrator.cluster import Held, connected, first_line, joined, unjoined
from orchestrator.slots import HopelessError
from trainers.errors import UserError

VITAL = ("gcs_server", "raylet")
LOOK_S = 0.2
INTERRUPTED = 130
SHOW_CURSOR = "\x1b[?25h"
"""A progress bar hides it."""


class RayGoneError(HopelessError):
    """A Ray of our own does not come up."""


@contextmanager
def alive(slots: int | None) -> Iterator[Held]:
    """As `cluster.connected`; in one line UserError where a cluster cannot be joined, RayGoneError where a Ray of our
    own does not come up."""
    with ExitStack() as stack:
        try:
            held = stack.enter_context(connected(slots))
        except UserError:
            raise
        except Exception as error:
            if address := joined():
                raise unjoined(address, error) from error
            raise RayGoneError(f"Ray did not start: {first_line(error)}; try the same command again") from error
        yield held


class Lifeline:
    """From now on ends this process where its own Ray dies, with a line and the code 1, or 130 once `interrupted`.

    At once, since most calls into a dead Ray block for a minute and end in an abort; and without any cleaning up, since
    all that would be cleaned up the next run removes, as after a kill. A Ray of somebody else (`own` False) is let be.
    """

    def __init__(self, own: bool, interrupted: Callable[[], bool]) -> None:
        self._over = threading.Event()
        self._interrupted = interrupted
        if own:
            threading.Thread(target=self._watch, daemon=True, name="lifeline").start()

    def end(self) -> None:
        """Watch no more: the Ray is to be ended now."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            if dead := dead_servers():
                if not self._interrupted():  # what told Ray to end may be about to tell us as well
                    self._over.wait(LOOK_S)
                line = "interrupted" if self._interrupted() else f"error: {told(dead)}"
                shown = SHOW_CURSOR if sys.stderr.isatty() else ""
                print(f"{shown}{line}; what is finished is kept", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED if self._interrupted() else 1)


def told(dead: list[str]) -> str:
    """What a person is told."""
    return f"Ray's own {' and '.join(dead)} ended (killed, or out of memory); the same command goes on from there"


def dead_servers() -> list[str]:
    """Those of our Ray's servers that have ended."""
    node = ray._private.worker._global_node
    return sorted({name for name, _ in node.dead_processes() if name in VITAL}) if node else []
