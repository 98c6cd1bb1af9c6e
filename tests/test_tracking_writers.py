"""Several processes that write into one experiment of MLflow at once: a real SQLite store, and real processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from mlflow import MlflowClient

from orchestrator.tracking import Tracker, default_uri, writer
from orchestrator.tracking.client import connect, experiment
from tests.synthetic_results import hits, result, spec

SETTINGS = {"tau=0.99": spec(0.99).settings()}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return default_uri(tmp_path_factory.mktemp("store"))


def test_all_that_begin_a_sweep_at_once_find_one_experiment(uri: str) -> None:
    clients = [connect(uri) for _ in range(8)]
    together = Barrier(len(clients))

    def begin(client: MlflowClient) -> str:
        together.wait()
        return experiment(client, "at_once", None)

    with ThreadPoolExecutor(len(clients)) as pool:
        found = set(pool.map(begin, clients))
    assert len(found) == 1


@contextmanager
def another_process() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.communicate(b"\n")


def half_written(client: MlflowClient, of: str, by: int) -> str:
    """A cell's run that this process began on this machine, and a configuration's."""
    signed = writer.signature().replace(f" {os.getpid()} ", f" {by} ")
    parent = client.create_run(of, tags={"level": "configuration", writer.TAG: signed}).info.run_id
    tags = {"level": "cell", "cell": "c" * 64, "mlflow.parentRunId": parent, writer.TAG: signed}
    return str(client.create_run(of, tags=tags).info.run_id)


def test_what_another_process_is_writing_is_let_be_and_what_it_left_when_it_died_is_removed(uri: str) -> None:
    client = connect(uri)
    of = experiment(client, "half", None)
    one = result(spec(0.99), hits(5, 5, 5, 5), {"urdu": hits(5, 5, 5, 5)})
    with another_process() as alive:
        cell = half_written(client, of, alive)
        assert Tracker(uri, "half", "", SETTINGS).log(one, "tau=0.99")
        assert client.get_run(cell).info.lifecycle_stage == "active"
        assert len(client.search_runs([of])) == 4
    assert Tracker(uri, "half", "", SETTINGS).log(one, "tau=0.99")
    assert client.get_run(cell).info.lifecycle_stage == "deleted"
    assert len(client.search_runs([of])) == 2


@pytest.mark.parametrize(
    ("told", "may"),
    [
        ("", False),
        ("an older version's", False),
        ("HERE MYSELF 99999999999", False),  # this very process: its own leftover
        ("HERE 1 99999999999", True),
        ("HERE 1 1000000000", False),
        ("elsewhere.example 7 99999999999", True),
        ("elsewhere.example 7 1000000000", False),
    ],
)
def test_a_run_is_anothers_while_its_process_lives_or_may_live(told: str, may: bool) -> None:
    told = told.replace("HERE", socket.gethostname()).replace("MYSELF", str(os.getpid()))
    assert writer.may_be_writing(told) is may
