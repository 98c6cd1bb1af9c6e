"""Which trainings are stopped because their embeddings collapsed, and which are not."""

import pytest

from trainers.health import CollapsedError, require_alive


def row(step: int, spreads: dict[str, float], **figures_: float) -> dict[str, float]:
    return {"step": float(step), **{f"embedding/std/{name}": value for name, value in spreads.items()}, **figures_}


START = row(0, {"home": 0.3, "away": 0.2})
DEAD = {"home": 0.029, "away": 0.001}


def test_two_looks_in_a_row_at_nothing_stop_a_training_and_the_message_has_the_numbers() -> None:
    history = [row(10, {"home": 0.3, "away": 0.2}), row(20, DEAD, train_uar=0.25), row(30, DEAD, train_uar=0.25)]
    with pytest.raises(CollapsedError) as stopped:
        require_alive(START, history)
    said = "embeddings alike at steps 20 and 30, their spread as a share of step 0's 0.097 (home), 0.005 (away)"
    assert str(stopped.value) == f"{said}; UAR of training clips 0.25"


@pytest.mark.parametrize(
    "history",
    [
        [row(10, DEAD)],
        [row(10, DEAD), row(20, {"home": 0.2, "away": 0.1})],
        [row(10, {"home": 0.2, "away": 0.1}), row(20, DEAD)],
        [row(10, {"home": 0.031, "away": 0.001})] * 2,
        [row(10, DEAD, train_uar=0.31)] * 2,
        [{"step": 10.0, "loss/total": 0.0}] * 3,
    ],
    ids=["once", "recovered", "the first time", "one corpus lives", "training clips are told apart", "never looked"],
)
def test_less_than_that_stops_nothing(history: list[dict[str, float]]) -> None:
    require_alive(START, history)


def test_rows_between_two_looks_do_not_part_them() -> None:
    with pytest.raises(CollapsedError):
        require_alive(START, [row(10, DEAD), {"step": 15.0, "loss/total": 0.1}, row(20, DEAD)])


def test_a_training_without_figures_of_step_0_is_never_stopped() -> None:
    require_alive({}, [row(10, DEAD), row(20, DEAD)])
    require_alive(row(0, {"home": 0.0, "away": 0.0}), [row(10, DEAD), row(20, DEAD)])
