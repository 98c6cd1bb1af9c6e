"""A PostgreSQL of our own on loopback, and an `mlflow server` before it, for as long as a block lasts."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PATIENCE_S = 180.0
USER = "foldwise"
DATABASE = "mlflow"


def programs() -> Path | None:
    """Where PostgreSQL's programs lie; None where it is not installed."""
    found = shutil.which("initdb")
    if found and Path(found).with_name("postgres").exists():
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def lacking() -> str:
    """What this benchmark needs and is not here; "" where all is."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return "" if find_spec("psycopg") else "psycopg is not installed (pip install -c constraints.txt -e '.[cluster]')"


@dataclass(frozen=True)
class Postgres:
    """A running cluster: its process, port and password."""

    pid: int
    port: int
    password: str

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def dsn(self) -> str:
        """The same as psycopg takes it."""
        return self.uri.replace("+psycopg", "")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh cluster in a folder that goes; it runs as an unprivileged user, with its own settings (fsync on)."""
    home, port, password = programs(), free_port(), secrets.token_hex(16)
    assert home is not None
    as_user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        secret = folder / "password"
        secret.write_text(password)
        if as_user:
            shutil.chown(folder, "postgres")
            shutil.chown(secret, "postgres")
        made = [home / "initdb", "-D", folder / "data", "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run([*made, "--encoding=UTF8"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
        command = [home / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        settings = ["-c", f"unix_socket_directories={folder}", "-c", "max_connections=200"]
        with (folder / "log").open("ab") as log:
            running = subprocess.Popen([*command, *settings], stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            _create(Postgres(running.pid, port, password))
            yield Postgres(running.pid, port, password)
        finally:
            running.send_signal(signal.SIGINT)  # fast: it does not wait for connections to end
            running.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create(made: Postgres) -> None:
    """The database, as soon as the server takes connections."""
    import psycopg

    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with psycopg.connect(made.dsn.replace(f"/{DATABASE}", "/postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
                return
        except psycopg.OperationalError:
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.2)


@dataclass(frozen=True)
class Served:
    """A running `mlflow server`: its process and address, and where it keeps files."""

    pid: int
    uri: str
    files: Path


@contextmanager
def mlflow_server(backend: str, workers: int) -> Iterator[Served]:
    """MLflow's server on loopback, its metadata in `backend`."""
    folder, port = Path(tempfile.mkdtemp(prefix="mlflow-")), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--artifacts-destination", str(folder / "files"), "--workers", str(workers)]
    command += ["--uvicorn-opts", "--timeout-worker-healthcheck 120"]  # its own 5 s end workers on a busy machine
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    secret = {"MLFLOW_BACKEND_STORE_URI": backend}  # what a command line says, everybody can read
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            command,
            env={**os.environ, **quiet, **secret},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + PATIENCE_S
        while not _answers(port):
            alive = running.poll() is None and time.monotonic() < until
            assert alive, (folder / "log").read_text()[-2000:]
            time.sleep(0.3)
        yield Served(running.pid, f"http://127.0.0.1:{port}", folder / "files")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
