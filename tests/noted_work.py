"""Work for slots that notes in a file what was done by which process, and eyes for the processes of this machine."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.board import Cell
from orchestrator.worker import Work
from trainers.errors import UserError

RAISED: dict[str, Callable[[], Exception]] = {
    "error": lambda: ValueError("no such thing"),
    "user": lambda: UserError("tau is 7; it must be below 1"),
    "nan": lambda: FloatingPointError("the loss is NaN at step 3"),
}


def make_work() -> Work:
    """Work that notes in a file each time that it is begun and ended, by which process."""

    def work(payload: dict[str, Any], report: Callable[[int, int, str], None], stopped: Callable[[], bool]) -> Any:
        log, key = Path(payload["log"]), payload["key"]
        note(log, key, "begun")
        if "raises" in payload:
            raise RAISED[payload["raises"]]()
        if payload.get("kills_board"):
            kill_once(log.parent / "killed", pid_beside_me("ray::Board"))
        if "waits_for" in payload:
            until(lambda: Path(payload["waits_for"]).exists() or stopped(), payload.get("waits_s", 900.0))
        steps = int(payload.get("seconds", 0.0) / 0.05)
        for step in range(steps):
            report(step, steps, "sleeping")
            time.sleep(0.05)
            if stopped():
                note(log, key, "stopped")
                raise InterruptedError("told to stop")
        note(log, key, "ended")
        return {"valid_uar": payload.get("uar", 0.25), "pid": os.getpid()}

    return work


def note(log: Path, key: str, what: str) -> None:
    with log.open("a") as file:
        file.write(json.dumps([key, what, os.getpid()]) + "\n")


def notes(log: Path, what: str) -> list[tuple[str, int]]:
    """(key, process) of every line that says `what`."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [(key, pid) for key, said, pid in lines if said == what]


def kill_once(mark: Path, pid: int) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(pid, signal.SIGKILL)


def pid_beside_me(title: str) -> int:
    """The process of this title that the same raylet started."""
    mine = parent_of(os.getpid())
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return next(pid for pid in pids if title in command(pid) and parent_of(pid) == mine)


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.1)


def plan(log: Path, blocks: int, configurations: int, **payload: Any) -> list[Cell]:
    places = [(block, configuration) for block in range(blocks) for configuration in range(configurations)]
    return [
        Cell(f"b{block}c{number}", number, block, None, {"key": f"b{block}c{number}", "log": str(log), **payload})
        for block, number in places
    ]


def marked(mark: str) -> list[str]:
    """Commands of the living processes that inherited the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(command(int(entry.name)))
        except OSError:
            continue
    return found
