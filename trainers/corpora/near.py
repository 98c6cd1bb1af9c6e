"""Prepared audio that lies on another machine's disk (NFS, Lustre, …) is copied once to this node's own.

Mapped over the network each page would be fetched when it is first heard, and again whenever memory was short of it.
"""

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from trainers.stores import cache_home

AFAR = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "9p", "afs", "beegfs", "ceph", "gpfs", "lustre", "orangefs", "pvfs2"),
        *("virtiofs", "wekafs", "fuse.beegfs", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.gcsfuse", "fuse.juicefs"),
        *("fuse.mountpoint-s3", "fuse.s3fs", "fuse.sshfs"),
    )
)
"""Kinds of file system, as Linux names them, whose files lie on other machines."""

SPARE_BYTES, SPARE = 10 << 30, 0.15
"""What a copy leaves free on the disk: as much, and this share of it. Below a tenth Kubernetes ends pods."""

UNUSED_S = 30 * 24 * 3600.0
"""Copies that nobody opened for this long go when another is made."""

LOCK, PARTIAL = ".copying", ".partial"
"""A file that is locked while a copy is made, and how the name of such a copy ends."""

MOUNTS = Path("/proc/self/mountinfo")


def near(file: Path, name: str) -> Path:
    """The file, or its copy `<cache>/prepared/<name>` on this node's disk where the file lies on another machine's.

    `name` tells the content: a copy of that name and length is taken as it is, whoever made it. Of several processes
    one copies. Where there is no room, or the cache lies on another machine's disk as well, it is the file itself.
    """
    try:
        if not is_afar(file):
            return file
        copy = cache_home() / "prepared" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if is_afar(copy.parent):
            return file
        return copy if _made(copy, file) else file
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return file


def forget_copy(name: str, inode: int) -> None:
    """Remove the copy of that name, unless somebody has made it anew since it was this file."""
    with suppress(OSError, RuntimeError):
        copy = cache_home() / "prepared" / name
        if copy.stat().st_ino == inode:
            copy.unlink()


def is_afar(path: Path) -> bool:
    """Whether what is at this path lies on another machine's disk; what is not known lies on this one's."""
    return _kind(path) in AFAR


def _kind(path: Path) -> str:
    device = path.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    for line in reversed(
        MOUNTS.read_text(errors="replace").splitlines()
    ):  # what was mounted last covers what lies below it
        before, _, after = line.partition(" - ")
        if before.split()[2] == here:
            return after.split()[0]
    return ""


def _made(copy: Path, file: Path) -> bool:
    """Whether the copy is there. One process of the node at a time makes one: two might count on the same room."""
    n_bytes = file.stat().st_size
    with (copy.parent / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if copy.is_file() and copy.stat().st_size == n_bytes:
            os.utime(copy)
            return True
        _tidy(copy.parent)
        disk = shutil.disk_usage(copy.parent)
        if disk.free - n_bytes < max(SPARE_BYTES, SPARE * disk.total):
            return False
        partial = copy.with_name(f"{copy.name}{PARTIAL}")
        try:
            shutil.copyfile(file, partial)
            whole = partial.stat().st_size == n_bytes
            if whole:
                partial.rename(copy)
            return whole
        finally:
            partial.unlink(missing_ok=True)


def _tidy(copies: Path) -> None:
    """Remove what a process that died began, and what nobody uses; whoever still maps one keeps it."""
    for copy in (each for each in copies.iterdir() if each.name != LOCK):
        with suppress(OSError):
            if copy.name.endswith(PARTIAL) or time.time() - copy.stat().st_mtime > UNUSED_S:
                copy.unlink()
