"""In which order the board is given a plan's cells."""

from itertools import groupby
from pathlib import Path

import pytest
from ray import tune

from orchestrator.answer import Answer
from orchestrator.cells import cells_of
from orchestrator.choosing import Choice
from orchestrator.ledger import Ledger
from orchestrator.messages import Cell
from orchestrator.plan import Request, plan
from search_spaces import Sweep
from tests.unheard import ground
from trainers.methods.configs import ByolConfig

VIEWS = (2, 5, 1, 4, 3, 6)


def answer(store: Path, race: bool) -> Answer:
    sweep = Sweep("?", ByolConfig(), axes={"views": tune.grid_search(list(VIEWS))}, seeds=(0, 1))
    place = ground()
    made = plan("views", sweep, place, Request(languages=("demo-arda",)))
    return Answer(sweep, place, made, Ledger(store), None, "views", Choice(race=race))


def views_of_blocks(cells: list[Cell]) -> list[list[int]]:
    own = [cell for cell in cells if cell.configuration is not None]
    return [[cell.payload["config"]["views"] for cell in block] for _, block in groupby(own, lambda cell: cell.block)]


@pytest.mark.parametrize("race", [True, False])
def test_a_race_s_blocks_come_in_their_order_and_their_longest_cells_first(tmp_path: Path, race: bool) -> None:
    asked = answer(tmp_path, race)
    found = cells_of(asked)
    wanted = [6, 5, 4, 3, 2, 1] if race else list(VIEWS)
    assert views_of_blocks(found) == [wanted] * 10
    assert {cell.key for cell in found} == {cell.key for cell in asked.plan.cells + asked.plan.floors}
    assert all((cell.cost == 0) == race for cell in found if cell.configuration is not None)
