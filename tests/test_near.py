"""Prepared audio on another machine's disk is copied once to this node's own: over sshfs, and by a table of mounts."""

import errno
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainers.corpora import near
from trainers.corpora.prepared import Prepared, open_prepared, prepare
from trainers.errors import UserError

SFTP = Path("/usr/lib/openssh/sftp-server")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with four prepared tones."""
    folder = tmp_path / "root" / "emodb" / "wav"
    folder.mkdir(parents=True)
    for number, name in enumerate(("03a01Wa", "03a02Fa", "08a01Na", "08a02Ta")):
        tone = 0.5 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(16_000) / 16_000)
        soundfile.write(folder / f"{name}.wav", tone, 16_000)
    prepare(tmp_path / "root", ["emodb"], tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """$FOLDWISE_CACHE on another device than temporary files."""
    folder = Path("/dev/shm") / f"foldwise-near-{os.getpid()}"
    folder.mkdir()
    monkeypatch.setenv("FOLDWISE_CACHE", str(folder))
    monkeypatch.setattr(near, "SPARE_BYTES", 0)  # where shared memory is small
    monkeypatch.setattr(near, "SPARE", 0.0)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def afar(tmp_path: Path, store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """The device of temporary files is said to be a server's, once the store is there."""
    says({tmp_path: "nfs4", cache: "tmpfs"}, tmp_path / "mounts", monkeypatch)


def says(kinds: dict[Path, str], table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []
    for folder, kind in kinds.items():
        device = folder.stat().st_dev
        lines.append(
            f"22 27 {os.major(device)}:{os.minor(device)} / {folder} rw,relatime shared:1 - {kind} server:/x rw,hard"
        )
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(near, "MOUNTS", table)


def opened(store: Path) -> Prepared:
    (folder,) = (store / "prepared").glob("emodb-????????????????")
    return open_prepared([folder])


def kept(cache: Path) -> list[Path]:
    return [file for file in sorted(cache.glob("prepared/*")) if not file.name.startswith(".")]


def heard(prepared: Prepared) -> list[bytes]:
    return [prepared.samples(number).tobytes() for number in range(len(prepared.utterances))]


def damage(file: Path) -> None:
    """Turn a bit of the first clip's, in place."""
    with file.open("r+b") as content:
        first = content.read(1)[0]
        content.seek(0)
        content.write(bytes([first ^ 1]))


def mapped(name: str) -> bool:
    """Whether this process has a file of such a path in its memory."""
    return name in Path("/proc/self/maps").read_text()


@pytest.mark.skipif(not (shutil.which("sshfs") and SFTP.exists()), reason="sshfs or sftp-server is not installed")
def test_over_a_real_network_file_system_the_copy_is_mapped(store: Path, cache: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    line = tmp_path / "line"  # in the place of ssh: the server's end is a process of this machine
    line.write_text(f"#!/bin/sh\nexec {SFTP}\n")
    line.chmod(0o755)
    run = ("sshfs", f"server:{store}", str(there), "-o", f"ssh_command={line}")
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"no FUSE here: {done.stderr.strip()}")
    try:
        assert near.is_afar(there)
        assert not near.is_afar(store)
        prepared = opened(there)
        assert heard(prepared) == heard(opened(store))
        (copy,) = kept(cache)
        assert mapped(str(copy))
        assert not mapped(str(there))
        assert all(folder.is_relative_to(there) for folder in prepared.paths)  # others are told of the shared folder
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(there)], check=True)


def test_what_lies_on_this_machine_is_not_copied(store: Path, cache: Path) -> None:
    assert heard(opened(store))
    assert kept(cache) == []


@pytest.mark.usefixtures("afar")
def test_a_copy_is_made_once_and_taken_again(store: Path, cache: Path) -> None:
    expected = heard(opened(store))
    (copy,) = kept(cache)
    made = copy.stat().st_ino
    assert heard(opened(store)) == expected
    assert copy.stat().st_ino == made


@pytest.mark.usefixtures("afar")
def test_processes_that_come_at_once_share_one_copy(store: Path, cache: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        answers = pool.map(_heard_there, [store] * 4)
    assert len({tuple(answer) for answer in answers}) == 1
    assert len(kept(cache)) == 1


def _heard_there(store: Path) -> list[bytes]:
    return heard(opened(store))


@pytest.mark.usefixtures("afar")
def test_a_copy_that_is_cut_short_is_made_anew(store: Path, cache: Path) -> None:
    expected = heard(opened(store))
    (copy,) = kept(cache)
    copy.write_bytes(copy.read_bytes()[:1000])
    assert heard(opened(store)) == expected


@pytest.mark.usefixtures("afar")
def test_where_a_copy_is_damaged_the_shared_audio_is_heard_and_counts_on(store: Path, cache: Path) -> None:
    expected = heard(opened(store))
    (copy,) = kept(cache)
    damage(copy)
    first, second = opened(store), opened(store)  # two slots of a node, which map the same copy
    assert second.samples(1).tobytes() == expected[1]
    for prepared in (first, first, second):
        assert heard(prepared) == expected
    assert kept(cache) == []
    assert heard(opened(store)) == expected
    damage(kept(cache)[0])
    other = opened(store)
    assert other.samples(1).tobytes() == expected[1]
    kept(cache)[0].unlink()
    assert heard(opened(store)) == expected
    (anew,) = kept(cache)
    assert heard(other) == expected
    assert kept(cache) == [anew]  # what another slot has made anew stays
    assert not list((store / "prepared").glob("*/damaged"))


@pytest.mark.usefixtures("afar")
def test_audio_that_is_damaged_on_the_server_is_not_blamed_on_the_copy(store: Path, cache: Path) -> None:
    (file,) = (store / "prepared").glob("emodb-????????????????/audio.f32")
    damage(file)
    for _ in range(2):
        with pytest.raises(UserError, match="the next sweep makes it anew"):
            heard(opened(store))
    assert kept(cache) == []


@pytest.mark.usefixtures("afar")
def test_without_room_the_shared_audio_is_heard(store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "SPARE_BYTES", 1 << 60)
    assert heard(opened(store))
    assert kept(cache) == []


def test_a_cache_on_another_machine_gains_nothing(
    store: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says({tmp_path: "lustre", cache: "nfs"}, tmp_path / "mounts", monkeypatch)
    assert heard(opened(store))
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_is_no_error(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says({tmp_path: "nfs4"}, tmp_path / "mounts", monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOLDWISE_CACHE", str(tmp_path / "file" / "below"))
    assert heard(opened(store))


def test_where_no_mounts_are_told_all_is_near(store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOUNTS", store / "none")
    assert heard(opened(store))
    assert kept(cache) == []


@pytest.mark.usefixtures("afar")
def test_copies_that_nobody_opened_for_a_month_go_when_another_is_made(store: Path, cache: Path) -> None:
    heard(opened(store))
    (copy,) = kept(cache)
    old, young = cache / "prepared" / "old", cache / "prepared" / "young"
    for file, days in ((old, 31), (young, 29), (copy, 31)):
        file.touch()
        os.utime(file, (time.time() - days * 86400,) * 2)
    heard(opened(store))  # opened today
    assert sorted(kept(cache)) == sorted([copy, old, young])
    copy.unlink()
    heard(opened(store))
    assert sorted(kept(cache)) == sorted([copy, young])


@pytest.mark.usefixtures("afar")
def test_a_copy_that_does_not_fit_after_all_leaves_nothing(
    store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_the_disk(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    (cache / "prepared").mkdir(exist_ok=True)
    for left in [*(cache / "prepared").iterdir(), cache / "prepared" / f"of-the-dead{near.PARTIAL}"]:
        left.unlink(missing_ok=True)
    (cache / "prepared" / f"of-the-dead{near.PARTIAL}").touch()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", fills_the_disk)
        assert heard(opened(store))
    assert kept(cache) == []


def test_a_mount_of_a_name_that_is_no_text_hinders_nobody(
    store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = store / "mounts"
    table.write_bytes(b"22 27 9:9 / /media/caf\xe9 rw - ext4 /dev/x rw\n")
    monkeypatch.setattr(near, "MOUNTS", table)
    assert heard(opened(store))
    assert kept(cache) == []
