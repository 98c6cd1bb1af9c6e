"""Two processes that train a cell of the demo together, as a slot of two ranks does it, against one process alone."""

import os
import shutil
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.work import CellWork
from tests import test_stage_cells
from tests.test_cell import after, spec
from trainers import cell
from trainers.cell import Stopped, Workspace
from trainers.methods.configs import ClConfig
from trainers.ranks import together
from trainers.spec import CellSpec


def work_of(ground: Ground, store: Path) -> CellWork:
    return CellWork(ground.prepared.paths, {ground.encoder_fingerprint: ground.encoder_folder}, store, "hrl")


def rank_of_two(rank: int, folder: str, works: list[CellWork], asked: list[CellSpec]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    work, found = works[rank](), []
    for one in asked:
        steps: list[tuple[str, int]] = []
        with together():
            summary = work(one.as_dict(), lambda step, _, phase, steps=steps: steps.append((phase, step)), bool)
        found.append((steps, summary["valid_uar"]))
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def by_two(
    folder: Path, works: list[CellWork], asked: list[CellSpec]
) -> list[list[tuple[list[tuple[str, int]], float]]]:
    folder.mkdir(exist_ok=True)
    torch.multiprocessing.spawn(rank_of_two, (str(folder), works, asked), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def require_close(one: Mapping[str, float], other: Mapping[str, float]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), name


@pytest.mark.slow
def test_two_ranks_come_to_the_result_of_one_and_write_it_once(demo_ground: Ground, tmp_path: Path) -> None:
    asked = [spec(demo_ground), test_stage_cells.spec(demo_ground, ClConfig(clips_per_speaker=2))]
    store = tmp_path / "two"
    ranks = by_two(tmp_path / "ranks", [work_of(demo_ground, store)] * 2, [*asked, asked[0]])
    assert ranks[0] == ranks[1]
    assert [steps != [] for steps, _ in ranks[0]] == [True, True, False]  # what is done is not done again
    assert {phase for phase, _ in ranks[0][1][0]} == {"stage", "training", "scoring"}
    alone = Workspace(demo_ground.prepared, demo_ground.encoder_folder, tmp_path / "one", torch.device("cpu"))
    for one in asked:
        together_, apart = Ledger(store).read(one.key()), cell.run(one, alone)
        assert together_ is not None
        assert [row["predicted"] for row in together_.predictions] == [row["predicted"] for row in apart.predictions]
        for mine, theirs in zip(together_.history, apart.history, strict=True):
            require_close(mine, theirs)
    assert len(list(store.glob("stages/??/*/stage.json"))) == 1
    assert not list(store.glob("**/*.differs.json"))
    assert not list((store / "checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("who_has_one", [0, 1])
def test_ranks_that_see_different_checkpoints_do_what_the_first_one_sees(
    demo_ground: Ground, tmp_path: Path, who_has_one: int
) -> None:
    """A shared file system may show one node what it hides from another, and a rank that went on alone would hang."""
    asked, stores = spec(demo_ground), [tmp_path / "store0", tmp_path / "store1"]
    place = Workspace(demo_ground.prepared, demo_ground.encoder_folder, stores[who_has_one], torch.device("cpu"))
    with pytest.raises(Stopped):
        cell.run(asked, place, stopped=after(3))
    if who_has_one == 0:  # the other one's file is there once it is read
        shutil.copytree(stores[0], stores[1])
    ranks = by_two(tmp_path / "ranks", [work_of(demo_ground, store) for store in stores], [asked])
    first_step = 4 if who_has_one == 0 else 1
    for done in ranks:
        assert [step for phase, step in done[0][0] if phase == "training"] == list(range(first_step, 7))
