"""What a person sees while a sweep runs: a live picture on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.board import Lease, Snapshot

PLAIN_EVERY_S = 15.0
QUIET_FOR_S = 60.0
"""Off a terminal a line is said when cells have come back, at most this often, or when nothing was said for so long."""


@contextmanager
def preparing(console: Console) -> Iterator[Callable[[str], None]]:
    """Shows what is being prepared while it is; leaves one line with the time it took, if it took any."""
    started, said = time.monotonic(), []
    with console.status("looking at the recordings") as status:

        def report(line: str) -> None:
            said.append(line)
            status.update(escape(line))

        yield report
    if said:
        console.print(f"recordings and encoder prepared in {time.monotonic() - started:.0f} s")


class Display:
    """Shows snapshots of the board; `names` says what to call each cell, `already` how many were done before."""

    def __init__(self, names: dict[str, str], already: int, console: Console | None = None) -> None:
        self.names, self.already = names, already
        self.console = console or Console(file=sys.stderr)
        self.live = Live(console=self.console, transient=True) if self.console.is_terminal else None
        self.said_at, self.said_done = time.monotonic(), 0
        self.began: float | None = None
        self.done_before = 0

    def __enter__(self) -> Self:
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.__exit__(kind, error, trace)

    def show(self, snapshot: Snapshot, *, rehearsing: bool = False) -> None:
        """Draw, or say every now and then, how things stand. What Ray takes to start, and short cells that come before
        all others, tell nothing of the time that is left."""
        if rehearsing or not (snapshot.done or snapshot.running):
            self.began = None
        elif self.began is None:
            self.began, self.done_before = time.monotonic(), snapshot.done
        if self.live:
            self.live.update(self._picture(snapshot))
            return
        now = time.monotonic()
        patience_s = QUIET_FOR_S if snapshot.done == self.said_done else PLAIN_EVERY_S
        if now - self.said_at >= patience_s:
            self.say(self._line(snapshot))
            self.said_at, self.said_done = now, snapshot.done

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, snapshot: Snapshot) -> str:
        counts = f"{self.already + snapshot.done} done, {snapshot.running} running, {snapshot.waiting} waiting"
        failed = f", {snapshot.failed} failed" if snapshot.failed else ""
        return f"cells: {counts}{failed}{self._eta(snapshot)}"

    def _eta(self, snapshot: Snapshot) -> str:
        """Time left if the rest goes as what is finished and under way went."""
        if self.began is None:
            return ""
        elapsed_s = time.monotonic() - self.began
        share_running = sum(_share(lease) for lease in snapshot.slots.values() if lease)
        finished = snapshot.done - self.done_before + share_running
        left = snapshot.waiting + snapshot.running - share_running
        if finished < 0.5 or left <= 0:
            return ""
        return f", about {clock(elapsed_s * left / finished)} left"

    def _picture(self, snapshot: Snapshot) -> RenderableType:
        total = self.already + snapshot.done + snapshot.running + snapshot.waiting + snapshot.failed
        whole = Table.grid()
        whole.add_row(Text(self._line(snapshot)))
        whole.add_row(ProgressBar(total=max(total, 1), completed=self.already + snapshot.done, width=60))
        slots = Table.grid(padding=(0, 2))
        for name, lease in snapshot.slots.items():
            slots.add_row(Text(f"slot {name}"), *self._doing(lease))
        return Group(whole, slots)

    def _doing(self, lease: Lease | None) -> tuple[RenderableType, RenderableType, RenderableType]:
        if lease is None:
            return Text("waits"), Text(""), Text("")
        bar = ProgressBar(total=1.0, completed=_share(lease), width=20)
        return Text(self.names.get(lease.key, lease.key[:12])), bar, Text(f"{lease.phase} {lease.step}/{lease.steps}")


def screen() -> Console:
    """Where results go: as wide as the terminal, or wide enough for any table where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 220)


def _share(lease: Lease) -> float:
    return min(1.0, lease.step / lease.steps) if lease.steps else 0.0


def clock(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
