"""The benchmark of packed cells: how its figures are reckoned, and that it runs where there is no GPU."""

import os
import subprocess
import sys

import pytest

from tests.benchmarks.packed import Asked, Took, rate, table


def took(began: float, ended: float) -> Took:
    return Took(began, ended, 2 * 10**9, 0)


def test_the_rate_counts_all_steps_over_the_seconds_in_which_any_cell_trained() -> None:
    assert rate([took(10.0, 14.0)], steps=20) == 5.0
    assert rate([took(10.0, 16.0), took(11.0, 18.0)], steps=20) == 5.0  # 40 steps in 8 s


def test_a_ratio_is_that_of_one_round_and_not_of_the_medians() -> None:
    """Two cells are twice as quick in each of three rounds, though the machine is four times slower in the last."""
    alone = [[took(0.0, seconds)] for seconds in (4.0, 4.0, 16.0)]
    pairs = [[took(0.0, seconds)] * 2 for seconds in (4.0, 4.0, 16.0)]
    shown = table({1: alone, 2: pairs}, Asked("cpu", "tiny.en", 4, 20, 1))
    columns = [list(column.cells) for column in shown.columns]
    assert columns == [["1", "2"], ["5.00", "10.00"], ["200.0", "200.0"], ["1.00", "2.00"], ["2.00", "2.00"]]


@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_a_line_and_can_be_tried() -> None:
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "tests.benchmarks.packed", *words]
        return subprocess.run(
            command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=True
        ).stdout

    assert said().splitlines() == ["no CUDA GPU here, so no cells share one; --device cpu tries the script"]
    tiny = ("--encoder", "smallest", "--batch", "4", "--steps", "1", "--rounds", "1", "--cells", "2")
    assert "BYOL cells, 4 + 4 clips of 3 s, smallest, on cpu" in said("--device", "cpu", *tiny)
