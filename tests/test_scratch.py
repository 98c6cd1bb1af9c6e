"""A run's scratch folder is gone after it, whoever still writes into it for a moment."""

import threading
import time
from pathlib import Path

import pytest

from orchestrator import engine
from orchestrator import scratch as rooms
from orchestrator.scratch import scratch_in
from tests.noted_work import make_work, plan


def test_a_folder_into_which_somebody_writes_a_little_longer_is_removed_all_the_same(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        ends_at = time.monotonic() + 0.5
        while time.monotonic() < ends_at:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
            (folder / "trials" / "state.json").write_text("{}")

    with scratch_in(tmp_path / "ray") as scratch:
        late = threading.Thread(target=write, args=(scratch,))
        late.start()
    late.join()
    assert not scratch.exists()


def test_what_a_run_left_that_was_killed_as_it_ended_goes_although_nothing_is_left_to_run(tmp_path: Path) -> None:
    cells = plan(tmp_path / "log", blocks=1, configurations=1)
    left = tmp_path / "ray" / "ray-killed" / "trials"
    left.mkdir(parents=True)
    outcome = engine.run(
        cells, [{}], make_work, scratch=tmp_path / "ray", known=lambda: {cell.key: {} for cell in cells}
    )
    assert outcome.done == 0
    assert list((tmp_path / "ray").iterdir()) == []


def test_a_folder_that_somebody_who_is_just_ending_makes_anew_is_looked_for_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []

    def comes_back(_: float) -> None:
        looks.append(folder)
        if len(looks) == 2:
            (folder / "trials").mkdir(parents=True)

    with scratch_in(tmp_path / "ray") as folder:
        monkeypatch.setattr(rooms.time, "sleep", comes_back)
    assert len(looks) == 5
    assert not folder.exists()
