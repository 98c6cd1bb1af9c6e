"""Tallies of a sweep's cells, remembered: a look at a thousand configurations must not count every prediction again.

`<store>/sweeps/<sweep>/tallies.bin` holds what was counted, with size and times of the records that it came from. It is
derived. A record that has changed since is counted anew, and so is all where the file is damaged: what is wrong
with it costs time, never truth. It may be deleted.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.answers.tallies import CLASSES, Layout, Matrices, Name, Pile, Tally, tally
from orchestrator.ledger import Ledger

SCHEMA = 1


def remembered_at(store: Path, sweep: str) -> Path:
    """Where the tallies of a sweep's cells are remembered."""
    return store / "sweeps" / sweep / "tallies.bin"


def tallies_of(ledger: Ledger, sweep: str, groups: Mapping[str, Mapping[Any, str]]) -> dict[str, dict[Any, Tally]]:
    """Name -> place -> tally of the cells that are done, of configurations' places with the keys of their cells."""
    keys = dict.fromkeys(key for cells in groups.values() for key in cells.values())
    found = Memory(ledger, remembered_at(ledger.store, sweep)).of(keys)
    return {name: {place: found[key] for place, key in cells.items() if key in found} for name, cells in groups.items()}


@dataclass(frozen=True)
class Memory:
    """The tallies of cells: from the file at `path`, or counted from the ledger where the file does not have them."""

    ledger: Ledger
    path: Path

    def of(self, keys: Iterable[str]) -> dict[str, Tally]:
        """The tallies of those cells that are done; what was counted anew is remembered."""
        wanted = set(keys)
        self.ledger.bring(wanted)
        stamps = _stamps(self.ledger.store, wanted)
        known, places = self._known
        found = {key: places[key] for key, stamp in stamps.items() if known.get(key) == stamp}
        lacking = [key for key in stamps if key not in found]
        counted = {key: tally(result) for key in lacking if (result := self.ledger.read(key))}
        if counted:
            with suppress(OSError):
                self._remember({**known, **{key: stamps[key] for key in counted}}, {**places, **counted})
        return found | counted

    @cached_property
    def _known(self) -> tuple[dict[str, str], dict[str, Tally]]:
        """Key -> stamp, and key -> tally."""
        try:
            head, _, content = self.path.read_bytes().partition(b"\n")
            if head != _head(content):
                return {}, {}
        except OSError:
            return {}, {}
        told, _, counts = content.partition(b"\n")
        return _unpacked(json.loads(told), np.frombuffer(counts, "<i4"))

    def _remember(self, stamps: Mapping[str, str], tallies: Mapping[str, Tally]) -> None:
        content = _packed(stamps, tallies)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            scratch.write_bytes(_head(content) + b"\n" + content)
            scratch.replace(self.path)
        finally:
            scratch.unlink(missing_ok=True)


def _packed(stamps: Mapping[str, str], tallies: Mapping[str, Tally]) -> bytes:
    """One line of JSON that says which cells there are, layout by layout, then their matrices."""
    piles: dict[tuple[Name, ...], list[str]] = {}
    for key, own in tallies.items():
        piles.setdefault(own.pile.layout.names, []).append(key)
    told = [[names, keys, [stamps[key] for key in keys]] for names, keys in piles.items()]
    matrices = [tallies[key].pile.matrices[tallies[key].cell] for keys in piles.values() for key in keys]
    counts = b"".join(each.astype("<i4").tobytes() for each in matrices)
    return json.dumps(told, separators=(",", ":")).encode() + b"\n" + counts


def _unpacked(told: list[Any], counts: Matrices) -> tuple[dict[str, str], dict[str, Tally]]:
    known: dict[str, str] = {}
    tallies: dict[str, Tally] = {}
    start = 0
    for names, keys, stamps in told:
        size = len(keys) * len(names) * CLASSES * CLASSES
        matrices = counts[start : start + size].reshape(len(keys), len(names), CLASSES, CLASSES)
        pile = Pile(Layout.of(map(tuple, names)), matrices)
        known.update(zip(keys, stamps, strict=True))
        tallies.update((key, Tally(pile, cell)) for cell, key in enumerate(keys))
        start += size
    return known, tallies


def _head(content: bytes) -> bytes:
    return f"tallies {SCHEMA} {hashlib.sha256(content).hexdigest()}".encode()


def _stamps(store: Path, keys: set[str]) -> dict[str, str]:
    """Key -> size and times of its record, of those cells that have record and details.

    The last of the times is one that nobody can set back. A record holds its details' checksum, so it speaks for both.
    """
    found: dict[str, str] = {}
    for shard in sorted({key[:2] for key in keys}):
        files = dict(_files(store / "cells" / shard))
        for name, record in files.items():
            key = name.removesuffix(".json")
            if key in keys and f"{key}.details.json.gz" in files:
                found[key] = _times(record)
    return found


def _files(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from ((entry.name, entry) for entry in entries)


def _times(entry: os.DirEntry[str]) -> str:
    status = entry.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
