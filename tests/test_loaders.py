"""Loaders change when waveforms are made, and by whom, and nothing else; they end with whoever started them."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.ground import Ground
from tests.loader_jobs import killed_elsewhere, own_id, refuses, six
from tests.test_cell import spec
from trainers import augmenting
from trainers.audio.front_end import FrontEnd
from trainers.augmenting import Augmentation
from trainers.cell import Workspace, run
from trainers.errors import UserError
from trainers.loaders import Loaders, fitting
from trainers.methods.configs import PAPERS_KINDS
from trainers.speech import Speech

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]


@pytest.fixture
def only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What loaders are asked for they must do: here it fails."""

    def refused(_: str) -> Speech:
        raise AssertionError("made by the process that waits")

    monkeypatch.setattr(augmenting, "_opened", refused)


@pytest.mark.usefixtures("only_there")
@pytest.mark.parametrize("hears", ["mel", "waveform"])
def test_views_are_the_same_to_the_bit_whoever_makes_them(demo_ground: Ground, hears: str) -> None:
    def views(loaders: int) -> list[torch.Tensor]:
        speech = Speech(demo_ground.prepared, FrontEnd(length_s=0.6, crop="random"), CPU, loaders)
        made = Augmentation(speech, hears, PAPERS_KINDS, 1.0, seed=5)
        draw = lambda step: torch.arange(7) * (step + 1)  # noqa: E731
        return [view for step in (0, 1, 2, 5, 6) for view in made.views(draw, step, 2)]

    for ahead, at_once in zip(views(2), views(0), strict=True):
        assert torch.equal(ahead, at_once)


@pytest.mark.usefixtures("only_there")
def test_a_cell_with_loaders_has_the_same_result(demo_ground: Ground, tmp_path: Path) -> None:
    def result(loaders: int) -> dict[str, object]:
        store = tmp_path / str(loaders)
        place = Workspace(demo_ground.prepared, demo_ground.encoder_folder, store, CPU, loaders)
        return replace(run(spec(demo_ground, "baseline"), place), seconds={}, versions={}).as_dict()

    assert result(2) == result(0)


def test_each_part_of_a_room_is_filled_by_its_job() -> None:
    crew, room = Loaders(2), np.zeros((12, 4), np.float32)
    waits = [crew.begin(room[first : first + 6], six, 4 * first) for first in (0, 6)]
    for wait in waits:
        wait()
    assert (room == np.arange(48).reshape(12, 4)).all()


def test_what_a_job_raises_is_raised_where_it_is_waited_for_and_the_process_goes_on() -> None:
    crew, room = Loaders(1), np.zeros((1, 1), np.float32)
    crew.begin(room, own_id)()
    before = room.copy()
    with pytest.raises(UserError, match="this clip is damaged"):
        crew.begin(room, refuses)()
    crew.begin(room, own_id)()
    assert room == before != os.getpid()


def test_a_killed_process_costs_nothing_but_time_and_after_three_none_is_started() -> None:
    crew, room, seen = Loaders(1), np.zeros((1, 1), np.float32), []
    for _ in range(5):
        crew.begin(room, killed_elsewhere, os.getpid())()
        assert room == 7, "made here instead"
        crew.begin(room, own_id)()
        seen.append(int(room.item()))
    assert len({*seen[:2], os.getpid()}) == 3, "a new one each time"
    assert seen[2:] == [os.getpid()] * 3, "its own process, since three were lost"


@pytest.mark.slow
def test_no_loader_outlives_a_parent_that_is_killed() -> None:
    words = (
        "import numpy as np; from tests.loader_jobs import own_id; from trainers.loaders import Loaders;"
        "room = np.zeros((1, 1), np.float32); crew = Loaders(1); crew.begin(room, own_id)();"
        "print(int(room.item()), flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert parent.stdout
    assert parent.stdin
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _lives(child)
    parent.stdin.close()
    parent.stdout.close()


def _lives(number: int) -> bool:
    """Whether a process runs; one that ended and that nobody has buried does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_gpu_gets_the_cores_that_its_training_leaves_and_a_cpu_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads, wanted in ((1, 0), (2, 1), (4, 3), (5, 4), (64, 4)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert fitting(torch.device("cuda")) == wanted
        assert fitting(CPU) == 0
