"""Whole runs on a real local Ray: the board is killed, a scheduler stops trials, a person presses Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import ray
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestrator import engine
from orchestrator.board import Event, Snapshot
from orchestrator.objective import mean_language, mean_of_blocks
from orchestrator.scratch import remove_left
from tests.noted_work import make_work, marked, notes, plan, until
from trainers.errors import UserError

PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=2, dashboard_host="127.0.0.1", log_to_driver=False)
    yield
    ray.shutdown()


class StopsSecond(FIFOScheduler):
    """Stops the trial of configuration 1 after its first block."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        second = trial.config["configuration"]["index"] == 1
        return str(TrialScheduler.STOP if second else TrialScheduler.CONTINUE)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_run_survives_the_loss_of_its_board_and_leaves_nothing_in_its_scratch_folder(tmp_path: Path) -> None:
    cells = plan(tmp_path / "log", blocks=4, configurations=2, seconds=0.3)
    cells[3].payload["kills_board"] = True
    told: list[Event] = []

    def known() -> dict[str, Any]:
        ended = {key for key, _ in notes(tmp_path / "log", "ended")}
        return {key: {"valid_uar": 0.25} for key in ended}

    outcome = engine.run(
        cells, [{}, {}], make_work, scratch=tmp_path / "scratch", slots=2, known=known, on_event=told.append
    )
    assert (outcome.done, outcome.failed, outcome.interrupted) == (8, (), False)
    assert Counter(event.key for event in told) == Counter(cell.key for cell in cells)
    ended = Counter(key for key, _ in notes(tmp_path / "log", "ended"))
    assert set(ended) == {cell.key for cell in cells}
    assert ended.total() <= len(cells) + 1  # where the other slot was late to say what it held, somebody does it again
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_what_is_enough_is_asked_after_each_failure_before_a_slot_gets_another_cell(tmp_path: Path) -> None:
    """However fast they fail: each of these cells does so within milliseconds."""
    failed: list[str] = []
    outcome = engine.run(
        plan(tmp_path / "log", blocks=40, configurations=1, raises="nan"),
        [{}],
        make_work,
        scratch=tmp_path / "scratch",
        slots=1,
        on_event=lambda event: failed.append(event.key),
        enough=lambda: "enough" if len(failed) >= 3 else "",
    )
    assert (outcome.done, outcome.interrupted, outcome.stopped) == (0, True, "enough")
    assert [event.key for event in outcome.failed] == failed == ["b0c0", "b1c0", "b2c0"]
    assert [key for key, _ in notes(tmp_path / "log", "begun")] == failed


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_failures_keep_no_other_cell_from_its_end_also_where_the_board_is_lost(tmp_path: Path) -> None:
    """Two slots, and every second cell fails; one that takes longer than the driver's look kills the board."""
    cells = plan(tmp_path / "log", blocks=12, configurations=1, seconds=0.1)
    for cell in cells[::2]:
        cell.payload["raises"] = "nan"
    cells[5].payload.update(kills_board=True, seconds=2.0)

    def known() -> dict[str, Any]:
        return {key: {"valid_uar": 0.25} for key, _ in notes(tmp_path / "log", "ended")}

    outcome = engine.run(cells, [{}], make_work, scratch=tmp_path / "scratch", slots=2, known=known)
    assert (outcome.done, outcome.interrupted) == (6, False)
    assert sorted(event.key for event in outcome.failed) == sorted(cell.key for cell in cells[::2])
    ended = Counter(key for key, _ in notes(tmp_path / "log", "ended"))
    assert set(ended) == {cell.key for cell in cells[1::2]}
    assert ended.total() <= 6 + 1  # as above


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_the_scheduler_stops_has_its_waiting_cells_withdrawn(tmp_path: Path) -> None:
    cells = plan(tmp_path / "log", blocks=12, configurations=2, seconds=0.1)
    for cell in cells[3::2]:  # of configuration 1 but for its first
        cell.payload.update(waits_for=str(tmp_path / "never"), waits_s=120.0)
    shots: list[Snapshot] = []
    outcome = engine.run(
        cells,
        [{"tau": 0.9}, {"tau": 0.99}],
        make_work,
        scratch=tmp_path,
        slots=2,
        scheduler=StopsSecond(),
        on_snapshot=shots.append,
    )
    ended = {key for key, _ in notes(tmp_path / "log", "ended")}
    assert ended == {"b0c1", *(f"b{block}c0" for block in range(12))}
    assert (outcome.done, shots[-1].withdrawn) == (13, 11)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_the_board_is_let_be_while_a_cell_runs(tmp_path: Path) -> None:
    looks: list[float] = []

    def look(snapshot: Snapshot) -> None:
        if snapshot.running:
            looks.append(time.monotonic())

    (cell,) = plan(tmp_path / "log", blocks=1, configurations=1, seconds=6.0)
    outcome = engine.run([cell], [{}], make_work, scratch=tmp_path / "scratch", slots=1, on_snapshot=look)
    assert outcome.done == 1
    assert median(after - before for before, after in pairwise(looks)) >= engine.CALM_POLL_S


def test_a_success_after_a_failure_takes_its_place_and_nothing_is_told_twice() -> None:
    """A board that is built anew forgets what failed and hands it out again."""
    tally = engine.Tally(frozenset({"old"}))
    failure, success = Event("a", None, "error", "boom"), Event("a", {"valid_uar": 0.5})
    assert [tally.take(event) for event in (failure, failure, success, success, failure)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert not tally.take(Event("old", {"valid_uar": 0.5}))
    assert (list(tally.done), tally.failed) == (["a"], {})


class EnoughError(Exception):
    """Ends a run that would wait for ever."""


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_when_no_slot_can_come_the_user_is_told_what_is_missing(tmp_path: Path) -> None:
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        raise EnoughError

    cells = plan(tmp_path / "log", blocks=1, configurations=3)
    with pytest.raises(EnoughError):
        engine.run(
            cells, [{}] * 3, make_work, scratch=tmp_path, slots=2, gpus_per_cell=1.0, on_notice=hear, patience_s=1.0
        )
    assert said == [
        "3 cells wait and no slot has come for 1 s: a slot needs 1 CPU, 1 GPU; "
        "the cluster has 2 CPU, 0 GPU, of which 2 CPU, 0 GPU are free"
    ]


def test_a_trial_weighs_every_block_the_same() -> None:
    blocks = [({"valid_uar": 0.2}, {"valid_uar": 0.4}), ({"valid_uar": 0.9},)]
    assert mean_of_blocks(blocks, mean_language) == pytest.approx((0.3 + 0.9) / 2)


def test_a_plan_that_is_done_needs_no_ray(tmp_path: Path) -> None:
    cells = plan(tmp_path / "log", blocks=1, configurations=1)
    outcome = engine.run(cells, [{}], make_work, scratch=tmp_path, known=lambda: {"b0c0": {"valid_uar": 0.5}})
    assert outcome == engine.Outcome(0, (), False)


def test_an_impossible_plan_is_refused_in_one_line(tmp_path: Path) -> None:
    cells = plan(tmp_path / "log", blocks=1, configurations=2)
    with pytest.raises(UserError, match="no cells"):
        engine.run([], [], make_work, scratch=tmp_path)
    with pytest.raises(UserError, match="slots is 0; it must be at least 1"):
        engine.run(cells, [{}, {}], make_work, scratch=tmp_path, slots=0)
    with pytest.raises(UserError, match="twice"):
        engine.run([*cells, cells[0]], [{}, {}], make_work, scratch=tmp_path)
    with pytest.raises(UserError, match=r"configurations \[2\]"):
        engine.run(cells, [{}, {}, {}], make_work, scratch=tmp_path)


DRIVER = """
import sys
from pathlib import Path
from orchestrator import engine
from tests.noted_work import make_work, plan

def say(snapshot):
    print("running" if snapshot.running == 2 else "starting", flush=True)

engine.GRACE_S = 600.0  # the cells end at their next step, however long this machine takes for it
folder = Path(sys.argv[1])
cells = plan(folder / "log", blocks=4, configurations=2, seconds=60.0)
print(engine.run(cells, [{}, {}], make_work, scratch=folder / "scratch", slots=2, on_snapshot=say), flush=True)
"""


def interrupt(driver: int, number: signal.Signals) -> None:
    """Ctrl-C in a terminal reaches the whole process group, `kill` the driver alone."""
    if number is signal.SIGINT:
        os.killpg(driver, number)
    else:
        os.kill(driver, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_cells_at_their_next_step_and_leaves_soon_without_a_trace(
    tmp_path: Path, number: signal.Signals
) -> None:
    mark = f"foldwise-test-{os.getpid()}-{time.time_ns()}"
    root = Path(__file__).parents[1]
    surroundings = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env={**surroundings, "MARK": mark, "PYTHONPATH": str(root)},
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert driver.stdout is not None
    while driver.stdout.readline() != "running\n":
        assert driver.poll() is None
    assert len(marked(mark)) > 5
    interrupt(driver.pid, number)
    said, _ = driver.communicate(timeout=PATIENCE_S)
    assert said.splitlines()[-1].startswith("Outcome(done=0, failed=(), interrupted=True")
    assert len(notes(tmp_path / "log", "stopped")) == 2
    until(lambda: not marked(mark), PATIENCE_S)
    assert not list((tmp_path / "scratch").glob("*/held"))
    remove_left(tmp_path / "scratch")  # a trial may write once more as it ends; the next run does this
    assert list((tmp_path / "scratch").iterdir()) == []
