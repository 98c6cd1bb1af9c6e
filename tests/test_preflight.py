"""Before a sweep: each fault that a cluster may have is told, and a sound one passes; on real Rays of this machine."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from orchestrator import preflight
from orchestrator.preflight_checks import LEAST_GB, Row, ports, rows
from orchestrator.preflight_node import Asked, Facts, fingerprint, leave_trace, see, skew, try_store, unreached
from tests.local_ray import settle

VERSIONS = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.11.0", "cuda": "13.0", "foldwise": "1-abc"}
ALL = ("driver", "a", "b")


def facts(node: str, **other: Any) -> Facts:
    """A sound machine of one GPU, but for what is said."""
    sound = Facts(
        node,
        VERSIONS,
        gpus=(("L4", 22.0),),
        torch_gpus=1,
        ray_gpus=1.0,
        free_gb={name: gb + 1 for name, gb in LEAST_GB.items()},
        first=node == "a",
        seen=ALL,
        data="d",
        prepared="p",
        encoder_fingerprint="e",
    )
    return replace(sound, **other)


def wrong(**other: Any) -> list[Row]:
    """What is told where node b is so."""
    driver = facts("driver", gpus=(), torch_gpus=0, ray_gpus=0.0)
    return [row for row in rows(driver, [facts("a"), facts("b", **other)]) if not row.ok]


def test_a_sound_cluster_passes() -> None:
    assert wrong() == []


def test_a_node_that_another_cannot_reach_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_server(("127.0.0.1", 0)) as other:
        shut = other.getsockname()
        other.close()
        assert unreached({"open": door.getsockname(), "shut": shut}) == ["shut"]
    assert ports({"a": [], "b": []}).ok
    row = ports({"a": ["b"], "b": []})
    assert (row.ok, row.found) == (False, "a: does not reach b")


@pytest.mark.parametrize(
    ("fault", "what", "found"),
    [
        ({"versions": VERSIONS | {"torch": "2.10.0"}}, "torch", "b: 2.10.0 (the driver has 2.11.0)"),
        ({"versions": VERSIONS | {"foldwise": "1-xyz"}}, "code", "b: 1-xyz (the driver has 1-abc)"),
        ({"torch_gpus": 0}, "GPUs", "b: Ray counts 1, torch can use 0 (1 by its driver)"),
        ({"torch_gpus": 0, "gpus": ()}, "GPUs", "b: Ray counts 1, torch can use 0 (no working driver)"),
        ({"ray_gpus": 0.0}, "GPUs", "b: 1 there, Ray counts 0"),
        ({"skew_s": 30.0}, "clocks", "b: off by 30.0 s"),
        ({"free_gb": {"temporary files": 1.0, "store": 99.0}}, "free disk, temporary files", "b: 1.0 GB"),
        ({"store": "Read-only file system"}, "store writable, atomic", "b: Read-only file system"),
        ({"seen": ("b",)}, "store is one folder", "b: sees nothing of a, driver"),
        ({"first": True}, "store is one folder", "a: created a file that another had created; b: created"),
        ({"data": "other"}, "recordings", "b: other files"),
        ({"prepared": ""}, "prepared audio", "b: none (the driver has p)"),
        ({"encoder": "there is no folder /e", "encoder_fingerprint": ""}, "encoder", "b: there is no folder /e"),
        ({"encoder_fingerprint": "f"}, "encoder", "b: other weights"),
    ],
)
def test_a_fault_of_one_node_is_told_alone_and_with_a_remedy(fault: dict[str, Any], what: str, found: str) -> None:
    (row,) = wrong(**fault)
    assert row.what == what
    assert row.found.startswith(found)
    assert row.remedy


def test_a_node_without_the_recordings_is_sound_since_slots_hear_the_store_s() -> None:
    assert wrong(data="") == []


@pytest.mark.parametrize(("told_s", "off_s"), [(10.0, 0.0), (11.0, 0.0), (12.0, 0.0), (15.0, 3.0), (4.0, 6.0)])
def test_a_clock_is_off_only_by_what_the_way_to_it_cannot_explain(told_s: float, off_s: float) -> None:
    assert skew(10.0, told_s, 12.0) == off_s


def test_a_folder_of_this_machine_can_be_a_store_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    assert try_store(tmp_path, "n") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_copies_where_it_should_rename_is_found(tmp_path: Path) -> None:
    def copies(source: Path, target: Path) -> None:
        shutil.copy(source, target)

    assert "does not replace" in try_store(tmp_path, "n", copies)


def test_a_file_system_that_refuses_to_rename_over_is_found_by_whatever_error_it_gives(tmp_path: Path) -> None:
    def refuses(source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        source.rename(target)

    assert try_store(tmp_path, "n", refuses) == "File exists"


def test_a_store_that_cannot_be_written_is_told_in_the_system_s_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in try_store(tmp_path / "file", "n")


def test_of_all_that_try_one_creates_the_file_and_each_sees_the_others(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    assert [leave_trace(asked.traces, node) for node in ALL] == [True, False, False]
    assert see(asked, facts("a"), ALL).seen == ALL
    assert see(Asked(tmp_path / "elsewhere"), facts("a"), ALL).seen == ()


def test_a_fingerprint_knows_names_and_contents_but_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "clip.wav").write_bytes(b"0" * 200_000)
    first = fingerprint(tmp_path / "one", ("*",))
    assert fingerprint(tmp_path / "two", ("*",)) == first
    (tmp_path / "two" / "below" / "clip.wav").write_bytes(b"0" * 199_999 + b"1")
    assert fingerprint(tmp_path / "two", ("*",)) != first
    (tmp_path / "one" / "below" / "clip.wav").rename(tmp_path / "one" / "below" / "other.wav")
    assert fingerprint(tmp_path / "one", ("*",)) != first


def test_an_mlflow_that_is_not_there_is_told_and_no_database_is_made(tmp_path: Path) -> None:
    assert preflight.tracking(f"sqlite:///{tmp_path}/mlflow.db").ok
    assert list(tmp_path.iterdir()) == []
    row = preflight.tracking("http://127.0.0.1:9")
    assert not row.ok
    assert row.remedy


@pytest.mark.parametrize(
    ("words", "said"), [(["--data", "/nowhere"], "'/nowhere'"), (["--encoder", "/no/such"], "/no")]
)
def test_bad_input_is_one_line_and_code_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9", "✗ Ray 127.0.0.1:9: Connection refused"),
        ("127.0.0.1:99999999999999999999", "✗ Ray 127.0.0.1:99999999999999999999: "),
        ("head", "✗ Ray cannot join the Ray cluster head: Invalid address format: head; $RAY_ADDRESS names it"),
    ],
)
def test_a_ray_that_is_not_there_is_told_at_once(
    address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert preflight.main(["--store", str(tmp_path)]) == 1
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray's own files in a folder of its own, or any other Ray of this machine might be joined."""
    settle()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # Ray wants a short path
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("short_folder")
def test_this_machine_alone_is_sound_and_refuses_strangers(tmp_path: Path, demo_store: Path, demo_ground: Any) -> None:
    found = preflight.preflight(demo_store, None, demo_ground.encoder_folder, f"sqlite:///{tmp_path}/mlflow.db")
    told = {row.what: row for row in found}
    enough = {name: row for name, row in told.items() if not name.startswith("free disk")}
    assert [row for row in enough.values() if not row.ok] == []
    assert told["a stranger at Ray's door"].found == "refused"
    assert not [path for path in demo_store.iterdir() if path.name.startswith(".preflight")]


@pytest.fixture
def open_cluster(short_folder: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: ARG001
    """Two nodes, started without a token, and a GPU that is not there."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "dashboard_host": "127.0.0.1"})
    made.add_node(num_cpus=1, num_gpus=1)
    yield made
    made.shutdown()


@pytest.mark.slow
def test_two_nodes_that_anyone_may_enter_and_a_gpu_that_is_not_there(open_cluster: Any, tmp_path: Path) -> None:
    """In a process of its own: one that had a Ray with a token keeps it."""
    command = [sys.executable, "-m", "orchestrator.preflight", "--store", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "SER_DATA"}
    environment["RAY_ADDRESS"] = open_cluster.address
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    told = [line.split("  ", 2) for line in done.stdout.splitlines() if line[1:3] == "  "]
    found = {what.strip(): (mark, rest.strip()) for mark, what, rest in told}
    assert found["nodes answer"][1].startswith("2:")
    assert found["nodes reach each other"] == ("✓", "2, on ports of their choice")
    assert found["store is one folder"] == ("✓", "3 see each other's files")
    faults = {what for what, (mark, _) in found.items() if mark == "✗" and "disk" not in what}
    assert faults == {"GPUs", "a stranger at Ray's door"}
    assert found["a stranger at Ray's door"][1] == "let in"
    assert "Ray counts 1, torch can use 0" in found["GPUs"][1]
