"""Two processes with half of a batch each against one with all of it: same loss, gradients, running statistics."""

import copy
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.errors import UserError
from trainers.losses import byol_regression, cross_entropy, info_nce, nt_xent, pairwise_nt_xent, sup_con
from trainers.margin_losses import cosface, cosine_pairs
from trainers.ranks import SyncedBatchNorm1d, average_gradients, averaged, gathered, share, together, world

LABELS = torch.arange(4).repeat_interleave(4)
CORPORA = torch.tensor([0, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(view: int = 0) -> Tensor:
    return random(view, 16, 6) + random(9, 4, 6)[LABELS]


def build(norm: type[nn.BatchNorm1d]) -> nn.ModuleDict:
    torch.manual_seed(5)
    encoder = nn.Sequential(nn.Linear(6, 16), norm(16), nn.ReLU(), nn.Linear(16, 5))
    target, predictor = copy.deepcopy(encoder), nn.Sequential(nn.Linear(5, 8), norm(8), nn.ReLU(), nn.Linear(8, 5))
    parts = {"encoder": encoder, "predictor": predictor, "target": target, "classes": nn.Linear(5, 4)}
    return nn.ModuleDict(parts)


def embedded(model: nn.ModuleDict, blocks: int = 1, view: int = 0) -> Tensor:
    return gathered(model["encoder"](share(clips(view), blocks)), blocks)


def byol(model: nn.ModuleDict, blocks: int) -> Tensor:
    views = [share(clips(view), 2).chunk(blocks) for view in (0, 1)]
    predictions = [model["predictor"](torch.cat([model["encoder"](part) for part in view])) for view in views]
    with torch.no_grad():
        targets = [torch.cat([model["target"](part) for part in view]) for view in views]
    return byol_regression(predictions[0], targets[1]) + byol_regression(predictions[1], targets[0])


def mixed(model: nn.ModuleDict) -> Tensor:
    own = model["encoder"](share(clips(), 4))
    known = cross_entropy(model["classes"](own), share(LABELS, 4))
    return 0.3 * known + 0.7 * sup_con(gathered(own, 4), gathered(share(LABELS, 4), 4), 0.2)


CASES: dict[str, Callable[[nn.ModuleDict], Tensor]] = {
    "nt_xent": lambda model: nt_xent(embedded(model), gathered(share(LABELS)), 0.2),
    "nt_xent+positive": lambda model: nt_xent(embedded(model, 2), LABELS, 0.2, "negatives+positive"),
    "sup_con": lambda model: sup_con(embedded(model), LABELS, 0.1),
    "sup_con across": lambda model: sup_con(embedded(model), LABELS, 0.1, allowed=CORPORA[:, None] != CORPORA),
    "info_nce": lambda model: info_nce(embedded(model, 4), LABELS, 0.1, generator=torch.Generator().manual_seed(1)),
    "pairwise": lambda model: pairwise_nt_xent([embedded(model, 1, view) for view in range(3)], 0.1),
    "pairwise intra": lambda model: pairwise_nt_xent(
        [embedded(model, 1, view) for view in (0, 1)], 0.1, intra_view=True
    ),
    "cosine pairs": lambda model: cosine_pairs(embedded(model), LABELS, 0.2),
    "cosface": lambda model: cosface(embedded(model), LABELS, model["classes"].weight, 0.35, 10.0),
    "byol": lambda model: byol(model, 1),
    "byol per source": lambda model: byol(model, 2),
    "cross-entropy": lambda model: cross_entropy(model["classes"](model["encoder"](share(clips()))), share(LABELS)),
    "mixed": mixed,
}


def first_step(case: str, norm: type[nn.BatchNorm1d]) -> dict[str, Tensor]:
    """Loss, gradients and running statistics of the first step."""
    model = build(norm)
    loss = CASES[case](model)
    loss.backward()
    average_gradients(model.parameters())
    gradients = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": averaged(loss), **gradients, **dict(model.named_buffers())}


def uneven_norm() -> dict[str, Tensor]:
    """Three clips on rank 0 and five on rank 1, far from 0 beside their spread, (n, channels, length)."""
    everything = (random(0, 8, 2, 3) + 1000).requires_grad_()
    own = everything[:3] if world()[0] == 0 else everything[3:]
    norm = SyncedBatchNorm1d(2, momentum=None)
    normal = norm(own)
    (normal * (random(1, 8, 2, 3)[:3] if world()[0] == 0 else random(1, 8, 2, 3)[3:])).sum().backward()
    assert everything.grad is not None
    return {"normal": normal.detach(), "gradient": everything.grad, **norm.state_dict()}


def gradients_of_some() -> list[Tensor | None]:
    """A parameter that only rank 0 has a gradient for, one that none has, and a frozen one."""
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1), False)]
    if world()[0] == 0:
        parameters[0].grad = torch.tensor([2.0, 6.0])
    average_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def refusal() -> str:
    try:
        share(range(15))
    except UserError as error:
        return str(error)
    return ""


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    found: dict[str, Any] = {"alone": (world(), share(range(4)), gathered(torch.ones(1)))}
    with together():
        found["world"] = world()
        found |= {case: first_step(case, SyncedBatchNorm1d) for case in CASES}
        found |= {"share": share("abcdefgh"), "share of blocks": share(torch.arange(8), 2)}
        found["back"] = [gathered(share(torch.arange(8), blocks), blocks) for blocks in (1, 2, 4)]
        found["flags"] = gathered(torch.tensor([rank == 0]))
        found |= {"uneven": uneven_norm(), "some": gradients_of_some(), "refusal": refusal()}
        found["averaged"] = averaged(torch.tensor([1.0 + rank, float("nan") if rank else 0.0]))
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(rank_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_have_the_loss_gradients_and_statistics_of_one(case: str, two_ranks: list[dict[str, Any]]) -> None:
    one = first_step(case, nn.BatchNorm1d)
    assert max(float(value.abs().max()) for name, value in one.items() if "gradient" in name) > 0.01
    for found in two_ranks:
        assert found[case].keys() == one.keys()
        for name, wanted in one.items():
            assert torch.allclose(found[case][name], wanted, rtol=1e-5, atol=1e-5), name
    assert all(torch.equal(two_ranks[0][case][name], two_ranks[1][case][name]) for name in one)


@pytest.mark.slow
def test_a_process_of_a_group_is_alone_until_it_trains_together(two_ranks: list[dict[str, Any]]) -> None:
    assert all(found["alone"] == ((0, 1), [0, 1, 2, 3], torch.ones(1)) for found in two_ranks)
    assert [found["world"] for found in two_ranks] == [(0, 2), (1, 2)]


@pytest.mark.slow
def test_shares_are_contiguous_in_each_block_and_gathering_puts_them_back(two_ranks: list[dict[str, Any]]) -> None:
    assert ["".join(found["share"]) for found in two_ranks] == ["abcd", "efgh"]
    assert [found["share of blocks"].tolist() for found in two_ranks] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    for found in two_ranks:
        assert [back.tolist() for back in found["back"]] == [list(range(8))] * 3
        assert found["flags"].tolist() == [True, False]
        assert found["refusal"] == "the batch is 15; it must be a multiple of 2 (2 ranks, 1 blocks)"


@pytest.mark.slow
def test_a_synced_norm_of_uneven_batches_far_from_zero_is_that_of_all_clips(two_ranks: list[dict[str, Any]]) -> None:
    everything = (random(0, 8, 2, 3) + 1000).double().requires_grad_()
    norm = nn.BatchNorm1d(2, momentum=None).double()
    normal = norm(everything)
    (normal * random(1, 8, 2, 3)).sum().backward()
    found = [ranked["uneven"] for ranked in two_ranks]
    assert torch.allclose(torch.cat([part["normal"] for part in found]).double(), normal, atol=1e-3)
    assert everything.grad is not None
    assert torch.allclose(sum(part["gradient"] for part in found).double(), everything.grad, atol=1e-3)
    for part in found:
        assert all(
            torch.allclose(part[name].double(), value.double(), rtol=1e-5) for name, value in norm.state_dict().items()
        )


@pytest.mark.slow
def test_a_gradient_that_only_one_rank_has_is_halved_and_one_that_none_has_stays_absent(
    two_ranks: list[dict[str, Any]],
) -> None:
    for found in two_ranks:
        assert found["some"][0].tolist() == [1.0, 3.0]
        assert found["some"][1:] == [None, None]


@pytest.mark.slow
def test_a_mean_over_ranks_is_the_same_everywhere_and_shows_the_nan_of_one(two_ranks: list[dict[str, Any]]) -> None:
    for found in two_ranks:
        assert found["averaged"][0] == 1.5
        assert found["averaged"][1].isnan()


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
def test_at_one_rank_the_synced_norm_is_torchs_and_its_state_fits(options: dict[str, Any]) -> None:
    ours, torchs = SyncedBatchNorm1d(6, **options), nn.BatchNorm1d(6, **options)
    for _ in range(3):
        assert torch.equal(ours(clips()), torchs(clips()))
    assert torch.equal(ours.eval()(clips(1)), torchs.eval()(clips(1)))
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    assert all(torch.equal(value, torchs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_without_torch_distributed_training_together_is_training_alone() -> None:
    with together():
        batch = torch.arange(3)
        assert world() == (0, 1)
        assert share(batch) is gathered(batch) is batch
        assert averaged(torch.tensor(2.5)) == 2.5
