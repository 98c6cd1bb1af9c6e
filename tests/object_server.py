"""A real S3 server on loopback: moto's, as a process of its own, which keeps what it acknowledged when it is killed.

moto has everything in memory. So each request that changes something is written to a journal before it is answered, and
a process that starts with a journal first does all of it again, before it listens.

    python -m tests.object_server PORT JOURNAL
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "lab"


@dataclass
class ObjectServer:
    """The server's process; it may be killed and started again on the same port."""

    folder: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.object_server", str(self.port), str(self.folder / "journal")]
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.extra})
        ends_at = time.monotonic() + 120
        while time.monotonic() < ends_at:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.1)
        raise TimeoutError("the object server does not start")

    def kill(self) -> None:
        """As a power cut would."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch, **extra: str) -> Iterator[ObjectServer]:
    """Within this, a server with the bucket `lab` is there, and this process's environment leads to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = ObjectServer(folder, free.getsockname()[1], extra)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _without_condition(start_response: Any) -> Any:
    """Says no length, since the answer will be shorter."""
    return lambda status, headers, *rest: start_response(
        status, [each for each in headers if each[0].lower() != "content-length"], *rest
    )


def serve(port: int, journal: Path) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server
    from werkzeug.test import Client

    plain = DomainDispatcherApplication(create_backend_app)
    client, lock = Client(plain), threading.Lock()
    conflicted: set[str] = set()
    written: set[str] = set()

    def repeat(told: dict[str, Any]) -> None:
        answer = client.open(
            told["path"],
            method=told["method"],
            query_string=told["query"],
            headers=told["headers"],
            data=b64decode(told["body"]),
        )
        answer.close()

    def kept(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return plain(environ, start_response)
        from io import BytesIO

        body = _body(environ)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        if ignored := os.environ.get("FOLDWISE_TEST_IGNORES"):  # as older servers do
            environ.pop(f"HTTP_{ignored.upper().replace('-', '_')}", None)
        told = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ.get("QUERY_STRING", ""),
            "headers": {
                name.removeprefix("HTTP_").replace("_", "-"): value
                for name, value in environ.items()
                if name.startswith("HTTP_") or name == "CONTENT_TYPE"
            },
            "body": b64encode(body).decode(),
        }
        if (
            os.environ.get("FOLDWISE_TEST_TERSE") and "HTTP_IF_NONE_MATCH" in environ
        ):  # as others than AWS's servers are
            if environ["PATH_INFO"] not in conflicted:
                conflicted.add(environ["PATH_INFO"])
                start_response("409 Conflict", [("Content-Type", "text/xml")])
                return [b"<Error><Code>ConditionalRequestConflict</Code><Message>At once.</Message></Error>"]
            start_response = _without_condition(start_response)
        with lock:
            answer = list(plain(environ, start_response))
            if os.environ.get("FOLDWISE_TEST_TERSE"):
                answer = [re.sub(rb"<Condition>.*?</Condition>", b"", part) for part in answer]
            with journal.open("a") as file:
                file.write(json.dumps(told) + "\n")
            if _RECORD.search(environ["PATH_INFO"]):
                written.add(environ["PATH_INFO"])
                if len(written) == int(os.environ.get("FOLDWISE_TEST_DIES_AT", "0")):
                    os.kill(os.getpid(), signal.SIGKILL)
        return answer

    for line in journal.read_text().splitlines() if journal.exists() else ():
        with suppress(ValueError):  # cut short by a kill: it was never acknowledged
            repeat(json.loads(line))
    if not journal.exists():
        told = {"method": "PUT", "path": f"/{BUCKET}", "query": "", "headers": {}, "body": ""}
        told["headers"] = {"Host": f"127.0.0.1:{port}", "Authorization": _SIGNED}
        repeat(told)
        journal.write_text(json.dumps(told) + "\n")
    make_server("127.0.0.1", port, kept, threaded=True).serve_forever()


_RECORD = re.compile(r"/cells/.*\.json$")
_SIGNED = "AWS4-HMAC-SHA256 Credential=dummy/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def _body(environ: dict[str, Any]) -> bytes:
    """With or without a length told before."""
    if length := environ.get("CONTENT_LENGTH"):
        return bytes(environ["wsgi.input"].read(int(length)))
    return bytes(environ["wsgi.input"].read()) if "HTTP_TRANSFER_ENCODING" in environ else b""


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
