"""One corpus's prepared audio, as it lies on disk: a folder named by corpus and fingerprint, with three files.

audio.f32          the clips' samples, 16 kHz mono, float32 little-endian, one clip after the other
manifest.parquet   a row a clip: the utterance's fields, first sample, length, SHA-256 of the samples
manifest.sha256    of the manifest
damaged            only where a clip was heard whose samples are not those that were written: its name
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainers.corpora.near import forget_copy, near
from trainers.corpora.utterance import Utterance
from trainers.errors import UserError

FORMAT = 1
"""Goes up whenever the same sources would be stored as other samples or in another layout."""

DAMAGED = "damaged"


class DamagedError(Exception):
    """A prepared folder that is not as it was written; its text is the cause."""


@dataclass(frozen=True)
class Part:
    """One corpus's prepared clips. `rows`: (first sample, number of samples, SHA-256 of the samples) of each clip."""

    folder: Path
    fingerprint: str
    utterances: tuple[Utterance, ...]
    rows: tuple[tuple[int, int, str], ...]
    undecodable: dict[str, str]

    @property
    def audio(self) -> NDArray[np.float32]:
        """All samples of the corpus, mapped when first asked for, from this machine's disk (`near`)."""
        return self._mapped[0]

    @cached_property
    def _mapped(self) -> tuple[NDArray[np.float32], int]:
        """The samples, and the number of the file that they are mapped from."""
        with suppress(FileNotFoundError):  # a copy that another process found damaged, and removed just now
            return _map(near(self.folder / "audio.f32", self.content))
        return _map(self.folder / "audio.f32")

    def forget_copy(self) -> None:
        """From now on hear the folder itself; a copy on this machine's disk is removed."""
        forget_copy(self.content, self._mapped[1])
        self.__dict__["_mapped"] = _map(self.folder / "audio.f32")

    @property
    def content(self) -> str:
        """What tells these samples from all others."""
        return hashlib.sha256("".join(digest for _, _, digest in self.rows).encode()).hexdigest()


def open_part(folder: Path) -> Part:
    """One prepared corpus, checked: the manifest's hash and the length of the audio. Raises DamagedError."""
    if (heard := folder / DAMAGED).exists():
        raise DamagedError(f"{folder / 'audio.f32'} is not as it was written ({heard.read_text()[:200]})")
    try:
        manifest = (folder / "manifest.parquet").read_bytes()
        said = (folder / "manifest.sha256").read_text().strip()
        n_bytes = (folder / "audio.f32").stat().st_size
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(f"{folder} lacks a file ({error})") from error
    if hashlib.sha256(manifest).hexdigest() != said:
        raise DamagedError(f"{folder / 'manifest.parquet'} is not as it was written")
    part = _parsed(folder, manifest)
    n_samples = sum(length for _, length, _ in part.rows)
    if n_bytes != 4 * n_samples:
        raise DamagedError(f"{folder / 'audio.f32'} has {n_bytes} bytes, not {4 * n_samples}")
    return part


def as_written(part: Part, row: tuple[int, int, str], name: str) -> NDArray[np.float32]:
    """A clip's samples, held against the hash of what was written. Where a copy on this machine's disk is damaged the
    folder itself is heard from then on, and the copy is made anew by whoever opens it next.

    UserError where the folder's are damaged; it then counts as damaged when it is next opened. Opening compares lengths
    alone: all the audio of a large corpus would take minutes to read.
    """
    first, length, digest = row
    samples = part.audio[first : first + length]
    if _is(samples, digest):
        return samples
    part.forget_copy()
    samples = part.audio[first : first + length]
    if _is(samples, digest):
        return samples
    with suppress(OSError):
        (part.folder / DAMAGED).write_text(name)
    raise UserError(f"prepared audio of {name} is damaged: not as it was written; the next sweep makes it anew")


def _map(file: Path) -> tuple[NDArray[np.float32], int]:
    with file.open("rb") as content:
        return np.memmap(content, dtype="<f4", mode="r"), os.fstat(content.fileno()).st_ino


def _is(samples: NDArray[np.float32], digest: str) -> bool:
    return hashlib.sha256(samples.tobytes()).hexdigest() == digest


def manifest_bytes(part: Part) -> bytes:
    """The manifest of a corpus, as parquet."""
    rows = [
        {**asdict(clip), "first_sample": first, "n_samples": length, "sha256": digest}
        for clip, (first, length, digest) in zip(part.utterances, part.rows, strict=True)
    ]
    told = {"format": FORMAT, "fingerprint": part.fingerprint, "undecodable": part.undecodable}
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"foldwise": json.dumps(told)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _parsed(folder: Path, manifest: bytes) -> Part:
    # read_table starts threads that outlive it, and a process that soon ends then aborts in half of the cases
    table = pq.ParquetFile(pa.BufferReader(manifest), pre_buffer=False).read(use_threads=False)
    told = json.loads(table.schema.metadata[b"foldwise"])
    rows = table.to_pylist()
    names = [each.name for each in fields(Utterance) if each.name in table.column_names]  # older ones lack new fields
    return Part(
        folder,
        told["fingerprint"],
        tuple(Utterance(**{name: row[name] for name in names}) for row in rows),
        tuple((row["first_sample"], row["n_samples"], row["sha256"]) for row in rows),
        told["undecodable"],
    )
