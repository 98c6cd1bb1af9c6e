"""A ledger's results in a bucket. A result there is what its record says that was created first.

`cells/<key[:2]>/<key>.json` is the record, created once: the commit. Its details lie beside it under their own
checksum, `<key>.<16 digits>.details.json.gz`, so that a second writer cannot put others in their place. `unsent/` is
local: whole results that the bucket does not have yet.
"""

import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from orchestrator import records
from trainers.bucket import Bucket
from trainers.stores import AT_ONCE, bucket_of
from trainers.withdrawn import withdraw

UNSENT = "unsent"


@dataclass(frozen=True)
class Cells:
    """The results behind the working copy `store`."""

    bucket: Bucket
    store: Path

    def fetch(self, key: str) -> bool:
        """Bring a result here as it lies there, whoever reads it judges it; False where there is none."""
        record = self.bucket.get(_record(key))
        if record is None:
            return False
        details = self.bucket.get(_details(key, _checksum(record)))
        path = self.store / _record(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if details is not None:
            _place(records.details_path(path), details)
        _place(path, record)
        return True

    def pull(self, here: Collection[str], wanted: Collection[str] | None = None) -> None:
        """Bring the results that are not `here`: those `wanted`, or all. One listing, then several at a time."""
        if wanted is not None and not set(wanted) - set(here):
            return
        there = self.keys()
        lacking = (there if wanted is None else there & set(wanted)) - set(here)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.fetch, lacking))

    def keys(self) -> set[str]:
        """All results that count."""
        names = (key.rpartition("/")[2].removesuffix(".json") for key in self.bucket.list("cells"))
        return {name for name in names if len(name) == 64}

    def commit(self, key: str, packed: records.Packed) -> bool:
        """Details, then the record; whether ours is the one that counts."""
        self.bucket.put(_details(key, _checksum(packed.record)), packed.details)
        return self.bucket.create(_record(key), packed.record)

    def set_beside(self, key: str, packed: records.Packed) -> None:
        """Keep a second result with other numbers, which counts for nobody."""
        checksum = _checksum(packed.record)
        self.bucket.put(_details(key, checksum), packed.details)
        self.bucket.put(f"cells/{key[:2]}/{key}.differs-{checksum}.json", packed.record)

    def set_aside(self, key: str, folder: str) -> None:
        """Move a result, so that its cell counts as missing: the record first."""
        checksum = _checksum(self.bucket.get(_record(key)) or b"")
        for name in (_record(key), _details(key, checksum)):
            self.bucket.move(name, f"{folder}/{name.rpartition('/')[2]}")

    def withdraw(self, keys: Collection[str]) -> None:
        """Move results, and what was trained of them half-way, to `set_aside/`; other nodes drop their own."""
        folder, wanted = withdraw(self.store, keys), set(keys)
        for key in self.keys() & wanted:
            self.set_aside(key, folder)
        half = self.bucket.list("checkpoints")
        self.bucket.delete(*(name for name in half if name.split("/")[1] in wanted))

    # --- what is still to be sent

    def keep(self, key: str, packed: records.Packed) -> None:
        """Keep a whole result until the bucket has it, however this process ends."""
        path = self._unsent(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        records.publish(records.details_path(path), packed.details)
        records.publish(path, packed.record)

    def settle(self, key: str) -> None:
        """The bucket has this very result: it counts here, too."""
        path, unsent = self.store / _record(key), self._unsent(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        for of in (records.details_path, lambda same: same):
            of(unsent).replace(of(path))

    def drop(self, key: str) -> None:
        """It is kept elsewhere, or another one counts."""
        for path in (self._unsent(key), records.details_path(self._unsent(key))):
            path.unlink(missing_ok=True)

    def unsent(self) -> list[Path]:
        """Records of results that the bucket lacks."""
        return [path for path in sorted((self.store / UNSENT).glob("*.json")) if len(path.stem) == 64]

    def _unsent(self, key: str) -> Path:
        return self.store / UNSENT / f"{key}.json"


def cells_of(store: Path) -> Cells | None:
    """The results behind a store; None behind a plain folder."""
    bucket = bucket_of(store)
    return Cells(bucket, store) if bucket else None


def _place(path: Path, content: bytes) -> None:
    """Several processes of a node may bring the same at a time; what a power cut takes is brought again."""
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _record(key: str) -> str:
    return f"cells/{key[:2]}/{key}.json"


def _details(key: str, checksum: str) -> str:
    return f"cells/{key[:2]}/{key}.{checksum}.details.json.gz"


def _checksum(record: bytes) -> str:
    """Of the details that a record promises, 16 digits; of a damaged record a name that nothing has."""
    try:
        return str(json.loads(record)["details"]["sha256"])[:16]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "damaged"
