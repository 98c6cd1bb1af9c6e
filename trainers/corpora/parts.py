"""One corpus's prepared audio, as it lies on disk: a folder named by corpus and fingerprint, with three files.

audio.f32          the clips' samples, 16 kHz mono, float32 little-endian, one clip after the other
manifest.parquet   a row a clip: the utterance's fields, first sample, length, SHA-256 of the samples
manifest.sha256    of the manifest
damaged            only where a clip was heard whose samples are not those that were written: its name
"""

import hashlib
import json
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

    @cached_property
    def audio(self) -> NDArray[np.float32]:
        """All samples of the corpus, mapped when first asked for, from this machine's disk (`near`)."""
        return np.memmap(near(self.folder / "audio.f32", self.content), dtype="<f4", mode="r")

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


def require_as_written(part: Part, name: str, samples: NDArray[np.float32], digest: str) -> None:
    """UserError where a clip's samples have changed since; its folder then counts as damaged when it is next opened.

    Opening compares lengths alone: all the audio of a large corpus would take minutes to read.
    """
    if hashlib.sha256(samples.tobytes()).hexdigest() == digest:
        return
    if forget_copy(part.content) and _sound_there(part, name, digest):
        raise UserError(
            f"this node's copy of the prepared audio of {name} was damaged; it is made anew when next needed"
        )
    with suppress(OSError):
        (part.folder / DAMAGED).write_text(name)
    raise UserError(f"prepared audio of {name} is damaged: not as it was written; the next sweep makes it anew")


def _sound_there(part: Part, name: str, digest: str) -> bool:
    """Whether the folder's own samples of a clip are as they were written."""
    first, length, _ = part.rows[[clip.id for clip in part.utterances].index(name)]
    samples = np.memmap(part.folder / "audio.f32", dtype="<f4", mode="r")[first : first + length]
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
