"""What a person does with a cluster of three machines, one of which is cut off for a while; and what came of it."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from tests.faults.judged import mirrored, numbers
from tests.hosts.machines import SHARED, Machine, Switch
from tests.hosts.written import addresses, cluster, laptop

WORDS = (
    *("byol_tau", "--languages", "demo-arda", "--folds", "0", "1", "--seeds", "0", "1", "2"),
    *("--set", "tau_horizon=paper", "epoch_steps=20", "--no-report"),
)
"""Three τ on two folds with three seeds: eighteen cells."""
STEPS = 160
FILE = "cluster.hosts.yaml"
STORE, TRACKING = f"{SHARED}/store", "http://127.0.0.1:5000"
NODES = (
    "from ray._raylet import GcsClient; "
    "found = GcsClient(address='127.0.0.1:6379').get_all_node_info().values(); "
    "print('NODES', *(node.node_manager_address for node in found if node.state == 0))"
)
"""Asks Ray for the addresses of the nodes that it holds for living."""
PATIENCE_S = 600.0
LOOK_S = 4.0


@dataclass
class Story:
    """Plays it in `folder`; `seen` has a row per act: what, seconds, what was found, and whether it is right."""

    folder: Path
    say: Callable[[str], None]
    steps: int = STEPS
    also: str = ""
    seen: list[tuple[str, float, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.code, self.environment = laptop(self.folder, self.also)
        self.words = (*WORDS, "--steps", str(self.steps))
        self.address = addresses(cluster())
        lan = self.address[0].rsplit(".", 1)[0]
        self.switch = Switch(f"{lan}.1", self.folder, self.folder / "laptop" / ".ssh" / "id_ed25519")
        self.job = ""

    @property
    def shared(self) -> Path:
        """The folder that all machines have at /mnt/foldwise."""
        return self.folder / "shared"

    @property
    def head(self) -> Machine:
        return self.switch.machines[0]

    @property
    def away(self) -> Machine:
        """The machine that is cut off."""
        return self.switch.machines[-1]

    def play(self) -> bool:
        """Whether all acts went right; machines and processes are gone afterwards."""
        try:
            for act in self.acts():
                began = time.monotonic()
                found, right = act()
                self.note((act.__doc__ or "").split(".")[0], began, found, right)
                if not right:
                    return False
            return True
        finally:
            self.switch.end()

    def acts(self) -> list[Callable[[], tuple[str, bool]]]:
        """In order; each answers what was found, and whether it is right."""
        start = [self.alone, self.boot, self.up, self.look]
        return [*start, self.submit, self.cut, self.back, self.end, self.down]

    def note(self, what: str, began: float, found: str, right: bool) -> None:
        self.seen.append((what, time.monotonic() - began, found, right))
        self.say(f"{'✓' if right else '✗'} {what}, {self.seen[-1][1]:.0f} s: {found}")

    def alone(self) -> tuple[str, bool]:
        """The sweep on one machine, two slots."""
        if (self.folder / "alone").is_dir():
            return "kept from before", True
        where = ("--slots", "2", "--store", str(self.folder / "alone"))
        done = self.call(sys.executable, "-m", "orchestrator.sweep", *self.words, *where)
        return f"{len(numbers(self.folder / 'alone'))} results", done.returncode == 0

    def boot(self) -> tuple[str, bool]:
        """Three machines with sshd."""
        for number, address in enumerate(self.address):
            self.switch.add(f"host{number}", address)
        return ", ".join(self.address), True

    def up(self) -> tuple[str, bool]:
        """ray up, until all three have joined."""
        done = self.call("ray", "up", "-y", FILE)
        if done.returncode:
            return done.stdout[-500:] + done.stderr[-500:], False
        self.until(lambda: len(self.nodes()) == 3)
        return f"{len(self.nodes())} nodes", True

    def look(self) -> tuple[str, bool]:
        """preflight."""
        line = f"RAY_ADDRESS=127.0.0.1:6379 python -m orchestrator.preflight --store {STORE} --tracking-uri {TRACKING}"
        done = self.call("ray", "exec", FILE, line)
        rows = [text for text in done.stdout.splitlines() if text.lstrip().startswith(("✓", "✗"))]
        wrong = [text.strip() for text in rows if "✗" in text]
        self.say(done.stdout)
        return "; ".join(wrong) or f"{len(rows)} ✓", done.returncode == 0

    def submit(self) -> tuple[str, bool]:
        """The sweep as a job, until its first result."""
        where = ("--store", STORE, "--tracking-uri", TRACKING)
        line = shlex.join(["python", "-m", "orchestrator.sweep", *self.words, *where])
        done = self.call("ray", "exec", FILE, f"ray job submit --no-wait --submission-id sweep -- {line}")
        if done.returncode:
            return done.stdout[-500:] + done.stderr[-500:], False
        self.until(lambda: self.count() > 0)
        return f"{self.count()} results", True

    def cut(self) -> tuple[str, bool]:
        """One host cut off, until its cells went to others."""
        before = self.count()
        self.away.link("down")
        self.until(lambda: "is gone; their cells go to others" in self.log())
        return f"{before} results at the cut, {self.count()} now", True

    def back(self) -> tuple[str, bool]:
        """Its link is up again, until it works on cells again."""
        self.away.link("up")
        began = time.monotonic()
        self.until(lambda: len(self.nodes()) == 3)
        joined, there = time.monotonic() - began, self.count()
        self.until(lambda: self.works(self.away) or bool(self.ended()))
        works = "the job ended before it had a cell" if self.ended() else "it has a cell"
        return f"joined after {joined:.0f} s with {there} results there; {works}", True

    def end(self) -> tuple[str, bool]:
        """The job to its end; ledger and MLflow against the run on one machine."""
        self.until(lambda: bool(self.ended()))
        expected, found = numbers(self.folder / "alone"), numbers(self.shared / "store")
        differ = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        planned = {key for key, told in expected.items() if '"method": "byol"' in told}
        amiss = mirrored(f"sqlite:///{self.shared}/mlflow.db", self.words[0], planned)
        told = f"{len(expected)} results alone, {len(found)} here, {len(differ)} differ; MLflow: {len(amiss)} amiss"
        return told, bool(expected) and not differ and not amiss and self.ended() == "succeeded"

    def down(self) -> tuple[str, bool]:
        """ray down, until no machine has a Ray."""
        done = self.call("ray", "down", "-y", FILE)
        self.until(lambda: not any(self.rays(machine) for machine in self.switch.machines))
        return "no raylet, no gcs_server anywhere", done.returncode == 0

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """What the person types."""
        given: dict[str, Any] = {"cwd": self.code, "env": self.environment, "stdin": subprocess.DEVNULL}
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, **given)
        with (self.folder / "log").open("a") as log:
            log.write(f"$ {shlex.join(words)}\n{done.stdout}{done.stderr}\n")
        return done

    def until(self, true: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"nothing within {PATIENCE_S:g} s; the job said: {self.log()[-2000:]}")
            time.sleep(LOOK_S)

    def nodes(self) -> list[str]:
        """Addresses of the nodes that Ray holds for living."""
        told = self.switch.ask(self.head, f"python -c {shlex.quote(NODES)}").stdout
        return next((line.split()[1:] for line in told.splitlines() if line.startswith("NODES")), [])

    def works(self, machine: Machine) -> bool:
        """Whether a slot there has a cell: it hears the prepared audio."""
        return "maps" in self.switch.ask(machine, "grep -l store/prepared/ /proc/[0-9]*/maps").stdout

    def rays(self, machine: Machine) -> list[str]:
        return self.switch.ask(machine, "pgrep -l 'raylet|gcs_server'").stdout.splitlines()

    def count(self) -> int:
        """Results in the cluster's store."""
        return len(list((self.shared / "store" / "cells").glob("*/*.json")))

    def log(self) -> str:
        return self.switch.ask(self.head, f"cat {gettempdir()}/ray/session_latest/logs/job-driver-sweep.log").stdout

    def ended(self) -> str:
        """`succeeded`, `failed` or `stopped`; "" while the job runs."""
        asked = self.switch.ask(self.head, "ray job status sweep")
        told = asked.stdout + asked.stderr
        return next((how for how in ("succeeded", "failed", "stopped") if f"Job 'sweep' {how}" in told), "")
