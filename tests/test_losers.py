"""What a race leaves on the disk: no checkpoint of a configuration that it dropped."""

from pathlib import Path

import pytest

import search_spaces
from orchestrator.answer import Answer, tracker
from orchestrator.ledger import Ledger
from orchestrator.plan import Request, plan
from orchestrator.run import Means, forget_losers, run_missing
from tests.synthetic_results import hits, result
from tests.unheard import ground


def test_dropped_configurations_lose_their_checkpoints_and_others_keep_theirs(tmp_path: Path) -> None:
    planned = plan("methods", search_spaces.load("methods"), ground(), Request(folds=(0,)))
    with_stage = [one.number for one in planned.configurations if any(cell.stage for cell in planned.of(one.number))]
    there_are = {cell.key for cell in planned.cells} | set(planned.stages) | {"of another sweep"}
    for key in there_are:
        (tmp_path / "checkpoints" / key).mkdir(parents=True)
        (tmp_path / "checkpoints" / key / "last.pt").touch()

    without = next(one.number for one in planned.configurations if one.number not in with_stage)
    forget_losers(tmp_path, planned, {without})
    gone = {cell.key for cell in planned.of(without)}
    assert left(tmp_path) == there_are - gone

    forget_losers(tmp_path, planned, {without, *with_stage})
    gone |= {cell.key for number in with_stage for cell in planned.of(number)} | set(planned.stages)
    assert left(tmp_path) == there_are - gone


def left(store: Path) -> set[str]:
    return {path.name for path in (store / "checkpoints").iterdir()}


def test_a_stage_that_several_share_goes_only_with_the_last_of_them(tmp_path: Path) -> None:
    planned = plan("trainable_layers", search_spaces.load("trainable_layers"), ground(), Request(folds=(0,)))
    (stage,) = planned.stages
    users = sorted({cell.configuration for cell in planned.cells if cell.stage and cell.configuration is not None})
    assert len(users) == 3
    (tmp_path / "checkpoints" / stage).mkdir(parents=True)
    forget_losers(tmp_path, planned, users[:2])
    assert left(tmp_path) == {stage}
    forget_losers(tmp_path, planned, users)
    assert left(tmp_path) == set()


@pytest.mark.slow
def test_a_run_leaves_no_checkpoint_of_those_that_were_beaten(tmp_path: Path) -> None:
    """All that is still in the race is done; what an interrupted run left of the others goes."""
    sweep = search_spaces.load("byol_tau")
    stood = ground()
    object.__setattr__(stood.prepared, "paths", ())  # no slot will open them
    planned = plan("byol_tau", sweep, stood, Request(folds=(0,)))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    answer = Answer(sweep, stood, planned, Ledger(tmp_path), uri, "command")
    for cell in [*planned.of(0), *planned.of(1), *planned.floors]:
        answer.ledger.write(result(cell.spec, hits(8, 8, 8, 8), {"urdu": hits(7, 7, 7, 7)}))
    beaten = planned.of(2)[0].key
    (tmp_path / "checkpoints" / beaten).mkdir(parents=True)
    _, outcome = run_missing(answer, tracker(answer), Means(), beaten={2: "dropped after 1 of 5 blocks"})
    assert dict(outcome.dropped) == {2: "dropped after 1 of 5 blocks"}
    assert left(tmp_path) == set()
