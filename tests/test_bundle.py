"""A bundle brings a sweep from one store to another whole, once, or not at all."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator import openings
from orchestrator.asked import named, write
from orchestrator.bundle import export, main
from orchestrator.ledger import Ledger
from orchestrator.tracking import default_uri
from orchestrator.unbundling import take
from tests.synthetic_sweeps import asked, kept, varied
from trainers.errors import UserError

GROUPS = {"tau=0.9": varied(0.9, [4, 5]), "tau=0.99": varied(0.99, [8, 9])}
ONE = asked(GROUPS)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two configurations, eight cells, one look at test scores, a report."""
    store = tmp_path / "cluster"
    ledger = kept(store, *GROUPS.values())
    write(store, ONE)
    ledger.opened("byol_tau", ONE.keys)
    ledger.opened("another", ["k"])
    pictures = store / "reports" / f"byol_tau-{ONE.digest}" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "axis.svg").write_text("<svg/>")
    (pictures.parent / "report.html").write_text("<html/>")
    return store


def files(store: Path) -> dict[str, bytes]:
    """All that counts in a store."""
    every = (path for path in store.rglob("*") if path.is_file() and path.name not in (".lock", "sweep.lock"))
    return {str(path.relative_to(store)): path.read_bytes() for path in every if "mlflow.db" not in path.name}


def rewritten(bundle: Path, change: Callable[[dict[str, bytes]], None], list_too: bool = False) -> Path:
    """The bundle with other members; `list_too`: and with a list that fits them."""
    from orchestrator.bundle import _about

    with tarfile.open(bundle) as archive:
        members = {one.name: archive.extractfile(one).read() for one in archive}
    change(members)
    if list_too:
        head = json.loads(members["bundle.json"])
        head["files"] = {name: _about(content) for name, content in members.items() if name != "bundle.json"}
        members["bundle.json"] = json.dumps(head).encode()
    return packed(bundle.with_name("changed.tar.gz"), [(plain(name), content) for name, content in members.items()])


def plain(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_sweep_comes_over_to_the_byte_and_a_second_time_changes_nothing(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    first = take(there, bundle)
    assert (first.new, first.same, first.other, first.looks) == (8, 0, 0, 1)
    ours, theirs = files(store), files(there)
    log = theirs.pop("test_openings.jsonl").decode().splitlines()
    assert log == openings.lines(store, "byol_tau"), "and nothing of other sweeps"
    del ours["test_openings.jsonl"]
    assert theirs == ours
    again = take(there, bundle)
    assert (again.new, again.same, again.other, again.looks) == (0, 8, 0, 0)
    assert files(there) == {**theirs, "test_openings.jsonl": ("\n".join(log) + "\n").encode()}
    assert named(there, "byol_tau") == [ONE]


def test_the_same_results_make_the_same_bytes(store: Path, tmp_path: Path) -> None:
    bundle = export(store, "byol_tau", tmp_path / "b.tar.gz")
    take(tmp_path / "laptop", bundle)
    back = export(tmp_path / "laptop", f"byol_tau/{ONE.digest[:4]}", tmp_path / "c.tar.gz")
    assert back.read_bytes() == bundle.read_bytes()


def test_both_commands_work_and_the_import_fills_mlflow(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, there = tmp_path / "b.tar.gz", tmp_path / "laptop"
    assert main(["export", "byol_tau", "--store", str(store), "--out", str(bundle)]) == 0
    assert main(["import", str(bundle), "--store", str(there)]) == 0
    assert "8 cells sent, 0 were there; test scores, as they were opened" in capsys.readouterr().out
    assert main(["import", str(bundle), "--store", str(there)]) == 0
    assert "0 cells sent, 8 were there" in capsys.readouterr().out
    assert openings.count(there, "byol_tau") == 1, "a mirror is no look"
    client = MlflowClient(default_uri(there))
    found = client.search_runs(["1"])
    assert len(found) == 2 + 8 + 1
    (whole,) = [run for run in found if run.data.tags["level"] == "sweep"]
    assert [each.path for each in client.list_artifacts(whole.info.run_id)] == ["comparison.md", "report"]


def test_a_result_that_differs_is_set_beside_and_ours_stays(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    mine = replace(GROUPS["tau=0.9"][0], facts={"agreement": 0.1})
    kept(there, [mine])
    with pytest.warns(UserWarning, match="has other numbers for the same cell"):
        taken = take(there, bundle)
    assert (taken.new, taken.same, taken.other) == (7, 0, 1)
    assert Ledger(there).read(mine.spec.key()) == mine


def test_an_older_record_does_not_take_the_place_of_a_newer_one(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    newer = replace(ONE, at="2026-11-22T10:00:00+00:00", command="asked later")
    write(there, newer)
    take(there, bundle)
    assert named(there, "byol_tau") == [newer]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_of_a_truncated_bundle_nothing_is_taken(store: Path, tmp_path: Path, share: float) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(share * len(content))])
    refused(there, bundle, "damaged|no bundle")


def test_a_changed_byte_is_found_wherever_it_is(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    names = list(json.loads(members(bundle)["bundle.json"])["files"])
    assert len(names) == 1 + 16 + 1 + 2
    for name in names:

        def change(of: dict[str, bytes], name: str = name) -> None:
            of[name] = of[name][:-2] + bytes([of[name][-2] ^ 1]) + of[name][-1:]

        refused(there, rewritten(bundle, change), "the checksum of .* does not fit")


def members(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}


OUTSIDE = [
    "../evil",
    "/evil",
    "cells/../../evil",
    "reports/0123456789ab/../../../evil",
    "cells/evil.json",
    "evil.pkl",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("listed", [True, False])
def test_a_member_that_would_lie_elsewhere_is_refused(store: Path, tmp_path: Path, name: str, listed: bool) -> None:
    bundle = export(store, "byol_tau", tmp_path / "b.tar.gz")
    refused(
        tmp_path / "laptop", rewritten(bundle, lambda of: of.update({name: b"evil"}), listed), "no bundle|no file of"
    )
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(store: Path, tmp_path: Path, kind: bytes) -> None:
    found = members(export(store, "byol_tau", tmp_path / "b.tar.gz"))
    name = next(name for name in found if name.startswith("cells/"))
    rest = [(plain(each), content) for each, content in found.items() if each != name]
    bundle = packed(tmp_path / "evil.tar.gz", [*rest[:1], (plain(name, kind, "/etc/passwd"), b""), *rest[1:]])
    refused(tmp_path / "laptop", bundle, "is no file of its list")


def test_a_member_that_comes_twice_is_refused(store: Path, tmp_path: Path) -> None:
    found = members(export(store, "byol_tau", tmp_path / "b.tar.gz"))
    twice = [(plain(name), content) for name, content in found.items()]
    bundle = packed(tmp_path / "evil.tar.gz", [*twice, (plain(twice[1][0].name), twice[1][1])])
    refused(tmp_path / "laptop", bundle, "is no file of its list")


def test_what_is_no_result_of_the_sweep_is_refused_even_with_a_list_that_fits(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"
    key = GROUPS["tau=0.9"][0].spec.key()
    other = "0" * 64

    def renamed(of: dict[str, bytes]) -> None:
        for ending in (".json", ".details.json.gz"):
            of[f"cells/{other}{ending}"] = of.pop(f"cells/{key}{ending}")

    refused(there, rewritten(bundle, renamed, list_too=True), "is the record of")
    details = f"cells/{key}.details.json.gz"
    refused(there, rewritten(bundle, lambda of: of.pop(details), list_too=True), "missing or torn")
    stranger = rewritten(bundle, lambda of: of.update({"openings.jsonl": b'{"sweep": "other"}\n'}), list_too=True)
    refused(there, stranger, "openings.jsonl is not that of byol_tau")


def test_a_bundle_or_a_result_of_a_newer_version_is_refused(store: Path, tmp_path: Path) -> None:
    bundle, there = export(store, "byol_tau", tmp_path / "b.tar.gz"), tmp_path / "laptop"

    def newer(of: dict[str, bytes]) -> None:
        of["bundle.json"] = of["bundle.json"].replace(b'"schema":1', b'"schema":2')

    def newer_record(of: dict[str, bytes]) -> None:
        name = f"sweeps/{ONE.digest}.json"
        of[name] = of[name].replace(b'"schema":1', b'"schema":9')

    refused(there, rewritten(bundle, newer), "newer version")
    refused(there, rewritten(bundle, newer_record, list_too=True), "newer version")


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text", mtime=0), b"\x1f\x8b\x08"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_bytes(content)
    refused(tmp_path / "laptop", file, "no bundle")


def test_the_command_says_what_is_wrong_in_one_line(store: Path) -> None:
    for words in (["import", "nowhere"], ["export", "nothing"], ["export"], []):
        command = [sys.executable, "-m", "orchestrator.bundle", *words]
        command += ["--store", str(store)] if words else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith("error: ")


def refused(there: Path, bundle: Path, why: str) -> None:
    """In one line, and the store is as it was."""
    before = files(there) if there.exists() else {}
    with pytest.raises(UserError, match=why) as caught:
        take(there, bundle)
    assert "\n" not in str(caught.value)
    assert files(there) == before
    assert not list(there.rglob(".import-*"))
