"""Machines on a switch: each has its own network, processes, name, /tmp, /dev/shm, home folder and sshd.

All of them live in namespaces below the process that makes them, which is to be the first of its own (`apart`): when it
ends, however it ends, the kernel ends all processes and removes all links and mounts with it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

NEW = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc")
APART = ("setpriv", "--pdeathsig", "KILL", "unshare", *NEW)
"""Runs a command in namespaces of its own; all that is in them dies with whoever asked for them."""
TOOLS = ("setpriv", "unshare", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "curl")
CODE = Path(__file__).resolve().parents[2]
WORLD = Path("/mnt/world")
SHARED = "/mnt/foldwise"
HOME = "/home/machine"
PATIENCE_S = 60.0
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def impossible() -> str:
    """Why there can be no such machines here; "" where there can."""
    if why := lacking(TOOLS, "openssh-server iproute2 rsync curl"):
        return why
    if not find_spec("aiohttp_cors"):
        return "Ray's dashboard is not installed, which takes jobs: pip install -c constraints.txt -e '.[cluster]'"
    return no_namespaces()


def lacking(tools: Sequence[str], packages: str) -> str:
    """Which programs are not there, and Debian's packages that have them; "" where all are."""
    found = [tool for tool in tools if not shutil.which(tool, path=PATH)]
    return f"not installed: {', '.join(found)} (apt-get install {packages})" if found else ""


def no_namespaces() -> str:
    """Why no machine can be made of namespaces; "" where one can."""
    probe = "ip link add lan type bridge && ip link add one type veth peer name other"
    tried = subprocess.run([*APART, "sh", "-c", probe], capture_output=True, text=True, env={"PATH": PATH})
    return f"no namespaces: {tried.stderr.strip().splitlines()[-1]}" if tried.returncode else ""


def apart(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command in namespaces of its own, and answer with its exit code. The shell there buries orphans."""
    shell = ["bash", "-c", '"$@"; exit $?', "bash"]
    return subprocess.run([*APART, *shell, *words], env={**environment, "PATH": PATH}, cwd=CODE).returncode


def enter(folder: Path) -> Path:
    """From now on `folder` lies at the place that is answered, and /tmp is a folder below it: nothing of this machine's
    own is seen or left there. To be called in namespaces of their own."""
    (folder / "tmp").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    WORLD.mkdir()
    Path(SHARED).mkdir()
    run("mount", "--bind", str(folder), str(WORLD))
    run("mount", "--bind", str(WORLD / "tmp"), "/tmp")
    return WORLD


@dataclass
class Machine:
    """A machine at an address; `folder` keeps its home, /tmp and the sshd's log, and outlives it."""

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def link(self, state: str) -> None:
        """Pull its cable (`down`), or plug it in (`up`)."""
        run("ip", "link", "set", self.name, state)


@dataclass
class Switch:
    """What the machines hang on; the process that makes it is at `address`. `key`: opens every sshd."""

    address: str
    folder: Path
    key: Path
    machines: list[Machine] = field(default_factory=list)

    def __post_init__(self) -> None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "lan", "type", "bridge")
        run("ip", "address", "add", f"{self.address}/24", "dev", "lan")
        run("ip", "link", "set", "lan", "up")
        self.key.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "host_key"))
        (self.folder / "shared").mkdir()

    def add(self, name: str, address: str) -> Machine:
        """A machine more, once its sshd answers."""
        folder = self.folder / name
        for below in ("home", "home/machine", "tmp", "varrun"):
            (folder / below).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        self._write(folder, name, address)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*APART, "bash", str(folder / "boot")], stdout=log, stderr=log, env=_clean())
        machine = Machine(name, address, folder, process)
        self.machines.append(machine)
        _until(lambda: _network(process.pid) != _network(os.getpid()))
        run("ip", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        run("ip", "link", "set", name, "master", "lan", "up")
        _until(lambda: self.ask(machine, "true").returncode == 0)
        return machine

    def ask(self, machine: Machine, command: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """What a command says there, by ssh as a person would ask."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        words = [word for option in options for word in ("-o", option)]
        line = ["ssh", "-i", str(self.key), *words, f"root@{machine.address}", f"bash -lic {shlex.quote(command)}"]
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)

    def end(self) -> None:
        """End all machines, and all that runs on them."""
        for machine in self.machines:
            machine.process.kill()
            machine.process.wait()

    def _write(self, folder: Path, name: str, address: str) -> None:
        """What a machine has in /etc, and how it starts."""
        (folder / "passwd").write_text(accounts(HOME))
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (folder / "sshd_config").write_text(
            f"ListenAddress {address}\nHostKey /run/host_key\nAuthorizedKeysFile /run/known.pub\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\n"
            "MaxStartups 100\nMaxSessions 100\n"
        )
        home = folder / "home" / "machine"
        (home / ".bashrc").touch()
        (home / ".profile").write_text(". ~/.bashrc\n")
        (home / ".venv").symlink_to(sys.prefix)
        (folder / "boot").write_text(_boot(self, folder, name, address))


def _boot(switch: Switch, folder: Path, name: str, address: str) -> str:
    """The first process: it mounts, waits for its cable, starts sshd, and buries whoever ends.

    The code of this checkout is out of sight, but for its environment: what runs came by `ray up`.
    """
    environment = Path(sys.prefix)
    hidden = [f"mount --bind {environment} {folder}/varrun", f"mount -t tmpfs tmpfs {CODE}"]
    shown = [f"mkdir -p {environment}", f"mount --bind {folder}/varrun {environment}"]
    return "\n".join(
        [
            "set -e",
            f"hostname {name}",
            *(f"mount --bind {folder}/{file} /etc/{file}" for file in ("passwd", "hosts")),
            *([*hidden, *shown] if environment.is_relative_to(CODE) else []),
            f"mount --bind {switch.folder}/shared {SHARED}",
            f"mount --bind {folder}/home /home",
            "mount -t tmpfs tmpfs /dev/shm",
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd",
            "until ip link show eth0 > /dev/null 2>&1; do sleep .05; done",
            "ip link set lo up",
            f"ip address add {address}/24 dev eth0 && ip link set eth0 up && ip route add default via {switch.address}",
            f"cp {folder}/sshd_config {switch.folder}/host_key /run && cp {switch.key}.pub /run/known.pub",
            f"mount --bind {folder}/tmp /tmp && umount -l {WORLD}",
            "$(command -v sshd) -D -e -f /run/sshd_config &",
            "wait",
            "",
        ]
    )


def accounts(home: str) -> str:
    """This machine's /etc/passwd with another home of root's, by which ssh and Ray know what `~` is."""
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
    return "\n".join([f"root:x:0:0::{home}:/bin/bash", *lines, ""])


def run(*words: str) -> str:
    """A command that has to work, and what it says."""
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _clean() -> dict[str, str]:
    """Nothing of this session's environment reaches a machine but where programs lie."""
    return {"PATH": PATH, "LANG": "C.UTF-8"}


def _network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _until(true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    ends_at = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"nothing within {seconds:g} s")
        time.sleep(0.1)
