"""What a run on a Ray of its own starts, and when: the machine's cores are for its slots first."""

import threading
import uuid
from pathlib import Path

import pytest

from orchestrator import engine
from orchestrator.board import Snapshot
from orchestrator.cluster import RAY_THREAD
from orchestrator.trial import LIVE_TRIALS, live_trials
from tests.noted_work import make_work, marked, plan

COORDINATOR, TRIAL, TUNE = "AutoscalingCoordinator", "ray::ImplicitFunc", f"{RAY_THREAD} tune"
LOOKS = 3


@pytest.mark.slow
def test_trials_start_after_the_first_step_and_nobody_is_asked_for_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell goes on after a few looks at it; two others wait until a trial lives."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FOLDWISE_TEST", mark)
    first, trial_lives = tmp_path / "first", tmp_path / "trial_lives"
    cells = plan(tmp_path / "log", blocks=3, configurations=1, seconds=0.1, waits_for=str(trial_lives))
    cells[0].payload["waits_for"] = str(first)
    before: list[list[str]] = []
    after: list[str] = []

    def look(snapshot: Snapshot) -> None:
        titles = [command.partition("\0")[0].strip() for command in marked(mark)]
        titles += [thread.name for thread in threading.enumerate() if thread.name == TUNE]
        if snapshot.running and not snapshot.moving:
            before.append(titles)
            if len(before) == LOOKS:
                first.touch()
        if snapshot.moving:
            after.extend(titles)
            if any(title.startswith(TRIAL) for title in titles):
                trial_lives.touch()

    outcome = engine.run(cells, [{}], make_work, scratch=tmp_path / "scratch", slots=1, on_snapshot=look)
    assert outcome.done == 3
    assert len(before) >= LOOKS
    assert any(title.startswith("ray::RayTrainWorker") for title in before[0]), before[0]
    assert not [title for titles in before for title in titles if title == TUNE or title.startswith(TRIAL)]
    assert any(title.startswith(TRIAL) for title in after)
    assert not [title for titles in [*before, after] for title in titles if COORDINATOR in title]


def test_there_are_no_more_trials_than_cores_unless_configurations_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert [live_trials(count) for count in (1, 2, 12, 35, 300)] == [1, 2, 2, 4, LIVE_TRIALS]
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert [live_trials(count) for count in (1, 5, 300)] == [1, 5, LIVE_TRIALS]
