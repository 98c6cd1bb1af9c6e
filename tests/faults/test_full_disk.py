"""A disk that is really full: a small tmpfs, which takes root to mount."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from orchestrator.ledger import Ledger
from tests import small_world
from tests.test_ledger import made
from tests.test_stage_store import OTHER, RESULT, SPEC, is_what_was_written
from trainers import stages
from trainers.corpora.prepared import prepare
from trainers.errors import UserError
from trainers.loop import train


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, unmounted afterwards."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte of the disk; what fills it can be deleted again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def files(disk: Path) -> set[str]:
    """All that is not the filler or an empty lock."""
    there = {str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()}
    return {name for name in there - {"filler"} if not name.endswith(".lock")}


def test_a_record(disk: Path) -> None:
    ledger, kept, new = Ledger(disk), made(0), made(1)
    ledger.write(kept)
    before, filler = files(disk), fill(disk)
    with pytest.raises(UserError, match="No space left on device; nothing stored was lost") as told:
        ledger.write(new)
    assert len(str(told.value).splitlines()) == 1
    assert ledger.read(kept.spec.key()) == kept
    assert ledger.read(new.spec.key()) is None
    assert {name for name in files(disk) if not name.endswith(".lock")} == {
        x for x in before if not x.endswith(".lock")
    }
    filler.unlink()
    ledger.write(new)
    assert ledger.read(new.spec.key()) == new


def test_a_checkpoint_that_finds_no_room_costs_a_warning_and_no_bit_of_the_training(disk: Path) -> None:
    cell = small_world.spec()
    whole, full = small_world.method(cell), small_world.method(cell)
    train(whole, cell.training, 0, validate=lambda: 0.5)
    fill(disk)
    with pytest.warns(UserWarning, match="cannot be written, training goes on without") as told:
        train(full, cell.training, 0, validate=lambda: 0.5, checkpoint=disk / "c.pt")
    assert all(len(str(each.message).splitlines()) == 1 for each in told)
    assert files(disk) == set()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, full.state_dict()[name]), name


def test_a_stage(disk: Path) -> None:
    stages.write(disk, OTHER, RESULT)
    before, filler = files(disk), fill(disk)
    with pytest.raises(UserError, match="No space left on device; nothing stored was lost") as told:
        stages.write(disk, SPEC, RESULT)
    assert len(str(told.value).splitlines()) == 1
    assert files(disk) == before
    assert stages.read(disk, SPEC.key()) is None
    assert is_what_was_written(stages.read(disk, OTHER.key()))
    filler.unlink()
    stages.write(disk, SPEC, RESULT)
    assert is_what_was_written(stages.read(disk, SPEC.key()))


@pytest.mark.parametrize("room", [0, 200_000], ids=["no room at all", "room for half"])
def test_prepared_audio(disk: Path, tmp_path: Path, room: int) -> None:
    for name in ("03a01Wa", "03a01Na", "03a01Fa", "03a02Ta"):
        clip = tmp_path / "data" / "emodb" / "wav" / f"{name}.wav"
        clip.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(clip, np.sin(np.arange(32_000) / len(name)) / 2, 16_000)
    filler = fill(disk)
    os.truncate(filler, filler.stat().st_size - room)
    with pytest.raises(UserError) as told:
        prepare(tmp_path / "data", ["emodb"], disk)
    assert len(str(told.value).splitlines()) == 1
    assert not list(disk.glob("prepared/emodb-*"))
    assert not list(disk.glob("prepared/.scratch.*"))
    filler.unlink()
    assert len(prepare(tmp_path / "data", ["emodb"], disk).utterances) == 4
