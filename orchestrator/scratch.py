"""A run's scratch folder: its own while it lives, and removed after it, by itself or by the next run."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HELD = "held"
"""A file in a run's scratch folder that it keeps locked."""
REHEARSALS = "rehearsal-*"
"""Folders beside it, where slots rehearse cells."""

REMOVALS, QUIET = 15, 3
PAUSE_S = 0.2
"""How often a folder that comes back is removed, how often in a row it has to be found gone, and how long is waited
before each look."""


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A folder of this run alone below `folder`. Those of killed runs are removed."""
    remove_left(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix="ray-"))
    try:
        with (scratch / HELD).open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield scratch
    finally:
        _remove(scratch)


def remove_left(folder: Path) -> None:
    """Remove what killed runs left below `folder`, of which nobody holds the lock."""
    for rehearsal in folder.parent.glob(REHEARSALS):  # of slots that were killed amid one: none runs before its sweep
        shutil.rmtree(rehearsal, ignore_errors=True)
    for left in folder.glob("ray-*"):
        _remove_unless_held(left)


def _remove(scratch: Path) -> None:
    """Threads and processes of Ray's that are just ending may still write into it, and make it anew."""
    quiet = 0
    for _ in range(REMOVALS):
        shutil.rmtree(scratch, ignore_errors=True)
        time.sleep(PAUSE_S)
        quiet = 0 if scratch.exists() else quiet + 1
        if quiet == QUIET:
            return


def _remove_unless_held(scratch: Path) -> None:
    with suppress(OSError), (scratch / HELD).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(scratch, ignore_errors=True)
