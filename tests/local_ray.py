"""A Ray of the tests' own on this machine, started as the command starts its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from orchestrator.cluster import ALONE, QUIET

PATIENCE_S = 300.0
"""Seconds that a test waits for Ray on a machine that does much else; it is done as soon as it can."""


def settle() -> None:
    """Ray's settings as the command has them; to be called before Ray starts."""
    for name, value in {**QUIET, **ALONE}.items():
        os.environ.setdefault(name, value)


@contextmanager
def started(cpus: int, gpus: int = 0) -> Iterator[None]:
    """Within this, Ray is there with so many CPUs, and as many GPUs as one likes: they are counted, not used.

    Ray's own patience of 30 s ends the whole process on a machine that is busy with other things.
    """
    settle()
    ray.init(num_cpus=cpus, num_gpus=gpus, dashboard_host="127.0.0.1", log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def head(cpus: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Within this, a cluster of one node is there and connected; a test adds nodes.

    Its folder is its own, or any other Ray that starts meanwhile on this machine would join it.
    """
    settle()
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # Ray wants a short path
        monkeypatch.setenv("RAY_TMPDIR", folder)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "dashboard_host": "127.0.0.1"})
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()
