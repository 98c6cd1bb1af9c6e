"""What ends a run before its end, beside a spent budget: too many failures, a store that is full or cannot be written.

All three are kinds of "enough": running cells write a checkpoint, everything is kept, and one line says why.
"""

import os
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.board import Event
from orchestrator.disk import Disk, held_bytes
from orchestrator.preflight_node import try_store
from orchestrator.records import publish
from trainers.errors import UserError
from trainers.stores import bucket_of

GB = 1e9
LOOK_S = 5.0
"""Seconds between two looks at how much the store holds, or twenty times as long as a look takes: on a shared file
system it may take a while."""
PROBE_BYTES = 1_000_000
"""What a store must have room for to be worth going on: a few results."""


@dataclass
class Limits:
    """Of a run on `store`: how many cells may fail for good, and how many GB the store may hold; None is any number.

    A cell that fails because another one that it needs did is not counted: it was never tried.
    """

    store: Path
    max_failures: int | None = None
    max_store_gb: float | None = None
    _failed: set[str] = field(default_factory=set)
    _untried: bool = False
    _wrong: str = ""
    _held: int = 0
    _look: threading.Thread | None = None
    _look_at: float = 0.0

    def require_room(self, disk: Disk, keys: Collection[str]) -> None:
        """UserError where the store would come to hold more than it may. Checkpoints of the cells and stages `keys`
        that are there already are those that `disk` tells of."""
        if self.max_store_gb is None or not disk.most:
            return
        holds = held_bytes(self.store) - sum(held_bytes(self.store / "checkpoints" / key) for key in keys)
        needs = (holds + disk.most) / GB
        if needs > self.max_store_gb:
            raise UserError(
                f"max-store-gb is {self.max_store_gb:g}; it must be at least {_up(needs)}: the store holds "
                f"{holds / GB:.3g} GB and this plan writes up to {disk.most / GB:.3g} GB more, "
                f"{disk.checkpoints / GB:.3g} GB of it checkpoints while cells run; raise it, ask for fewer cells or "
                f"--slots, or make room in {self.store}"
            )

    def require_prepared(self, corpus: str, count: int) -> None:
        """UserError where a corpus of so many bytes, prepared, would bring the store above what it may hold."""
        if self.max_store_gb is None:
            return
        holds = held_bytes(self.store)
        if holds + count > self.max_store_gb * GB:
            raise UserError(
                f"max-store-gb is {self.max_store_gb:g}; it must be at least {_up((holds + count) / GB)}: the store "
                f"holds {holds / GB:.3g} GB, and {corpus} takes {count / GB:.3g} GB once it is prepared"
            )

    def ended(self, event: Event) -> None:
        """A cell came to its end. After failures the store is tried: what made one cell fail may await them all."""
        if event.summary is not None:
            self._failed.discard(event.key)
            return
        if not event.because:
            self._failed.add(event.key)
            self._untried = True

    def broken(self) -> str:
        """Why nothing more can be written, which ends a run also after its last cell."""
        if self._untried and not self._wrong:
            self._untried, self._wrong = False, wrong_with(self.store) or _no_room(self.store)
        return f"store {self.store} cannot be written any more: {self._wrong}" if self._wrong else ""

    def reason(self) -> str:
        """Why the run is to end, "" until then. Asked often; how much the store holds is counted beside."""
        if broken := self.broken():
            return broken
        if self.max_failures is not None and len(self._failed) >= self.max_failures:
            cells = "1 cell has" if len(self._failed) == 1 else f"{len(self._failed)} cells have"
            return f"{cells} failed for good, and --max-failures is {self.max_failures}"
        self._count()
        if self.max_store_gb is not None and self._held >= self.max_store_gb * GB:
            return f"the store holds {self._held / GB:.3g} GB, and --max-store-gb is {self.max_store_gb:g}"
        return ""

    def _count(self) -> None:
        busy = self._look is not None and self._look.is_alive()
        if self.max_store_gb is not None and not busy and time.monotonic() >= self._look_at:
            self._look = threading.Thread(target=self._counting, daemon=True, name="store's size")
            self._look.start()

    def _counting(self) -> None:
        began = time.monotonic()
        self._held = held_bytes(self.store)
        now = time.monotonic()
        self._look_at = now + max(LOOK_S, 20 * (now - began))


def require_store(store: Path) -> None:
    """UserError where the store cannot be written, or its file system does not do what the ledger relies on."""
    if wrong := wrong_with(store):
        if bucket_of(store):
            raise UserError(wrong)
        raise UserError(
            f"store {str(store)!r} cannot be used: {wrong}; mount it for writing, on a file system that renames over "
            "and locks (a local disk, NFS 4, EFS, Lustre; a bucket by its URL), make room, or choose another --store"
        )


def wrong_with(store: Path) -> str:
    """What keeps the store from being written as the ledger writes it, "" where nothing does."""
    return try_store(store, f"try-{socket.gethostname()}-{os.getpid()}")


def _no_room(store: Path) -> str:
    """Why a few results more would not fit."""
    probe = store / f".room-{socket.gethostname()}-{os.getpid()}"
    try:
        publish(probe, b"\0" * PROBE_BYTES)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return ""


def _up(gb: float) -> str:
    """Rounded up to three digits: what is told is enough."""
    rounded = float(f"{gb:.3g}")
    return f"{rounded if rounded >= gb else float(f'{gb * 1.005:.3g}'):g}"
