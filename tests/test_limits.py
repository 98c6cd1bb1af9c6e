"""What ends a run: failures, the size of a real store, and a store that cannot be written."""

import time
from pathlib import Path

import pytest

from orchestrator import limits
from orchestrator.board import Event
from orchestrator.disk import Disk, held_bytes
from orchestrator.limits import Limits, require_store
from tests.faults.mounts import read_only, small_disk
from tests.noted_work import until
from tests.tiny_audio import Sounds
from trainers.corpora.prepared import prepare
from trainers.errors import UserError


def fill(file: Path, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\0" * size)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of 3 MB, of which 1 MB is the checkpoint of a cell that was interrupted."""
    fill(tmp_path / "store" / "cells" / "ab" / "one.json", 1_500_000)
    fill(tmp_path / "store" / "mlflow.db", 500_000)
    fill(tmp_path / "store" / "checkpoints" / "mine" / "last.pt", 1_000_000)
    return tmp_path / "store"


def test_a_store_holds_its_files_and_not_what_links_lead_to(store: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere" / "big", 7_000_000)
    (store / "prepared").symlink_to(tmp_path / "elsewhere")
    assert held_bytes(store) == 3_000_000 + (store / "prepared").lstat().st_size * (store / "prepared").is_file()
    assert held_bytes(tmp_path / "nowhere") == 0


def test_a_plan_that_would_not_fit_is_refused_with_what_would_do(store: Path) -> None:
    plan = Disk(results=400_000, stages=600_000, checkpoints=2_000_000, free=10**12)
    with pytest.raises(UserError) as told:
        Limits(store, max_store_gb=0.004).require_room(plan, ["mine"])
    assert str(told.value) == (
        "max-store-gb is 0.004; it must be at least 0.005: the store holds 0.002 GB and this plan writes up to "
        "0.003 GB more, 0.002 GB of it checkpoints while cells run; raise it, ask for fewer cells or --slots, or "
        f"make room in {store}"
    )
    Limits(store, max_store_gb=0.005).require_room(plan, ["mine"])
    with pytest.raises(UserError, match=r"at least 0\.006"):  # what is not the plan's own stays beside it
        Limits(store, max_store_gb=0.005).require_room(plan, ["another's"])


def test_a_corpus_that_would_not_fit_is_not_decoded_and_one_that_is_there_fits(tmp_path: Path) -> None:
    """Four clips of a second are 256 kB once they are prepared."""
    columns = "path,language,speaker,gender,emotion"
    rows = [f"{name}.wav,german,{name},female,happy" for name in "abcd"]
    sounds = Sounds(tmp_path / "mine")
    for name in "abcd":
        sounds.at(f"{name}.wav", seconds=1.0)
    sounds.text("manifest.csv", columns, *rows)
    store = tmp_path / "store"
    narrow, wide = Limits(store, max_store_gb=0.0002), Limits(store, max_store_gb=0.0003)
    with pytest.raises(
        UserError, match=r"^max-store-gb is 0\.0002; it must be .* mine takes 0\.000256 GB once it is pre"
    ):
        prepare(tmp_path, ["mine"], store, room=narrow.require_prepared)
    assert not list(store.rglob("*.f32"))
    made = prepare(tmp_path, ["mine"], store, room=wide.require_prepared)
    assert sum(len(made.samples(number)) for number in range(4)) == 64_000
    assert len(prepare(tmp_path, ["mine"], store, room=narrow.require_prepared).utterances) == 4


def test_a_plan_that_writes_nothing_more_fits_into_any_store(store: Path) -> None:
    Limits(store, max_store_gb=0.001).require_room(Disk(0, 0, 0, free=1), [])
    Limits(store).require_room(Disk(10**15, 0, 0, free=1), [])


def test_a_store_that_has_reached_its_limit_ends_the_run(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK_S", 0.01)
    watched = Limits(store, max_store_gb=0.004)
    for _ in range(5):
        assert watched.reason() == ""
        time.sleep(0.1)
    fill(store / "stages" / "new", 1_000_000)
    until(lambda: watched.reason() == "the store holds 0.004 GB, and --max-store-gb is 0.004", seconds=60.0)


def test_failures_count_once_each_and_only_those_that_were_tried_and_failed_for_good(store: Path) -> None:
    watched = Limits(store, max_failures=2)
    failures = [
        Event("a", None, "error", "boom"),
        Event("a", None, "error", "boom"),
        Event("b", None, "error", "its stage failed", because="a"),
        Event("c", {"valid_uar": 0.5}),
    ]
    for event in failures:
        watched.ended(event)
    assert watched.reason() == ""
    watched.ended(Event("a", {"valid_uar": 0.5}))  # a board that was built anew tried it again
    watched.ended(Event("d", None, "nan", "the loss is nan"))
    assert watched.reason() == ""
    watched.ended(Event("e", None, "nan", "the loss is nan"))
    assert watched.reason() == "2 cells have failed for good, and --max-failures is 2"


def test_no_limit_never_ends_a_run(store: Path) -> None:
    watched = Limits(store)
    for number in range(100):
        watched.ended(Event(str(number), None, "error", "boom"))
    assert watched.reason() == ""


def test_a_store_that_cannot_be_written_is_refused_in_a_line_and_left_as_it_was(store: Path) -> None:
    before = sorted(store.rglob("*"))
    require_store(store)
    with read_only(store), pytest.raises(UserError) as told:
        require_store(store)
    assert str(told.value).startswith(f"store '{store}' cannot be used: Read-only file system; mount it for writing")
    assert len(str(told.value).splitlines()) == 1
    assert sorted(store.rglob("*")) == before


def test_a_store_that_became_read_only_ends_the_run_at_the_first_failure(store: Path) -> None:
    watched = Limits(store)
    with read_only(store):
        assert watched.reason() == ""
        watched.ended(Event("a", None, "user", "cannot write: Read-only file system"))
        assert watched.reason() == f"store {store} cannot be written any more: Read-only file system"


def test_a_disk_without_room_for_a_result_ends_the_run_at_the_first_failure(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        fill(disk / "filler", 500_000)
        watched = Limits(disk)
        watched.ended(Event("a", None, "user", "cannot write: No space left on device"))
        assert watched.reason() == f"store {disk} cannot be written any more: No space left on device"
        assert [path.name for path in disk.iterdir()] == ["filler"]
