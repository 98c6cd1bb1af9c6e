"""Objects in a bucket below a URL, `s3://bucket/prefix` or `gs://bucket/prefix`, by keys relative to it.

Each write is whole or absent, as object stores have it. `create` is the one that commits: of all who create a key
one wins (S3: `If-None-Match: *`; Google: `ifGenerationMatch=0`). A server that is away is waited for.
"""

import errno
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from trainers.credentials import masked
from trainers.errors import UserError, require, unknown

PACKAGES = {"s3": "s3", "gs": "gcs", "memory": ""}
"""Scheme of a URL -> the extra of pyproject.toml that brings its package; `memory` lives as long as its process."""

PATIENCE_S = 300.0
LONGEST_PAUSE_S = 5.0
"""How long a server may be away before that is an error, and how long is waited at most between two tries."""

NO_RIGHT = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
"""What the packages' errors are called where nobody is told who asks; by name, since no package need be here."""

AGAIN = (408, 409, 429)
"""Of HTTP's answers from 400 to 499 those that another try may change; 409: somebody wrote the same key just then."""

EXISTS = 412
"""HTTP's answer to who creates what exists. s3fs takes it for that only where the server names the condition."""

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: its length, when it was last written by the server's clock, and a mark that changes with it."""

    bytes: int
    modified: datetime
    version: str


@dataclass(frozen=True)
class Bucket:
    """All objects below `url`. `patience_s`: how long a server is waited for that does not answer.

    Every method raises UserError in one line where the bucket is not there, refuses who asks, or stays away.
    """

    url: str
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in PACKAGES:
            raise unknown("scheme of a store", parts.scheme, [name for name, extra in PACKAGES.items() if extra])
        sound = (
            parts.netloc and "@" not in parts.netloc and not parts.query and not parts.fragment and "\0" not in self.url
        )
        require(bool(sound), "store", masked(self.url), f"{parts.scheme}://BUCKET/PREFIX, without credentials")

    def get(self, key: str) -> bytes | None:
        """The object's content, None where there is none."""
        with suppress(FileNotFoundError):
            return bytes(self._asked(lambda files: files.cat_file(self._path(key))))
        return None

    def put(self, key: str, content: bytes) -> None:
        """Write an object over whatever was there."""
        self._asked(lambda files: files.pipe_file(self._path(key), content))

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none; whether it now holds `content`: a try that was heard, and whose answer
        was lost, counts."""
        try:
            self._asked(lambda files: files.pipe_file(self._path(key), content, mode="create"))
        except FileExistsError:
            return self.get(key) == content
        return True

    def send(self, key: str, file: Path) -> None:
        """Write a file's content over whatever was there, in parts where it is large."""
        self._asked(lambda files: files.put_file(str(file), self._path(key)))

    def fetch(self, key: str, file: Path) -> bool:
        """The object as a file, whole or not at all; False where there is none."""
        partial = file.with_name(f".{file.name}.{uuid4().hex[:8]}.partial")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._asked(lambda files: files.get_file(self._path(key), str(partial)))
            partial.replace(file)
        except FileNotFoundError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        return True

    def about(self, key: str) -> Listed | None:
        """What the server tells of an object, None where there is none."""
        with suppress(FileNotFoundError):
            return _listed(self._asked(lambda files: files.info(self._path(key))))
        return None

    def list(self, below: str = "") -> dict[str, Listed]:
        """All objects below a folder (or those of the whole store), by key."""
        root = self._path(below)
        found = self._asked(lambda files: files.find(root, detail=True, withdirs=False))
        cut = len(self._path("")) + 1
        return {self.sound(name.lstrip("/")[cut:]): _listed(told) for name, told in found.items()}

    def sound(self, name: str) -> str:
        """The name of an object that may become a file below a working copy; UserError for one that would lie
        elsewhere: whoever may write to a bucket is not trusted with files."""
        parts = name.split("/")
        if name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts) or "\0" in name or "\\" in name:
            raise UserError(f"store {self.url} holds {name!r}, which no store writes; remove it there")
        return name

    def delete(self, *keys: str) -> None:
        """Remove objects, as far as they are there."""
        for path in map(self._path, keys):
            with suppress(FileNotFoundError):
                self._asked(_remover(path))

    def move(self, key: str, to: str) -> None:
        """Copy an object to another key, then remove it; nothing where it is not there."""
        with suppress(FileNotFoundError):
            self._asked(lambda files: files.cp_file(self._path(key), self._path(to)))
            self.delete(key)

    def now(self) -> datetime:
        """The server's time: that of an object written just now."""
        probe = f".time/{uuid4().hex}"
        self.put(probe, b"")
        told = self.about(probe)
        self.delete(probe)
        if told is None:
            raise UserError(f"{self.url} does not show what was just written there")
        return told.modified

    def _path(self, key: str) -> str:
        parts = urlsplit(self.url)
        return "/".join(part for part in (parts.netloc, parts.path.strip("/"), key) if part)

    def _asked(self, ask: Callable[[Any], Told]) -> Told:
        """What the server answers, once it does. FileNotFoundError, FileExistsError: the object's own."""
        ends_at, pause_s, said = time.monotonic() + self.patience_s, 0.1, False
        while True:
            try:
                return ask(_files(urlsplit(self.url).scheme, os.getpid(), os.environ.get("AWS_ENDPOINT_URL", "")))
            except (UserError, FileExistsError):
                raise
            except FileNotFoundError as error:
                if _is_bucket(error):
                    raise UserError(
                        f"store {self.url}: there is no such bucket; make it, or look at the name"
                    ) from error
                raise
            except Exception as error:
                if _status(error) == EXISTS:
                    raise FileExistsError(f"{self.url}: the object exists") from error
                why = masked(" ".join(str(error).split()))[:200] or type(error).__name__
                if _is_final(error):
                    raise UserError(f"store {self.url} refuses: {why}") from error
                if time.monotonic() + pause_s > ends_at:
                    raise UserError(f"store {self.url} has not answered for {self.patience_s:g} s: {why}") from error
                if not said:
                    said = True
                    warnings.warn(
                        f"store {self.url} does not answer; waiting for up to {self.patience_s:g} s: {why}",
                        stacklevel=2,
                    )
            time.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


@lru_cache(maxsize=8)
def _files(scheme: str, _process: int, _server: str) -> Any:
    """fsspec's file system; one for each process, since it has a thread of its own that no fork takes along."""
    import fsspec

    if scheme == "memory":
        return fsspec.filesystem("memory")
    own: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        own["config_kwargs"] = {"retries": {"max_attempts": 1}, "connect_timeout": 10, "read_timeout": 60}
    try:
        files = fsspec.filesystem(scheme, **own)
    except ImportError as error:
        raise UserError(
            f"a store at {scheme}:// takes a package: pip install -c constraints.txt -e '.[{PACKAGES[scheme]}]'"
        ) from error
    files.retries = 1  # we try again ourselves, and say so
    return files


def _remover(path: str) -> Callable[[Any], object]:
    return lambda files: files.rm_file(path)


def _listed(told: dict[str, Any]) -> Listed:
    modified = next(told[name] for name in ("LastModified", "mtime", "updated", "created") if told.get(name))
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    if isinstance(modified, float):
        modified = datetime.fromtimestamp(modified, UTC)
    assert isinstance(modified, datetime)
    size = int(told["size"])
    return Listed(size, modified, str(told.get("ETag") or told.get("etag") or f"{size}-{modified.timestamp()}"))


def _is_bucket(error: BaseException) -> bool:
    """Whether it is the whole bucket that is not there."""
    return type(error.__cause__).__name__ == "NoSuchBucket"


def _is_final(error: BaseException) -> bool:
    """Whether another try would end the same."""
    if isinstance(error, PermissionError | NotImplementedError) or type(error).__name__ in NO_RIGHT:
        return True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG):
        return True  # our own disk
    status = _status(error)
    return 400 <= status < 500 and status not in AGAIN


def _status(error: BaseException) -> int:
    """What HTTP said, 0 where that is not known."""
    for each in (error, error.__cause__):
        told = getattr(each, "response", None)
        found = told.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(told, dict) else None
        found = found or getattr(each, "code", None)
        if isinstance(found, int):
            return found
    return 0
