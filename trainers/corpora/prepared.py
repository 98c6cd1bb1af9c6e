"""Prepared audio: every clip decoded once to 16 kHz mono, in files below `<store>/prepared` that all processes map."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers import stores
from trainers.corpora.copies import Copy, known_copies
from trainers.corpora.manifest import corpus_at
from trainers.corpora.parts import DamagedError, Part, as_written, open_part
from trainers.corpora.preparing import Room, part_of
from trainers.corpora.scan import Scan, corpus_folder, scan
from trainers.errors import UserError

NAMED_FILES = 3
"""How many unreadable files an error names; it counts the rest."""


class Prepared:
    """The prepared clips of one or several corpora, numbered in the order of their paths.

    Pickles as the names of its folders. `left_out` and `unreadable` (path -> reason) are those of the preparation;
    reopened, only what could not be decoded is still known.
    """

    def __init__(
        self, parts: Sequence[Part], left_out: Mapping[str, str] | None = None, bad: Mapping[str, str] | None = None
    ) -> None:
        placed = [(clip, row, part) for part in parts for clip, row in zip(part.utterances, part.rows, strict=True)]
        placed.sort(key=lambda each: each[0].path)
        self.utterances = tuple(clip for clip, _, _ in placed)
        self.index = {clip.id: number for number, clip in enumerate(self.utterances)}
        self.fingerprints = {clip.id: row[2] for clip, row, _ in placed}
        self.fingerprint = hashlib.sha256(":".join(sorted(part.fingerprint for part in parts)).encode()).hexdigest()
        self.paths = tuple(part.folder for part in parts)
        self.left_out = dict(left_out or {})
        self.unreadable = dict(bad or {}) | {name: why for part in parts for name, why in part.undecodable.items()}
        self._heard: set[int] = set()
        self._places = [(part, row) for _, row, part in placed]

    def samples(self, which: int | str) -> NDArray[np.float32]:
        """The whole clip of that number or id: (samples,) at 16 kHz, a read-only view of the file.

        UserError where they are not those that were written, looked at once in each process.
        """
        number = self.index[which] if isinstance(which, str) else which
        part, row = self._places[number]
        if number not in self._heard:
            samples = as_written(part, row, self.utterances[number].id)
            self._heard.add(number)
            return samples
        return part.audio[row[0] : row[0] + row[1]]

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """Pairs of clips that hold the same recording; looked for once and kept beside the prepared audio."""
        return self.look_for_copies()

    def look_for_copies(self, report: Callable[[str], None] = lambda _: None) -> tuple[Copy, ...]:
        """As `copies`; `report` gets a line now and then."""
        names = [clip.id for clip in self.utterances]
        stores.bring(copies_path(self.paths[0].parent, self.fingerprint))
        return known_copies(self.paths[0].parent, self.fingerprint, names, self.samples, report)

    def __reduce__(self) -> tuple[Callable[[Sequence[Path]], "Prepared"], tuple[tuple[Path, ...]]]:
        return open_prepared, (self.paths,)


def prepare(
    data_root: Path,
    corpora: Sequence[str],
    store: Path,
    *,
    max_bad: int = 0,
    report: Callable[[str], None] = lambda _: None,
    room: Room = lambda *_: None,
) -> Prepared:
    """The corpora's clips, decoded now or found in `<store>/prepared`; `report` gets a line now and then, and `room` is
    asked before a corpus is written.

    UserError: a corpus that is not there or has no usable clip, more than `max_bad` unreadable files, a store that
    cannot be written to.
    """
    scans = [scan(data_root.resolve(), corpus_at(data_root.resolve(), name)) for name in dict.fromkeys(corpora)]
    bad = {name: cause for found in scans for name, cause in found.unreadable.items()}
    refuse_unreadable(bad, max_bad)
    for found in scans:
        _refuse_empty(found, data_root)
    parts = [part_of(found, data_root.resolve(), store.resolve() / "prepared", report, room) for found in scans]
    left_out = {name: reason for found in scans for name, reason in found.left_out.items()}
    prepared = Prepared(parts, left_out, bad)
    refuse_unreadable(prepared.unreadable, max_bad)
    prepared.look_for_copies(report)
    return prepared


def open_prepared(paths: Sequence[Path]) -> Prepared:
    """Prepared corpora by their folders alone (`Prepared.paths`), as a slot opens them; UserError if one is damaged."""
    try:
        return Prepared([_brought(Path(path)) for path in paths])
    except DamagedError as error:
        raise UserError(f"prepared audio is damaged: {error}; the next sweep makes it anew") from error


def _brought(folder: Path) -> Part:
    """A part from here, or from the bucket behind its store, which has it whole where this copy is damaged."""
    stores.bring(folder)
    try:
        return open_part(folder)
    except DamagedError:
        if stores.behind(folder) is None or not folder.exists():
            raise
        folder.rename(folder.with_name(f"{folder.name}.damaged-{secrets.token_hex(4)}"))
        stores.bring(folder)
        return open_part(folder)


def copies_path(home: Path, fingerprint: str) -> Path:
    """Where `Prepared.copies` are kept."""
    return home / f"copies-{fingerprint[:16]}.json"


def share(prepared: Prepared) -> None:
    """Write prepared corpora to the bucket behind their store, where there is one, for slots on other nodes."""
    for folder in prepared.paths:
        stores.send(folder)
    stores.send(copies_path(prepared.paths[0].parent, prepared.fingerprint))


def refuse_unreadable(unreadable: Mapping[str, str], max_bad: int) -> None:
    """UserError with the first names and causes where there are more than `max_bad`."""
    if len(unreadable) <= max_bad:
        return
    first = [f"{name} ({unreadable[name]})" for name in sorted(unreadable)[:NAMED_FILES]]
    more = f" and {len(unreadable) - len(first)} more" if len(unreadable) > len(first) else ""
    what = "file cannot be read" if len(unreadable) == 1 else "files cannot be read"
    raise UserError(f"{len(unreadable)} {what}, --max-bad allows {max_bad}: {', '.join(first)}{more}")


def _refuse_empty(found: Scan, data_root: Path) -> None:
    if not found.utterances:
        reasons = sorted({*found.left_out.values(), *found.unreadable.values()})
        where = corpus_folder(data_root, found.corpus)
        raise UserError(f"corpus {found.corpus.name} has no usable clip at {where}: {'; '.join(reasons)}")
