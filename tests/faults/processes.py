"""The processes of one sweep: those below its driver, and whatever else on this machine carries its mark."""

import os
import re
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    "slot": re.compile(r"^ray::RayTrainWorker"),
    "controller": re.compile(r"^ray::TrainController"),
    "board": re.compile(r"^ray::Board"),
    "trial": re.compile(r"^ray::ImplicitFunc"),
    "raylet": re.compile(r"^\S*/raylet/raylet\s"),
    "gcs": re.compile(r"^\S*/gcs/gcs_server\s"),
}
"""What is killed, by how its command begins."""

SHARED_MEMORY = re.compile(r"/dev/shm/\S+")


@dataclass(frozen=True)
class Process:
    """`began`: when it started, in ticks of the kernel's clock, so that a number that is used again is another one."""

    pid: int
    parent: int
    began: int
    command: str

    @property
    def kind(self) -> str | None:
        return next((kind for kind, looks in KINDS.items() if looks.match(self.command)), None)

    def lives(self) -> bool:
        now = look(self.pid)
        return now is not None and now.began == self.began

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.lives():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def look(pid: int) -> Process | None:
    """The process of that number; None where there is none, or only what its parent has not yet waited for."""
    folder = Path(f"/proc/{pid}")
    try:
        state, parent, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else Process(pid, int(parent), int(rest[17]), command)


def everything() -> list[Process]:
    found = (look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def below(pid: int) -> list[Process]:
    """All processes whose parent, or parent's parent, … is `pid`."""
    every, known = everything(), {pid}
    grown = True
    while grown:
        new = {process.pid for process in every if process.parent in known} - known
        known |= new
        grown = bool(new)
    return [process for process in every if process.pid in known - {pid}]


def carrying(mark: str) -> list[Process]:
    """Living processes that name `mark` in their command or inherited it in their environment."""
    return [process for process in everything() if mark in process.command or mark in _environment(process.pid)]


def shared_memory(processes: Iterable[Process]) -> set[str]:
    """Files in /dev/shm that these processes hold, or have in their memory."""
    found: set[str] = set()
    for process in processes:
        with suppress(OSError):
            found.update(SHARED_MEMORY.findall(Path(f"/proc/{process.pid}/maps").read_text()))
        with suppress(OSError):
            for entry in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):
                    found.update(SHARED_MEMORY.findall(str(entry.readlink())))
    return found


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
