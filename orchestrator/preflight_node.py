"""What a machine tells of itself before a sweep: versions, GPUs, disk, what it sees of store, recordings, encoder."""

import fcntl
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from trainers import stores
from trainers.errors import UserError
from trainers.spec import CODE_VERSION

CODE = Path(__file__).resolve().parent.parent
PACKAGES = ("orchestrator", "search_spaces", "trainers")
EDGE_BYTES = 65536
"""Of each recording its beginning and its end are compared, with its length: all of it would take hours."""


CONNECT_S = 10.0
"""How long a connection between two nodes may take to be made."""

TRIED_S = 60.0
"""How long a bucket's server may stay away while it is tried: the driver does nothing else meanwhile."""


@dataclass(frozen=True)
class Asked:
    """What is looked at: absolute folders; `run` names the traces that are left in the store and removed at the end."""

    store: Path
    data: Path | None = None
    encoder: Path | None = None
    run: str = "preflight"

    @property
    def traces(self) -> Path:
        """Where every machine leaves a file."""
        return self.store / f".{self.run}"

    def __reduce__(self) -> tuple[Callable[..., "Asked"], tuple[object, ...]]:
        return _arrived, (stores.portable(self.store), self.data, self.encoder, self.run)


def _arrived(store: Path | stores.Place, data: Path | None, encoder: Path | None, run: str) -> Asked:
    return Asked(stores.arrived(store), data, encoder, run)


@dataclass(frozen=True)
class Facts:
    """A machine's answers. `versions`: by name. `gpus`: name and GiB of each; `ray_gpus`: how many Ray counts.

    `store`, `encoder`: what is wrong with it, "" where nothing is. `data`, `prepared`: fingerprints, "" where there is
    nothing. `first`: whether it alone could create the file that all tried to. `seen`: whose traces it sees.
    `skew_s`: by how much its clock is surely off the driver's.
    """

    node: str
    versions: dict[str, str]
    gpus: tuple[tuple[str, float], ...] = ()
    torch_gpus: int = 0
    ray_gpus: float = 0.0
    free_gb: dict[str, float] | None = None
    store: str = ""
    first: bool = False
    seen: tuple[str, ...] = ()
    data: str = ""
    prepared: str = ""
    encoder: str = ""
    encoder_fingerprint: str = ""
    skew_s: float = 0.0


def look(asked: Asked, node: str, ray_gpus: float) -> Facts:
    """All but what takes the other machines' traces. May take as long as it takes to read the encoder."""
    encoder, wrong = _encoder(asked.encoder)
    return Facts(
        node=node,
        versions=versions(),
        gpus=_gpus(),
        torch_gpus=_torch_gpus(),
        ray_gpus=ray_gpus,
        free_gb={"temporary files": _free_gb(Path(tempfile.gettempdir())), "store": _free_gb(asked.store)},
        store=try_store(asked.store, f"{asked.run}-{node}"),
        first=leave_trace(asked.traces, node),
        data=fingerprint(asked.data, ("*",)) if asked.data and asked.data.is_dir() else "",
        prepared=_prepared(asked.store),
        encoder=wrong,
        encoder_fingerprint=encoder,
    )


def see(asked: Asked, facts: Facts, names: Iterable[str]) -> Facts:
    """Whose traces lie in the store, once all have left theirs: by name, since NFS may list a folder as it was."""
    bucket = stores.bucket_of(asked.store)
    left = {key.rpartition("/")[2] for key in bucket.list(asked.traces.name)} if bucket else set()
    return replace(facts, seen=tuple(name for name in names if name in left or (asked.traces / name).is_file()))


def versions() -> dict[str, str]:
    """Of all that makes a cell's numbers, or that has to speak with its like on other machines."""
    import ray
    import torch

    return {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "foldwise": f"{CODE_VERSION}-{fingerprint(CODE, [f'{name}/**/*.py' for name in PACKAGES])[:10]}",
    }


def fingerprint(folder: Path, patterns: Iterable[str]) -> str:
    """SHA-256 over names, lengths, beginnings and ends of the files that match, and of all below folders that do."""
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    files = {path for path in found if path.is_file()}
    files |= {path for each in found if each.is_dir() for path in each.rglob("*") if path.is_file()}
    digest = hashlib.sha256()
    for path in sorted(file for file in files if not file.name.startswith(".")):
        with path.open("rb") as content:
            length = content.seek(0, os.SEEK_END)
            content.seek(0)
            begins = content.read(EDGE_BYTES)
            content.seek(max(0, length - EDGE_BYTES))
            digest.update(f"{path.relative_to(folder)}:{length}:".encode() + begins + content.read())
    return digest.hexdigest()


def try_store(store: Path, name: str, rename: Callable[[Path, Path], None] = os.replace) -> str:
    """Do what the ledger does: write beside, rename over, create only once, lock; "" or what did not work.

    `rename`: a test's way to have a file system that cannot.
    """
    folder = store / f".{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for text in ("first", "second"):
            (folder / "beside").write_text(text)
            rename(folder / "beside", folder / "kept")
        if (folder / "kept").read_text() != "second" or (folder / "beside").exists():
            return "a renamed file does not replace the one that was there"
        return _try_once(folder / "kept") or _try_lock(folder) or _try_bucket(store, folder.name)
    except OSError as error:
        return f"{error.strerror or error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try_once(kept: Path) -> str:
    try:
        kept.open("x").close()
    except FileExistsError:
        return ""
    return "a file that exists can be created once more"


def _try_bucket(store: Path, name: str) -> str:
    """What keeps the bucket behind a store from committing results."""
    bucket = stores.bucket_of(store)
    if bucket is None:
        return ""
    bucket = replace(bucket, patience_s=min(bucket.patience_s, TRIED_S))
    key = f"{name}-{uuid4().hex[:8]}"
    try:
        if not bucket.create(key, b"first") or bucket.create(key, b"second") or bucket.get(key) != b"first":
            return (
                f"store {bucket.url} lets an object that exists be created once more: its server ignores If-None-Match"
            )
        bucket.put(key, b"third")
        return "" if bucket.get(key) == b"third" else f"store {bucket.url} does not show what was just written"
    except UserError as error:
        return str(error)
    finally:
        with suppress(UserError):
            bucket.delete(key)


def _prepared(store: Path) -> str:
    """Of a bucket the names alone, which are checksums themselves: every node brings what it lacks."""
    if bucket := stores.bucket_of(store):
        names = sorted(bucket.list("prepared"))
        return hashlib.sha256("\n".join(names).encode()).hexdigest() if names else ""
    return fingerprint(store / "prepared", ("*",)) if (store / "prepared").is_dir() else ""


def _try_lock(folder: Path) -> str:
    try:
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"it cannot lock files: {error.strerror or error}"
    return ""


def leave_trace(traces: Path, node: str) -> bool:
    """Leave a file for the others to see; whether this machine alone created the one that all try to create."""
    if afar := stores.behind(traces):
        afar.bucket.put(f"{afar.key}/{node}", b"")
        return afar.bucket.create(f"{afar.key}/one", node.encode())
    try:
        traces.mkdir(parents=True, exist_ok=True)
        (traces / node).touch()
        (traces / "one").open("x").close()
    except OSError:
        return False
    return True


def unreached(doors: Mapping[str, tuple[str, int]]) -> list[str]:
    """Names of those whose (address, port) this machine cannot connect to."""

    def reach(name: str) -> str:
        try:
            socket.create_connection(doors[name], timeout=CONNECT_S).close()
        except OSError:
            return name
        return ""

    with ThreadPoolExecutor(32) as pool:
        return [name for name in pool.map(reach, doors) if name]


def skew(asked_s: float, told_s: float, answered_s: float) -> float:
    """By how much a clock is surely off that told `told_s` between two moments of the driver's; 0: it may be right."""
    return max(0.0, told_s - answered_s, asked_s - told_s)


def _encoder(folder: Path | None) -> tuple[str, str]:
    """Its fingerprint, and what is wrong with it."""
    from trainers.encoder_files import fingerprint as encoder_fingerprint
    from trainers.encoders import load_backbone

    if folder is None:
        return "", ""
    try:
        if not folder.is_dir():
            return "", f"there is no folder {folder}"
        load_backbone(folder)
        return encoder_fingerprint(folder), ""
    except (UserError, OSError) as error:
        return "", str(error)


def _free_gb(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def _gpus() -> tuple[tuple[str, float], ...]:
    """As NVIDIA's driver tells them, whatever this process may see."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        rows = [line.rsplit(",", 1) for line in told.strip().splitlines()]
        return tuple((name.strip(), float(mib) / 1024) for name, mib in rows)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def _torch_gpus() -> int:
    """How many torch can use; 0 where the driver is too old for its CUDA."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
