"""What the laptop has: a copy of this code, a token, and `cluster.local.yaml` but for what these machines lack."""

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.hosts.machines import CODE, accounts, run

LEFT_OUT = (".git", ".venv", "runs", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")


def cluster() -> dict[str, Any]:
    """`cluster.local.yaml` as it is."""
    found: dict[str, Any] = yaml.safe_load((CODE / "cluster.local.yaml").read_text())
    return found


def addresses(config: dict[str, Any]) -> list[str]:
    """The head's, and the workers'."""
    return [config["provider"]["head_ip"], *config["provider"]["worker_ips"]]


def adapted(config: dict[str, Any], also: str = "") -> dict[str, Any]:
    """The file for machines that have no user but root, no internet, and one CPU each.

    What installs is left out, since `~/.venv` is there; the code is found by PYTHONPATH instead of `pip install -e`.
    `also`: folders of packages that this session's environment has beside its own.
    """
    path = ":".join(["$HOME/foldwise", *([also] if also else [])])
    mark = f"export PYTHONPATH={path} RAY_raylet_start_wait_time_s=300"
    setup = [line for line in config["setup_commands"] if "curl" not in line and "pip install" not in line]
    if len(setup) != len(config["setup_commands"]) - 2:
        raise ValueError("cluster.local.yaml installs by other commands than curl and pip install")
    return {
        **config,
        "auth": {**config["auth"], "ssh_user": "root"},
        "setup_commands": [*setup, f"grep -q PYTHONPATH ~/.bashrc || echo '{mark}' >> ~/.bashrc"],
        **{name: [_one_cpu(line) for line in lines] for name, lines in config.items() if "start_ray" in name},
    }


def _one_cpu(line: str) -> str:
    return f"{line.rstrip()} --num-cpus=1" if "ray start" in line else line


def laptop(folder: Path, also: str = "") -> tuple[Path, dict[str, str]]:
    """A folder with the code and `cluster.hosts.yaml`, and the environment of the person who sits there."""
    code, home = folder / "foldwise", folder / "laptop"
    home.mkdir()
    shutil.copytree(CODE, code, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (code / "cluster.hosts.yaml").write_text(yaml.safe_dump(adapted(cluster(), also), sort_keys=False))
    environment = {
        "HOME": str(home),
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": ":".join([str(code), *([also] if also else [])]),
        "RAY_AUTH_MODE": "token",
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "COLUMNS": "120",
    }
    (folder / "passwd").write_text(accounts(str(home)))
    run("mount", "--bind", str(folder / "passwd"), "/etc/passwd")
    run("env", f"HOME={home}", str(Path(sys.prefix) / "bin" / "ray"), "get-auth-token", "--generate")
    (home / ".ray" / "auth_token").chmod(0o600)
    return code, environment
