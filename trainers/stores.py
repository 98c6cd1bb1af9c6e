"""A store that lies in a bucket: one folder on each node, its working copy, with the bucket behind it.

All code goes on with paths. What is written for others is sent (`send`), what is missed is brought (`bring`), and what
is dropped is dropped there, too (`forget`). Below a plain folder each of them does nothing.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from trainers.bucket import Bucket
from trainers.errors import UserError

MARKER = ".bucket.json"
"""In a working copy: the URL that it mirrors, and a word that tells this copy from all others."""
WHOLE = ".whole.json"
"""Beside a folder's objects, written last: the names and lengths of its files."""
Thing = TypeVar("Thing")

AT_ONCE = 16
"""Objects on their way at a time."""


def located(store: str | Path) -> Path:
    """The folder to work in: of a URL this node's working copy, below $FOLDWISE_CACHE or ~/.cache/foldwise."""
    if not is_url(store):
        return Path(store).expanduser().resolve()
    url = str(store).rstrip("/")
    parts = urlsplit(Bucket(url).url)
    home = cache_home()
    name = f"{parts.scheme}-{parts.netloc}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    folder = home / "stores" / name
    try:
        _mark(folder, url)
    except OSError as error:
        raise UserError(
            f"cannot write the working copy of {url}, {folder}: {error.strerror}; $FOLDWISE_CACHE"
        ) from error
    return folder


def cache_home() -> Path:
    """The folder on this node's disk for what can be had again: $FOLDWISE_CACHE or ~/.cache/foldwise."""
    return Path(os.environ.get("FOLDWISE_CACHE") or "~/.cache/foldwise").expanduser().resolve()


def is_url(store: str | Path) -> bool:
    """Whether it names a bucket, not a folder."""
    return isinstance(store, str) and "://" in store


def given(word: str) -> Path:
    """What a user gave as `--store`: the folder itself, or this node's copy of the bucket with that URL."""
    return located(word) if is_url(word) else Path(word)


def _mark(folder: Path, url: str) -> None:
    if not (folder / MARKER).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{MARKER}.{uuid4().hex}"
        partial.write_text(json.dumps({"url": url, "copy": uuid4().hex}))
        with suppress(FileExistsError):  # of two processes one is first
            (folder / MARKER).hardlink_to(partial)
        partial.unlink()
        _read.cache_clear()


@lru_cache(maxsize=4096)
def _read(folder: str) -> tuple[Bucket, str] | None:
    try:
        told = json.loads(Path(folder, MARKER).read_bytes())
        return Bucket(told["url"]), str(told["copy"])
    except OSError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{Path(folder, MARKER)} is damaged; remove the folder, the bucket has all of it") from error


def bucket_of(store: Path) -> Bucket | None:
    """What lies behind a store; None behind a plain folder. Looked at once in a process."""
    found = _read(str(store))
    return found[0] if found else None


def copy_of(store: Path) -> str:
    """The word that tells a working copy from all others, "" of a plain folder."""
    found = _read(str(store))
    return found[1] if found else ""


def told(store: Path) -> str:
    """How a store is named to a person."""
    bucket = bucket_of(store)
    return bucket.url if bucket else str(store)


@dataclass(frozen=True)
class Afar:
    """Where a file or folder lies in a bucket."""

    bucket: Bucket
    store: Path
    key: str


def behind(path: Path) -> Afar | None:
    """Where a path below a working copy lies in its bucket; None below plain folders."""
    for folder in path.parents:
        if found := _read(str(folder)):
            return Afar(found[0], folder, path.relative_to(folder).as_posix())
    return None


@dataclass(frozen=True)
class Place:
    """A path as another node finds it: below its own working copy of the store."""

    url: str
    within: str

    def here(self) -> Path:
        return located(self.url) / self.within


def portable(path: Path) -> Path | Place:
    """A path to be sent to other nodes: itself, or its place in the store that a bucket is behind."""
    if bucket := bucket_of(path):
        return Place(bucket.url, "")
    afar = behind(path)
    return Place(afar.bucket.url, afar.key) if afar else path


def arrived(place: Path | Place) -> Path:
    """What `portable` sent."""
    return place.here() if isinstance(place, Place) else place


def send(path: Path) -> None:
    """Write a file, or a folder and all of its files, to the bucket; a folder that is whole there stays as it is."""
    afar = behind(path)
    if afar is None:
        return
    if not path.is_dir():
        afar.bucket.send(afar.key, path)
    elif afar.bucket.get(f"{afar.key}/{WHOLE}") is None:
        send_folder(path, afar)


def shared_folder(store: Path, folder: Path, key: str) -> Path:
    """A folder that slots on other nodes need, sent to the bucket behind a store; where it is to be found from now on,
    on every node. One that lies elsewhere goes to `key`."""
    bucket = bucket_of(store)
    if bucket and not folder.is_relative_to(store):
        place = store / key
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.unlink(missing_ok=True)  # it led to a folder that is gone
            place.symlink_to(folder.resolve())
        folder = place
    send(folder)
    return folder


def send_folder(folder: Path, to: Afar) -> None:
    """Write all files of a folder, then the list that makes them count."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    _each(lambda name: to.bucket.send(f"{to.key}/{name}", files[name]), files)
    listed = {name: file.stat().st_size for name, file in files.items()}
    to.bucket.put(f"{to.key}/{WHOLE}", json.dumps(listed).encode())


def bring(path: Path) -> bool:
    """Fetch a file or folder that this node lacks; whether it is here now. Of several processes one fetches."""
    afar = None if path.exists() else behind(path)
    if afar is None:
        return path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        return path.exists() or _brought(path, afar)


def is_seen(path: Path) -> bool:
    """Whether a file is here, or would be brought."""
    afar = behind(path)
    return path.exists() or (afar is not None and afar.bucket.about(afar.key) is not None)


def bring_all(home: Path) -> None:
    """Fetch the folders and files right below this folder that this node lacks."""
    if afar := behind(home):
        listed = afar.bucket.list(afar.key)
        names = {key.removeprefix(f"{afar.key}/").split("/")[0] for key in listed}
        for name in sorted(names):
            bring(home / name)


def _brought(path: Path, afar: Afar) -> bool:
    listed = afar.bucket.get(f"{afar.key}/{WHOLE}")
    if listed is None:
        return afar.bucket.fetch(afar.key, path)
    scratch = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        sizes = {afar.bucket.sound(name): size for name, size in json.loads(listed).items()}
        _each(lambda name: afar.bucket.fetch(f"{afar.key}/{name}", scratch / name), sizes)
        if any(
            not (scratch / name).is_file() or (scratch / name).stat().st_size != size for name, size in sizes.items()
        ):
            raise UserError(f"{afar.bucket.url}/{afar.key} is damaged there: files are missing or cut short")
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return True


def forget(path: Path) -> None:
    """Remove a file, or a folder and all below it, in the bucket; here it is removed by whoever asks."""
    if afar := behind(path):
        afar.bucket.delete(afar.key, *afar.bucket.list(afar.key))


def pull(store: Path, *folders: str) -> None:
    """Make these folders of a working copy what the bucket has; for small files that change under one name. Of what the
    bucket lacks only JSON is removed: other files are derived."""
    bucket = bucket_of(store)
    if bucket is None:
        return
    for folder in folders:
        there = {key for key in bucket.list(folder) if not key.endswith(WHOLE)}
        _each(lambda key: bucket.fetch(key, store / key), there)
        here = {file.relative_to(store).as_posix() for file in (store / folder).rglob("*.json") if file.is_file()}
        for stale in here - there:
            (store / stale).unlink(missing_ok=True)


def push(store: Path, *folders: str) -> None:
    """Write all files of these folders, as far as they are here, to the bucket."""
    bucket = bucket_of(store)
    if bucket is None:
        return
    for folder in folders:
        files = [file for file in (store / folder).rglob("*") if file.is_file()]
        _each(lambda file: bucket.send(file.relative_to(store).as_posix(), file), files)


def _each(task: Callable[[Thing], object], of: Iterable[Thing]) -> None:
    """Do it for each, several at a time; the first error is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(task, list(of)):
            pass


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.bringing").open("a") as lock:
        with suppress(OSError):  # where locks do not work the rename at the end decides
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
