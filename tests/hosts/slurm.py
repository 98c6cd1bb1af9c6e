"""python -m tests.hosts.slurm [--keep FOLDER]: slurm/sweep.sbatch under a real Slurm, on three machines of namespaces.

`login` has slurmctld and takes the jobs; `node0` and `node1` have a slurmd each. All three share a folder and the home.
"""

import argparse
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.judged import numbers
from tests.hosts.machines import CODE, HOME, SHARED, Machine, Switch, apart, enter, lacking, no_namespaces
from tests.hosts.written import LEFT_OUT

TOOLS = ("slurmctld", "slurmd", "sbatch", "munged", "setpriv", "unshare", "ip", "sshd", "ssh", "ssh-keygen")
PACKAGES = "slurmctld slurmd slurm-client munge openssh-server iproute2"
WORDS = ("byol_tau", "--languages", "demo-arda", "--folds", "0", "1", "--seeds", "0")
STEPS = 60
ADDRESSES = {"login": "192.168.77.10", "node0": "192.168.77.11", "node1": "192.168.77.12"}
DEVICES = ("null", "zero", "full", "random")  # what Slurm takes for a node's GPUs, and never opens
NO_GPUS = ("--gpus-per-node=0", "--cpus-per-task=1")
"""What stands before the script's name on nodes without GPUs, of one CPU."""
PATIENCE_S = 1200.0


@dataclass
class Story:
    """Plays it in `folder`; `before`: results at the last cut."""

    folder: Path
    steps: int = STEPS
    job: str = ""
    before: int = 0

    def __post_init__(self) -> None:
        self.switch = Switch("192.168.77.1", self.folder, self.folder / "key" / "id_ed25519")
        self.shared = self.switch.folder / "shared"  # all machines have it at SHARED
        self.words = (*WORDS, "--set", "epoch_steps=20", "--steps", str(self.steps), "--no-report")

    def play(self) -> bool:
        """Whether all acts went right; machines and processes are gone afterwards."""
        try:
            for act in (self.alone, self.boot, self.gpus, self.whole, self.cancelled, self.requeued, self.resumed):
                began = time.monotonic()
                found, right = act()
                what = (act.__doc__ or "").split(".")[0]
                seconds = time.monotonic() - began
                print(f"| {what} | {seconds:.0f} | {found} | {'✓' if right else '✗'} |", flush=True)
                if not right:
                    return False
            return True
        finally:
            self.switch.end()

    def alone(self) -> tuple[str, bool]:
        """The sweep on one machine, two slots."""
        shutil.copytree(CODE, self.shared / "foldwise", ignore=shutil.ignore_patterns(*LEFT_OUT))
        if (self.folder / "alone").is_dir():
            return "kept from before", True
        line = [sys.executable, "-m", "orchestrator.sweep", *self.words, "--slots", "2", "--store"]
        with (self.folder / "alone.log").open("wb") as log:
            code = self.shared / "foldwise"
            given = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
            done = subprocess.run([*line, str(self.folder / "alone")], cwd=code, env=given, stdout=log, stderr=log)
        return f"{len(numbers(self.folder / 'alone'))} results", done.returncode == 0

    def boot(self) -> tuple[str, bool]:
        """Slurm on three machines, until both nodes are idle."""
        self._write()
        for name, address in ADDRESSES.items():
            self._start(self.switch.add(name, address))
        self.until(lambda: self.login("sinfo -hNo %T").split() == ["idle", "idle"])
        return self.login("sinfo -V").strip(), True

    def gpus(self) -> tuple[str, bool]:
        """What a job is told of GPUs, as asked in the script and with none asked for."""
        told = []
        for asked in ("4", "0"):
            given = f"--parsable --nodes=2 --gpus-per-node={asked} -o {SHARED}/gpus.%j"
            job = self.login(f"sbatch {given} --wrap 'echo on ${{SLURM_GPUS_ON_NODE:-unset}}'").strip()
            self.until(partial(self.has_completed, job))
            told.append((self.shared / f"gpus.{job}").read_text().strip())
        return "; ".join(told), told == ["on 4", "on unset"]

    def whole(self) -> tuple[str, bool]:
        """A job from its first word to its last; ledger against the run on one machine."""
        return self._finish(self.submit("whole"), "whole")

    def cancelled(self) -> tuple[str, bool]:
        """scancel at the first result, until no node has a process of Ray's."""
        job = self.submit("cut")
        self.until(lambda: self.count() > 0 or self.ended(job))
        self.login(f"scancel {job}")
        self.until(lambda: self.state(job) == "CANCELLED" and not self.rays())
        self.before = self.count()
        return f"{self.before} results, no Ray", 0 < self.before < len(numbers(self.folder / "alone"))

    def requeued(self) -> tuple[str, bool]:
        """The same job again, and scontrol requeue at its next result, until it runs once more."""
        self.job = self.submit("cut")
        last = self.before
        self.until(lambda: self.count() > last or self.ended(self.job))
        self.login(f"scontrol requeue {self.job}")
        self.until(lambda: self.state(self.job) == "PENDING" and not self.rays())
        self.before = self.count()
        self.until(lambda: self.state(self.job) == "RUNNING")
        return f"{self.before} results", last < self.before < len(numbers(self.folder / "alone"))

    def resumed(self) -> tuple[str, bool]:
        """To its end; it says that it trains what had no result, and no more."""
        found, right = self._finish(self.job, "cut")
        said = (self.shared / "foldwise" / f"slurm-{self.job}.out").read_text()
        line = re.findall("^to run: .*", said, re.MULTILINE)[-1]
        trained = sum(int(number) for number in re.findall(r"(\d+) of", line))
        return f"{found}; {line}", right and trained == len(numbers(self.folder / "alone")) - self.before

    def _finish(self, job: str, store: str) -> tuple[str, bool]:
        """Wait for a job's end, and compare its store."""
        self.until(lambda: self.ended(job))
        expected, found = numbers(self.folder / "alone"), numbers(self.shared / store)
        differ = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        self.until(lambda: not self.rays())
        told = f"{self.state(job)}, {len(expected)} results alone, {len(found)} here, {len(differ)} differ"
        return told, self.state(job) == "COMPLETED" and bool(expected) and not differ

    def submit(self, store: str) -> str:
        """A job's number."""
        line = shlex.join(["sbatch", "--parsable", *NO_GPUS, "slurm/sweep.sbatch", *self.words])
        return self.login(f"cd {SHARED}/foldwise && FOLDWISE_STORE={SHARED}/{store} {line}").strip()

    def state(self, job: str) -> str:
        told = dict(word.split("=", 1) for word in self.login(f"scontrol show job {job}").split() if "=" in word)
        return told.get("JobState", "")

    def ended(self, job: str) -> bool:
        return self.state(job) not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")

    def count(self) -> int:
        """Results in the store of the job that is cut."""
        return len(list((self.shared / "cut" / "cells").glob("*/*.json")))

    def rays(self) -> list[str]:
        """What runs of Ray, on any machine."""
        line = "pgrep -fl '[r]aylet|[g]cs_server|[r]ay::'"
        asked = [self.switch.ask(machine, line) for machine in self.switch.machines]
        return [found for done in asked for found in done.stdout.splitlines()]

    def login(self, line: str) -> str:
        """What the person types on the login node, and what it says."""
        done = self.switch.ask(self.switch.machines[0], line)
        if done.returncode:
            raise RuntimeError(f"{line}: {done.stdout}{done.stderr}")
        return done.stdout

    def has_completed(self, job: str) -> bool:
        return self.state(job) == "COMPLETED"

    def until(self, true: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"nothing within {PATIENCE_S:g} s")
            time.sleep(2)

    def _write(self) -> None:
        """What all machines share: Slurm's settings, munge's key, and a home with the environment."""
        shutil.copy(CODE / "tests" / "hosts" / "slurm.conf", self.shared)
        (self.shared / "gres.conf").write_text("".join(f"Name=gpu File=/dev/{name}\n" for name in DEVICES))
        (self.shared / "munge.key").write_bytes(secrets.token_bytes(128))
        home = self.shared / "home"
        home.mkdir()
        (home / ".venv").symlink_to(sys.prefix)
        (home / ".profile").write_text(". ~/.bashrc\n")
        marks = f"SLURM_CONF={SHARED}/slurm.conf PYTHONPATH={SHARED}/foldwise OMP_NUM_THREADS=1"
        (home / ".bashrc").write_text(f"export {marks} RAY_raylet_start_wait_time_s=300\n")

    def _start(self, machine: Machine) -> None:
        """Its names, as Debian's installer leaves them, the shared home, and its part of Slurm."""
        others = [f"{address} {name}" for name, address in ADDRESSES.items() if name != machine.name]
        names = ["127.0.0.1 localhost", f"127.0.1.1 {machine.name}", *others, ""]
        (machine.folder / "hosts").write_text("\n".join(names))
        daemon = "slurmctld" if machine.name == "login" else f"slurmd -N {machine.name}"
        munged = "munged --key-file=/run/munge/key --log-file=/run/munge/log --seed-file=/run/munge/seed"
        line = (
            f"mount --bind {SHARED}/home {HOME} && mkdir -m 755 /run/munge /run/slurmctld /run/slurmd && "
            f"install -m 600 {SHARED}/munge.key /run/munge/key && {munged} --pid-file=/run/munge/pid && "
            f"SLURM_CONF={SHARED}/slurm.conf {daemon}"
        )
        log = f"{machine.name}.log"
        done = self.switch.ask(machine, f"({line}) < /dev/null > {SHARED}/{log} 2>&1")
        if done.returncode:
            raise RuntimeError((self.shared / log).read_text())


def main() -> int:
    """0: all went right; 1: something did not; 2: there can be no such machines here."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.slurm", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each cell")
    parser.add_argument("--keep", type=Path, help="keep stores and logs in this folder")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return 0 if Story(enter(asked.inside.resolve()), asked.steps).play() else 1
    if why := lacking(TOOLS, PACKAGES) or no_namespaces():
        print(f"no machines: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="hosts", ignore_cleanup_errors=True) as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        inside = ["--inside", str(folder), "--steps", str(asked.steps)]
        return apart([sys.executable, "-m", "tests.hosts.slurm", *inside], {**os.environ, "PYTHONPATH": str(CODE)})


if __name__ == "__main__":
    sys.exit(main())
