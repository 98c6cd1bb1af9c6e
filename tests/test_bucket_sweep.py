"""The command with `--store s3://…`, at a real S3 server that is killed and started again while the sweep runs."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ledger import Ledger
from tests.local_ray import head
from tests.object_server import BUCKET, ObjectServer
from tests.test_sweep import SHORT, sweep, table
from trainers import stores
from trainers.bucket import Bucket
from trainers.result import Result

URL = f"s3://{BUCKET}/lab/runs"
RECORDS = 12
"""3 τ × 2 folds, and the floors of both."""


def command(module: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "RAY_ADDRESS")}
    line = [sys.executable, "-m", f"orchestrator.{module}", *words]
    return subprocess.run(line, capture_output=True, text=True, env=own | environment, timeout=600)


def numbers(ledger: Ledger) -> dict[str, Mapping[str, Any]]:
    """All of each whole result but how fast and where it ran."""
    found = {key: ledger.read(key) for key in ledger.stored()}
    return {key: _numbers(each) for key, each in found.items() if each}


def _numbers(result: Result) -> Mapping[str, Any]:
    return replace(result, seconds={}, versions={}).as_dict()


def answer(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The table and all below it, but where files lie."""
    return [line for line in table(done.stdout) if not line.startswith(("report:", "browse:", "        http:"))]


def records() -> list[str]:
    return [key for key in Bucket(URL).list("cells") if key.endswith(".json")]


@dataclass
class Lab:
    """What one node's sweep left, with its server killed meanwhile, and what the same sweep left in a plain folder."""

    folder: Path
    plain: Path
    done: "subprocess.CompletedProcess[str]"
    there_at_kill: int

    def copy(self, name: str) -> Path:
        """The working copy of a node."""
        patch = pytest.MonkeyPatch()
        with patch.context() as own:
            own.setenv("FOLDWISE_CACHE", str(self.folder / name))
            return stores.located(URL)


@pytest.fixture(scope="module")
def lab(object_server: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    there: list[int] = []
    object_server.kill()
    object_server.extra["FOLDWISE_TEST_DIES_AT"] = "2"
    object_server.start()
    doomed = object_server.process
    del object_server.extra["FOLDWISE_TEST_DIES_AT"]

    over = threading.Event()

    def restart() -> None:
        assert doomed is not None
        doomed.wait()
        if not over.wait(3.0):
            object_server.start()
            there.append(len(records()))

    killer = threading.Thread(target=restart, daemon=True)
    killer.start()
    done = command("sweep", "byol_tau", *SHORT, "--store", URL, FOLDWISE_CACHE=str(folder / "one"))
    over.set()
    assert done.returncode == 0, done.stdout + done.stderr
    killer.join(60)
    plain = sweep(folder / "plain", "byol_tau", *SHORT)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    return Lab(folder, folder / "plain", done, there[0])


@pytest.mark.slow
def test_a_sweep_whose_server_is_killed_midway_loses_nothing_and_has_the_bits_of_a_plain_folder(lab: Lab) -> None:
    assert lab.done.returncode == 0, lab.done.stdout + lab.done.stderr
    assert 2 <= lab.there_at_kill < RECORDS
    assert len(records()) == RECORDS
    expected = numbers(Ledger(lab.plain))
    assert len(expected) == RECORDS
    assert numbers(Ledger(lab.copy("empty"))) == expected  # all of it from the bucket
    assert numbers(Ledger(lab.copy("one"))) == expected
    left = {key.split("/")[0] for key in Bucket(URL).list()}
    assert left == {"cells", "demo", "prepared", "reports", "sweeps", "test_openings"}
    assert not list(lab.copy("one").glob("unsent/*"))


@pytest.mark.slow
def test_the_same_command_on_a_node_that_has_nothing_trains_nothing_and_tells_the_same(lab: Lab) -> None:
    again = command("sweep", "byol_tau", *SHORT, "--store", URL, FOLDWISE_CACHE=str(lab.folder / "two"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "6 done, 0 to run" in again.stdout + again.stderr
    assert answer(again) == answer(lab.done)

    third = {"FOLDWISE_CACHE": str(lab.folder / "three")}
    compared = command("compare", "byol_tau", "--format", "csv", "--store", URL, **third)
    ours = command("compare", "byol_tau", "--format", "csv", "--store", str(lab.plain))
    assert compared.returncode == ours.returncode == 0, compared.stderr + ours.stderr
    assert compared.stdout == ours.stdout
    audited = command("audit", "byol_tau", "--store", URL, FOLDWISE_CACHE=str(lab.folder / "four"))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    key = min(numbers(Ledger(lab.plain)))
    replayed = command("replay", key, "--store", URL, FOLDWISE_CACHE=str(lab.folder / "five"))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.slow
def test_a_model_that_one_node_made_of_the_sweep_is_heard_on_another(lab: Lab) -> None:
    maker, other = ({"FOLDWISE_CACHE": str(lab.folder / name)} for name in ("maker", "listener"))
    made = command("register", "byol_tau", "--language", "demo-arda", "--store", URL, **maker)
    assert made.returncode == 0, made.stdout + made.stderr
    models = {key.split("/")[1] for key in Bucket(URL).list("models")}
    assert len(models) == 1
    clip = str(next(lab.plain.glob("demo/**/*.wav")))
    here = command("predict", *models, clip, "--format", "csv", "--store", URL, **maker)
    there = command("predict", *models, clip, "--format", "csv", "--store", URL, **other)
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert here.stdout == there.stdout
    assert len(there.stdout.splitlines()) == 2


@pytest.mark.slow
def test_slots_on_two_nodes_with_nothing_in_common_but_the_bucket_do_a_sweep(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{URL}-two"
    with head(0, monkeypatch) as cluster:
        for name in ("left", "right"):
            cluster.add_node(num_cpus=1, env_vars={"FOLDWISE_CACHE": str(tmp_path / name)})
        where = {"FOLDWISE_CACHE": str(tmp_path / "driver"), "RAY_ADDRESS": cluster.address}
        done = command("sweep", "byol_tau", *SHORT, "--store", url, **where)
        assert done.returncode == 0, done.stdout + done.stderr
        checked = command("preflight", "--store", url, **where)
    copies = {name: next((tmp_path / name / "stores").iterdir()) for name in ("left", "right", "driver")}
    there = {name: set(Ledger(copy)._files()) for name, copy in copies.items()}
    assert there["left"]
    assert there["right"]
    assert not there["left"] & there["right"]  # each slot has what it trained, and the driver all
    assert there["left"] | there["right"] == set(numbers(Ledger(lab.plain)))
    assert there["driver"] == there["left"] | there["right"]
    assert numbers(Ledger(copies["driver"])) == numbers(Ledger(lab.plain))
    rows = {line.strip() for line in checked.stdout.splitlines()}
    for what in ("store writable, atomic", "store is one folder", "prepared audio"):
        assert any(line.startswith("✓") and what in line for line in rows), checked.stdout
