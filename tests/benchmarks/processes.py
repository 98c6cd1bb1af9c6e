"""What processes of this machine hold and have used, read from /proc."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_S = 2.0


@dataclass(frozen=True)
class Sample:
    """Of processes at one moment: resident bytes and CPU seconds, by role."""

    at: float
    running: int
    resident: Mapping[str, int]
    cpu_s: Mapping[str, float]


ROLES = {"ray::Board": "board", "ray::Lanes": "slots", "ray::Probe": "slots", "ray::ImplicitFunc": "trials"}
SERVERS = {"gcs_server": "gcs", "raylet": "raylet"}


@dataclass
class Watched:
    """Looks at this process and all below it now and then, while the block lasts."""

    running: Callable[[], int]
    samples: list[Sample] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watched":
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.samples.append(sample(self.running()))


def sample(running: int) -> Sample:
    """What this process, the board, the trials, Ray's servers and the simulated slots hold and have used."""
    resident, cpu_s = dict[str, int](), dict[str, float]()
    for pid in descendants(os.getpid()):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            role = "driver" if pid == os.getpid() else _role(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
        resident[role] = resident.get(role, 0) + int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
        used = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        cpu_s[role] = cpu_s.get(role, 0.0) + used
    return Sample(time.time(), running, resident, cpu_s)


def descendants(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(above, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def _role(command: bytes) -> str:
    told = command.replace(b"\0", b" ").decode(errors="replace")
    by_title = next((role for name, role in ROLES.items() if told.startswith(name)), "")
    program = Path(told.split(" ")[0]).name
    return by_title or SERVERS.get(program, "other of Ray")


def threads_cpu_s() -> dict[str, float]:
    """CPU seconds of this process's threads so far, by name; those that Python does not know are Ray's own."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        stat = (task / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(task.name), "Ray's own threads")
        found[name] = found.get(name, 0.0) + (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return found
