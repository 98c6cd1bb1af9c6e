"""One kill at a time on a real local Ray, where the moment matters."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray.util import placement_group_table

from orchestrator import engine
from orchestrator.scratch import scratch_in
from tests.faults.processes import below
from tests.local_ray import PATIENCE_S, started
from tests.noted_work import make_work, notes, plan, until


@pytest.mark.slow
def test_after_its_controller_was_killed_a_slot_starts_anew_with_the_room_that_the_old_one_had(tmp_path: Path) -> None:
    """Ray keeps what a killed actor has reserved until the whole job ends; the slots then waited for ever."""
    cells = plan(tmp_path / "log", blocks=2, configurations=2, waits_for=str(tmp_path / "go"))
    killed: list[int] = []

    def kill_controller(snapshot: Any) -> None:
        if snapshot.running == 2 and not killed:
            (controller,) = [process for process in below(os.getpid()) if process.kind == "controller"]
            controller.kill()
            killed.append(controller.pid)
            (tmp_path / "go").touch()

    with started(cpus=2):
        outcome = engine.run(
            cells, [{}, {}], make_work, scratch=tmp_path / "scratch", slots=2, on_snapshot=kill_controller
        )
        assert (outcome.done, outcome.failed) == (4, ())
        assert killed
        until(lambda: not reserved(), PATIENCE_S)
    assert {key for key, _ in notes(tmp_path / "log", "ended")} == {cell.key for cell in cells}


def reserved() -> list[str]:
    """Placement groups that are not removed."""
    return [one["name"] for one in placement_group_table().values() if one["state"] != "REMOVED"]


def test_scratch_folders_of_killed_runs_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    killed = subprocess.run([sys.executable, "-c", DIES_IN_ITS_SCRATCH, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "rehearsal-abc" / "checkpoints").mkdir(parents=True)
    (left,) = folder.iterdir()
    with scratch_in(folder) as first, scratch_in(folder) as second:
        assert sorted(folder.iterdir()) == sorted([first, second])
        assert left not in (first, second)
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


DIES_IN_ITS_SCRATCH = """
import os, signal, sys
from pathlib import Path
from orchestrator.scratch import scratch_in

with scratch_in(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
