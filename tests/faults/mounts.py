"""Real mounts for tests: a small disk, and a folder that cannot be written. They take root, which ignores modes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many MB at `place`."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """`place` under a mount of itself that refuses every write. Files that are open already stay as they are.

    It is made read-only beside, where nobody writes: a place at which somebody does cannot be made so.
    """
    beside = place.with_name(f"{place.name}.read-only")
    beside.mkdir()
    _mount("--bind", str(place), str(beside))
    try:
        _mount("-o", "remount,bind,ro", str(beside))
        _mount("--bind", str(beside), str(place))
    finally:
        _unmount(beside)
        beside.rmdir()
    try:
        yield place
    finally:
        _unmount(place)


def _mount(*words: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    done = subprocess.run(["mount", *words], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")


def _unmount(place: Path) -> None:
    """Processes that still end there do not keep it."""
    subprocess.run(["umount", "--lazy", str(place)], check=True)
