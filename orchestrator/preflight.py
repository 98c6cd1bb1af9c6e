"""python -m orchestrator.preflight: can this cluster, this data and this set of versions run a sweep?

It looks at every machine of the Ray that $RAY_ADDRESS names (or `ray start` began here), else at this one.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator import ground
from orchestrator.cluster import closed, joined, list_nodes
from orchestrator.command_line import add_store
from orchestrator.display import screen
from orchestrator.lifeline import alive
from orchestrator.preflight_checks import Row, ports, rows
from orchestrator.preflight_node import Asked, Facts, look, see, skew, unreached
from orchestrator.slots import HopelessError
from trainers import stores
from trainers.encoder_files import locate
from trainers.errors import UserError

DRIVER = "driver"
PATIENCE_S = 300.0
"""How long a machine may take to answer: it imports torch and reads the encoder, perhaps over a network."""
UNKNOWN = (
    "import sys; from ray._raylet import GcsClient; "
    "GcsClient(address=sys.argv[1]).internal_kv_keys(b'', b'cluster', timeout=20)"
)
"""What a stranger's process would ask of the cluster."""


def main(words: list[str] | None = None) -> int:
    """0: all is right; 1: something is not; 2: bad input, told in one line."""
    try:
        return _main(_parser().parse_args(words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _main(asked: argparse.Namespace) -> int:
    store = asked.store.expanduser().resolve()
    data = ground.data_root(asked.data, None)
    if data is not None and not data.is_dir():
        raise UserError(f"data root {str(data)!r} is not a folder")
    encoder = locate(asked.encoder) if asked.encoder else None
    found = preflight(store, data, encoder, asked.tracking_uri or f"sqlite:///{store}/mlflow.db")
    show(screen(), found)
    return 0 if all(row.ok for row in found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.preflight", description=(__doc__ or "").split("\n")[2]
    )
    add_store(parser)
    parser.add_argument("--data", metavar="ROOT", help="folder of the corpora (default: $SER_DATA)")
    parser.add_argument("--encoder", metavar="DIR_OR_NAME", help="checkpoint of the encoder")
    parser.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    return parser


def preflight(store: Path, data: Path | None, encoder: Path | None, tracking_uri: str) -> list[Row]:
    """All checks of the Ray that this process is pointed at; nothing is left behind."""
    if why := closed(joined()):
        return [_no_ray(why)]
    asked = Asked(store, data, encoder, f"preflight-{uuid.uuid4().hex[:8]}")
    with ExitStack() as stack:
        try:
            stack.enter_context(alive(None))
        except (UserError, HopelessError) as error:
            return [_no_ray(str(error))]
        try:
            return [*examine(asked), token(), tracking(tracking_uri)]
        except (ConnectionError, ray.exceptions.RayError) as error:
            return [_no_ray(_first_line(error))]


def _no_ray(why: str) -> Row:
    return Row("Ray", False, why, "is it up (ray status)? $RAY_ADDRESS, RAY_AUTH_MODE=token, ~/.ray/auth_token")


def examine(asked: Asked) -> list[Row]:
    """Ask every machine, and this one, at the same time; a machine that does not answer has a row of its own."""
    nodes = {_name(node): node for node in list_nodes() if node["Alive"]}
    try:
        with _scouts(nodes) as scouts:
            waiting = {
                name: scout.look.remote(asked, name, nodes[name]["Resources"].get("GPU", 0.0))
                for name, scout in scouts.items()
            }
            driver = look(asked, DRIVER, 0.0)
            found, silent = _answers(waiting)
            names = [DRIVER, *found]
            seen, late = _answers({name: scouts[name].see.remote(asked, facts, names) for name, facts in found.items()})
            offsets = {name: _skew(scouts[name]) for name in seen}
            reached = ports(_unreached({name: scouts[name] for name in seen}, nodes))
        facts = [replace(each, skew_s=offsets[name]) for name, each in seen.items()]
        found_so = rows(see(asked, driver, names), facts) if facts else []
        return [_reached(seen, silent | late), *([reached] if facts else []), *found_so]
    finally:
        shutil.rmtree(asked.traces, ignore_errors=True)
        with suppress(UserError):
            stores.forget(asked.traces)


@contextmanager
def _scouts(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """An actor on each node, which takes no CPU: nodes may be full."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    made: dict[str, Any] = {}
    for name, node in nodes.items():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        made[name] = ray.remote(_Scout).options(num_cpus=0, scheduling_strategy=there).remote()
    try:
        yield made
    finally:
        for scout in made.values():
            ray.kill(scout)


class _Scout:
    """Looks around on a node."""

    def look(self, asked: Asked, node: str, ray_gpus: float) -> Facts:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # of who asks for no GPU Ray may hide them
        return look(asked, node, ray_gpus)

    def see(self, asked: Asked, facts: Facts, names: Sequence[str]) -> Facts:
        return see(asked, facts, names)

    def now_s(self) -> float:
        return time.time()

    def listen(self, callers: int) -> int:
        """The port of a door that nobody opens: a connection to it is made by the system."""
        self.door = socket.create_server(("", 0), backlog=callers)
        return int(self.door.getsockname()[1])

    def unreached(self, doors: Mapping[str, tuple[str, int]]) -> list[str]:
        return unreached(doors)


def _answers(waiting: Mapping[str, Any]) -> tuple[dict[str, Facts], dict[str, str]]:
    """What came back, and of the others why not."""
    found, silent = {}, {}
    ends_at = time.monotonic() + PATIENCE_S
    for name, reference in waiting.items():
        try:
            found[name] = ray.get(reference, timeout=max(0.0, ends_at - time.monotonic()))
        except (ray.exceptions.RayError, TimeoutError) as error:
            silent[name] = _first_line(error)
    return found, silent


def _unreached(scouts: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What each node cannot reach of the others, on ports as free as those that ranks of one cell choose. Nothing is
    told of a node that leaves meanwhile."""
    listening = _came({name: scout.listen.remote(len(scouts)) for name, scout in scouts.items()})
    doors = {name: (nodes[name]["NodeManagerAddress"], port) for name, port in listening.items()}
    others = {name: {other: door for other, door in doors.items() if other != name} for name in doors}
    return _came({name: scouts[name].unreached.remote(doors) for name, doors in others.items()})


def _came(waiting: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, answer in waiting.items():
        with suppress(ray.exceptions.RayError, TimeoutError):
            found[name] = ray.get(answer, timeout=PATIENCE_S)
    return found


def _skew(scout: Any) -> float:
    """The least of three tries: what is left is not the way there and back."""
    return min(_once(scout) for _ in range(3))


def _once(scout: Any) -> float:
    asked_s = time.time()
    told_s = ray.get(scout.now_s.remote(), timeout=PATIENCE_S)
    return skew(asked_s, told_s, time.time())


def _reached(found: Mapping[str, Facts], silent: Mapping[str, str]) -> Row:
    told = "; ".join(f"{name}: {why}" for name, why in silent.items()) or f"{len(found)}: {', '.join(found)}"
    return Row("nodes answer", not silent, told, "look into its logs: ray logs; this code has to be installed there")


def token(ask: Callable[[str], tuple[bool, str]] | None = None) -> Row:
    """Whether a process without the token is refused. `ask`: address -> whether it was let in, and what it was told."""
    let_in, told = (ask or _ask_as_a_stranger)(ray.get_runtime_context().gcs_address)
    refused = not let_in and "Authentication" in told
    found = "refused" if refused else "let in" if let_in else told
    remedy = "anyone who reaches its port runs programs there: ray start with RAY_AUTH_MODE=token (cluster.yaml)"
    return Row("a stranger at Ray's door", refused, found, remedy)


def _ask_as_a_stranger(address: str) -> tuple[bool, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", UNKNOWN, address]
    try:
        done = subprocess.run(
            command, env={**environment, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return False, "no answer within 120 s"
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return done.returncode == 0, next((line for line in lines if "Authentication" in line), "".join(lines[-1:]))


def tracking(uri: str) -> Row:
    """Whether MLflow answers there. A database that does not exist yet is not made by asking."""
    remedy = (
        "start it (cluster.yaml's head does), or leave --tracking-uri out: the ledger is the truth, and mirrors later"
    )
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return Row("MLflow", True, "a new database, made by the first sweep")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        return Row("MLflow", False, f"{uri}: {_first_line(error)}", remedy)
    return Row("MLflow", True, uri)


def show(out: Console, found: Sequence[Row]) -> None:
    """A row per check, and below the table what to do about each that fails."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in found:
        table.add_row("[green]✓[/green]" if row.ok else "[red]✗[/red]", escape(row.what), escape(row.found))
    out.print(table)
    for row in found:
        if not row.ok:
            out.print(f"✗ {row.what}: {row.remedy}", markup=False, soft_wrap=True)


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}"


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
