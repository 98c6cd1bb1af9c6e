"""A short soak: three kills at random moments of a real sweep. The long one is `python -m tests.faults`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.soak import Soak


@pytest.mark.slow
def test_a_sweep_whose_processes_are_killed_ends_with_every_cell_once_and_the_same_bits() -> None:
    with TemporaryDirectory(prefix="soak", ignore_cleanup_errors=True) as folder:  # Ray wants a short path
        soak = Soak(Path(folder), kills=3, minutes=float("inf"), seed=0)
        soak.run()
    assert len(soak.done) == 3
    assert soak.verdict.is_clean, soak.verdict
    assert not any(kill.hung for kill in soak.done)
