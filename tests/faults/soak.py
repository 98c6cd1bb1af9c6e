"""Kills at random moments, and how long it takes each time until work goes on."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.command import WORDS, Command
from tests.faults.judged import Verdict, judge, numbers
from tests.mlflow_server import Server

HUNG_S = 600.0
"""After so long without a new result, stage or end the command counts as hung, is killed and started again."""

UNDISTURBED_S = 1200.0
LOOK_S = 0.5
STARTING_S, WORKING_S = 40.0, 6.0
"""How long after a start of the command, and after a sign of work, the next kill comes at most."""
AT_ONCE = 0.2
"""How often the next kill does not wait for a sign of work."""


@dataclass
class Kill:
    """One kill, in the command's start number `start`. `recovered_s`: until a new process had taken the killed one's
    place and a result or stage had come after, or the command had ended well. `ended`: how it ended of it, None
    where it went on."""

    kind: str
    sweep: int
    at_s: float
    start: int = 1
    killed_at: int = 0
    replaced: bool = False
    recovered_s: float | None = None
    ended: int | None = None
    hung: bool = False


@dataclass
class Soak:
    """Sweep after sweep of the same command below `folder`, until `kills` were done or `minutes` are over."""

    folder: Path
    kills: int
    minutes: float
    seed: int
    say: Callable[[str], None] = print
    words: tuple[str, ...] = WORDS
    done: list[Kill] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    sweeps: int = 0
    starts: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._began = time.monotonic()
        self._expected: dict[str, str] = {}

    def run(self) -> None:
        """An undisturbed sweep, then disturbed ones."""
        plain = Command(self.folder / "plain", self.folder / "r0", self.words)
        try:
            plain.start()
            code = plain.wait(UNDISTURBED_S)
        finally:
            plain.kill()
        assert code == 0, plain.log.read_text()
        self._expected = numbers(plain.store)
        self.say(f"undisturbed: {len(self._expected)} results after {self._now():.0f} s")
        while self._more():
            self._sweep(plain.store)

    def _more(self) -> bool:
        return len(self.done) < self.kills and self._now() < 60 * self.minutes

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _sweep(self, plain: Path) -> None:
        """One sweep from an empty ledger to its end, and what is to be said of it. Every other one has a server."""
        self.sweeps += 1
        store = self.folder / f"sweep{self.sweeps}"
        server = Server(store) if self.sweeps % 2 == 0 else None
        uri = server.uri if server else f"sqlite:///{store}/mlflow.db"
        command = Command(store, self.folder / f"r{self.sweeps}", (*self.words, "--tracking-uri", uri))
        for name in ("demo", "prepared"):
            (store / name).symlink_to(plain / name)
        try:
            if server:
                server.start()
            _Disturbed(self, command, server).run()
            found = judge(command, self._expected, uri)
        finally:
            command.kill()
            if server:
                server.kill()
        self.verdict += found
        self.starts += command.starts
        self.say(f"sweep {self.sweeps}: {command.starts} starts, {'clean' if found.is_clean else found}")


class _Disturbed:
    """One sweep, disturbed until it has come to its end."""

    def __init__(self, soak: Soak, command: Command, server: Server | None) -> None:
        self.soak, self.command, self.server = soak, command, server
        self.random = soak._random
        self._open: list[Kill] = []
        self._progress, self._since = 0, time.monotonic()
        self._served = server is not None

    def run(self) -> None:
        """Kill, see how it goes on, kill again; at last the same command once more: MLflow then gets what it lacks."""
        self.command.start()
        next_at = self._now() + self.random.uniform(0.0, STARTING_S)
        while self.command.code != 0:
            time.sleep(LOOK_S)
            self._look_for_new()
            if self._moved():
                next_at = min(next_at, self._now() + self.random.uniform(0.0, WORKING_S)) if not self._open else next_at
            if self.command.code not in (None, 0):
                self._start_again()
                next_at = self._now() + self.random.uniform(0.0, STARTING_S) if self._at_once() else float("inf")
            elif self._now() >= next_at and self.soak._more():
                self._kill()
                next_at = self._now() + self.random.uniform(0.0, STARTING_S) if self._at_once() else float("inf")
            elif time.monotonic() - self._since > HUNG_S:
                self._unhang()
        self._recover()
        self._last_time()

    def _now(self) -> float:
        return self.soak._now()

    def _at_once(self) -> bool:
        return self.random.random() < AT_ONCE

    def _moved(self) -> bool:
        progress = self.command.progress()
        if progress <= self._progress:
            return False
        self._progress = progress
        self._recover()
        return True

    def _recover(self) -> None:
        """Something new lies in the store: what was killed and replaced before that is recovered from."""
        self._since = time.monotonic()
        for kill in [kill for kill in self._open if kill.replaced or self.command.code == 0]:
            kill.recovered_s = self._now() - kill.at_s
            self.soak.say(f"{kill.at_s:6.0f} s  {kill.kind:<10} goes on after {kill.recovered_s:5.1f} s")
            self._open.remove(kill)
        if self.server and not self._served:
            self.server.start()
            self._served = True

    def _look_for_new(self) -> None:
        """Note for which of the killed a new process has come; a trial need not, once its cells are done."""
        waiting = [kill for kill in self._open if not kill.replaced]
        living = self.command.victims() if waiting else {}
        for kill in waiting:
            younger = any(process.began > kill.killed_at for process in living.get(kill.kind, ()))
            vital = kill.kind in ("driver", "raylet", "gcs")
            gone_on = kill.kind in ("trial", "mlflow") or (younger and not vital)
            kill.replaced = gone_on or self.command.starts > kill.start

    def _kill(self) -> None:
        victims = self.command.victims()
        kinds = [*victims, *(["mlflow"] if self._served else [])]
        if "driver" not in victims:
            return
        before = Counter(kill.kind for kill in self.soak.done)
        kind = self.random.choices(kinds, [1 / (1 + before[each]) ** 2 for each in kinds])[0]
        youngest = max(process.began for process in victims.get(kind, []) or victims["driver"])
        self._open.append(Kill(kind, self.soak.sweeps, self._now(), self.command.starts, youngest))
        self.soak.done.append(self._open[-1])
        if kind == "mlflow" and self.server:
            self.server.kill()
            self._served = False
        else:
            self.random.choice(victims[kind]).kill()

    def _start_again(self) -> None:
        for kill in self._open:
            kill.ended = self.command.code if kill.ended is None else kill.ended
        if self._open:
            kill = self._open[-1]
            self.soak.say(
                f"{self._now():6.0f} s  {kill.kind}: ended with {kill.ended} {self._now() - kill.at_s:.1f} s later"
            )
        self.command.processes()
        self.command.start()
        self._since = time.monotonic()

    def _unhang(self) -> None:
        for kill in self._open:
            kill.hung = True
        self.soak.say(f"{self._now():6.0f} s  HUNG after {[kill.kind for kill in self._open]}")
        if driver := self.command.driver():
            driver.kill()
        self._since = time.monotonic()

    def _last_time(self) -> None:
        """MLflow was given what it lacks once the same command was run on a finished sweep."""
        self.command.start()
        code = self.command.wait(UNDISTURBED_S)
        assert code == 0, self.command.log.read_text()
