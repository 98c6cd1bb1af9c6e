"""Sweeps: every shipped one loads and says how to run it; a user's broken one is told in one line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import tune

import search_spaces
from search_spaces import Sweep
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig

NAMES = search_spaces.names()


def swept(axes: dict[str, Any]) -> Sweep:
    return Sweep("?", ByolConfig(), axes=axes)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Puts a file among the sweeps and gives its name."""
    search_spaces.__path__.append(str(tmp_path))

    def put(text: str) -> str:
        (tmp_path / "mine.py").write_text(text)
        return "mine"

    yield put
    search_spaces.__path__.remove(str(tmp_path))
    sys.modules.pop("search_spaces.mine", None)


def refusal(name: str) -> str:
    with pytest.raises(UserError) as told:
        search_spaces.load(name)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_sweep_asks_a_question_names_its_source_and_its_command(name: str) -> None:
    sweep = search_spaces.load(name)
    told = sys.modules[f"search_spaces.{name}"].__doc__ or ""
    assert sweep.question.endswith("?")
    assert told.splitlines()[0].endswith("?")
    assert f"\nRun: python -m orchestrator.sweep {name}\n" in told
    assert "\nSource: " in told
    assert (name, sweep.question) in list(search_spaces.questions())


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_of_a_shipped_sweep_is_one_of_its_points(name: str) -> None:
    sweep = search_spaces.load(name)
    points = [point.named() for point in sweep.points(map(search_spaces.called, sweep.encoders))]
    assert points.count(dict(sweep.reference)) == 1


def test_byol_lambda_holds_the_papers_schedule_and_training_without_byol() -> None:
    points = [(point["lambda_start"], point["lambda_end"]) for point in search_spaces.load("byol_lambda").grid()]
    assert points == [(0.8, 0.2), (0.2, 0.2), (0.5, 0.5), (0.8, 0.8), (0.0, 0.0)]


def test_byol_tau_holds_the_three_momenta() -> None:
    assert search_spaces.load("byol_tau").grid() == [{"tau": 0.99}, {"tau": 0.996}, {"tau": 0.999}]


# --- grids


def test_a_grid_is_every_combination_with_the_last_axis_moving_fastest() -> None:
    sweep = swept({"tau": tune.grid_search([0.9, 0.99]), "steps": tune.grid_search([100, 200, 300])})
    assert [tuple(point.values()) for point in sweep.grid()] == [
        (0.9, 100),
        (0.9, 200),
        (0.9, 300),
        (0.99, 100),
        (0.99, 200),
        (0.99, 300),
    ]


def test_settings_of_a_joint_axis_move_together() -> None:
    sweep = swept({"lambda_start, lambda_end": tune.grid_search([(0.8, 0.2), (0, 0)]), "tau": tune.grid_search([0.9])})
    assert sweep.grid() == [
        {"lambda_start": 0.8, "lambda_end": 0.2, "tau": 0.9},
        {"lambda_start": 0, "lambda_end": 0, "tau": 0.9},
    ]


def test_a_sweep_without_axes_is_one_point() -> None:
    assert swept({}).grid() == [{}]


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ({"tau": [0.9]}, "axis 'tau' is [0.9]; it must be tune.grid_search([...]) with at least one value"),
        ({"tau": 0.9}, "axis 'tau' is 0.9; it must be tune.grid_search([...]) with at least one value"),
        (
            {"tau": {"grid_search": 5}},
            "axis 'tau' is {'grid_search': 5}; it must be tune.grid_search([...]) with at least one value",
        ),
        ({"tau": tune.grid_search([])}, "axis 'tau' is {'grid_search': []}; it must be tune.grid_search([...]) with"),
        ({"a, b": tune.grid_search([0.8])}, "axis 'a, b' has the point 0.8; it must be a tuple of 2 values"),
        ({"a, b": tune.grid_search(["cd"])}, "axis 'a, b' has the point 'cd'; it must be a tuple of 2 values"),
        ({"a, b": tune.grid_search([(1, 2, 3)])}, "axis 'a, b' has the point (1, 2, 3); it must be a tuple of 2"),
        (
            {"tau": tune.grid_search([1]), "tau, steps": tune.grid_search([(0, 1)])},
            "tau is in two axes: 'tau', 'tau, steps'",
        ),
    ],
)
def test_a_bad_axis_is_told_with_its_rule(axes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as told:
        swept(axes).grid()
    assert str(told.value).startswith(line)
    assert "\n" not in str(told.value)


# --- files


def test_an_unknown_sweep_is_answered_with_those_there_are() -> None:
    assert refusal("byol_tua") == f"unknown sweep 'byol_tua'; there are: {', '.join(search_spaces.names())}"


@pytest.mark.parametrize("name", ["", "../trainers", "__init__", "byol_tau.py", "search_spaces.byol_tau"])
def test_what_is_no_plain_name_is_unknown(name: str) -> None:
    assert refusal(name).startswith(f"unknown sweep {name!r}; there are: ")


def test_a_users_own_file_is_a_sweep(file: Callable[[str], str]) -> None:
    name = file(
        "from search_spaces import Sweep\nfrom trainers.methods.configs import BaselineConfig\n"
        "SWEEP = Sweep('Why?', BaselineConfig(views=2))\n"
    )
    assert search_spaces.load(name).config.views == 2
    assert "mine" in search_spaces.names()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SWEEP = Sweep(\n", "search_spaces/mine.py does not load: SyntaxError: '(' was never closed"),
        ("SWEEP = Sweep()\n", "search_spaces/mine.py does not load: NameError: name 'Sweep' is not defined"),
        ("import torhc\n", "search_spaces/mine.py does not load: ModuleNotFoundError: No module named 'torhc'"),
        ("raise ValueError('one\\ntwo')\n", "search_spaces/mine.py does not load: ValueError: one"),
        ("sweep = 3\n", "search_spaces/mine.py must define SWEEP = Sweep(...)"),
        ("SWEEP = {'tau': 3}\n", "search_spaces/mine.py must define SWEEP = Sweep(...)"),
        (
            "from trainers.methods.configs import ByolConfig\nSWEEP = ByolConfig(tau=2.0)\n",
            "search_spaces/mine.py: tau is 2.0; it must be between 0 and 1",
        ),
        (
            "from trainers.methods.configs import ByolConfig\nSWEEP = ByolConfig(tua=0.9)\n",
            "search_spaces/mine.py does not load: TypeError: ",
        ),
    ],
)
def test_a_users_broken_file_is_told_in_one_line(file: Callable[[str], str], text: str, line: str) -> None:
    assert refusal(file(text)).startswith(line)
