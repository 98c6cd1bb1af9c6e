"""Each method's first step by two processes, through its own losses and with dropout, against one process alone."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests.staged_world import method, stage
from trainers.audio.draws import stable_seed
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, SupConConfig
from trainers.ranks import average_gradients, together

SMALL_BYOL = partial(ByolConfig, projector_hidden=32, projection=8, tau_horizon="paper", dropout=0.5)
CL = partial(ClConfig, clips_per_speaker=2)

CASES: dict[str, Callable[[], nn.Module]] = {
    "baseline": lambda: method(BaselineConfig(dropout=0.5, views=2)),
    "baseline with attention": lambda: method(BaselineConfig(dropout=0.5, pooling="attention")),
    "baseline of few layers": lambda: method(BaselineConfig(dropout=0.5, trainable_layers=1)),
    "byol": lambda: method(SMALL_BYOL()),
    "byol per source": lambda: method(SMALL_BYOL(bn_per_source=True)),
    "cl": lambda: stage(CL()),
    "cl with projection": lambda: stage(CL(adapt_projection=8, denominator="negatives+positive")),
    "supcon": lambda: stage(SupConConfig(adapt_projection=8)),
    "supcon with attention": lambda: stage(SupConConfig(adapt_projection=8, pooling="attention")),
    "supcon across corpora": lambda: stage(SupConConfig(positives="cross-corpus", contrast="info_nce")),
    "supcon with classes": lambda: stage(SupConConfig(margin_form="classes")),
    "supcon with triplets": lambda: stage(SupConConfig(margin_form="triplets")),
}


def first_step(case: str) -> dict[str, Tensor]:
    """All losses, gradients and running statistics of step 0, as the training loop comes to them."""
    made = CASES[case]()
    made.train()
    torch.manual_seed(stable_seed(0, "dropout", 0))
    losses = made.losses(0)
    losses["total"].backward()
    parameters = dict(made.named_parameters())
    average_gradients(parameters.values())
    gradients = {f"gradient of {name}": p.grad for name, p in parameters.items() if p.grad is not None}
    told = {f"loss {name}": loss.detach() for name, loss in losses.items()}
    return {**told, **gradients, **dict(made.named_buffers())}


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    with together():
        found = {case: first_step(case) for case in CASES}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("method_ranks")
    torch.multiprocessing.spawn(rank_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_first_step_of_two_ranks_is_that_of_one(case: str, two_ranks: list[dict[str, dict[str, Tensor]]]) -> None:
    one = first_step(case)
    assert sum("gradient" in name for name in one) > 10
    assert max(float(value.abs().max()) for name, value in one.items() if "gradient" in name) > 1e-2
    for found in two_ranks:
        assert found[case].keys() == one.keys()
        for name, wanted in one.items():
            assert torch.allclose(found[case][name], wanted, rtol=1e-5, atol=1e-5), name
    assert all(torch.equal(two_ranks[0][case][name], two_ranks[1][case][name]) for name in one)


@pytest.mark.slow
def test_dropout_was_on() -> None:
    on, off = first_step("baseline"), method(BaselineConfig(dropout=0.0, views=2)).losses(0)
    assert not torch.allclose(on["loss total"], off["total"])
