"""Two processes that embed half of a batch each against one that embeds it all: same losses, gradients, statistics."""

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
from trainers.ranks import (
    average_gradients,
    embedded,
    from_first,
    gathered,
    is_lost_peer,
    leads,
    share,
    together,
    world,
)

LABELS = torch.arange(4).repeat_interleave(4)
CORPORA = torch.tensor([0, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(view: int = 0) -> Tensor:
    return random(view, 16, 6) + random(9, 4, 6)[LABELS]


def build() -> nn.ModuleDict:
    """An encoder, a head with dropout, and what BYOL has beside them, with batch norm."""
    torch.manual_seed(5)
    encoder = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 5))
    mlps = {name: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)) for name in "gq"}
    target = copy.deepcopy(encoder).requires_grad_(False)
    classes = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 4))
    return nn.ModuleDict({"encoder": encoder, "target": target, "classes": classes, **mlps})


def z(model: nn.ModuleDict, view: int = 0) -> Tensor:
    return embedded(model["encoder"], clips(view))


def byol(model: nn.ModuleDict, parts: int) -> Tensor:
    """Both directions; batch norm over all clips, or over each of `parts` sources by itself."""
    online = embedded(model["encoder"], torch.cat([clips(0), clips(1)])).chunk(2)
    with torch.no_grad():
        aimed = embedded(model["target"], torch.cat([clips(1), clips(0)])).chunk(2)

    def projected(y: Tensor) -> Tensor:
        return torch.cat([model["g"](part) for part in y.chunk(parts)])

    return torch.stack(
        [byol_regression(model["q"](projected(y)), projected(t)) for y, t in zip(online, aimed, strict=True)]
    ).sum()


CASES: dict[str, Callable[[nn.ModuleDict], Tensor]] = {
    "nt_xent": lambda model: nt_xent(z(model), LABELS, 0.2),
    "nt_xent+positive": lambda model: nt_xent(z(model), LABELS, 0.2, "negatives+positive"),
    "sup_con": lambda model: sup_con(z(model), LABELS, 0.1),
    "sup_con across": lambda model: sup_con(z(model), LABELS, 0.1, allowed=CORPORA[:, None] != CORPORA),
    "info_nce": lambda model: info_nce(z(model), LABELS, 0.1, generator=torch.Generator().manual_seed(1)),
    "pairwise": lambda model: pairwise_nt_xent([z(model, view) for view in range(3)], 0.1),
    "pairwise intra": lambda model: pairwise_nt_xent([z(model, view) for view in (0, 1)], 0.1, intra_view=True),
    "cosine pairs": lambda model: cosine_pairs(z(model), LABELS, 0.2),
    "cosface": lambda model: cosface(z(model), LABELS, model["classes"][1].weight, 0.35, 10.0),
    "byol": lambda model: byol(model, 1),
    "byol per source": lambda model: byol(model, 2),
    "cross-entropy": lambda model: cross_entropy(model["classes"](z(model)), LABELS),
    "mixed": lambda model: (
        0.3 * cross_entropy(model["classes"](z(model)), LABELS) + 0.7 * sup_con(z(model, 1), LABELS, 0.2)
    ),
}


def first_step(case: str) -> dict[str, Tensor]:
    """Loss, gradients and running statistics of the first step."""
    model = build()
    torch.manual_seed(7)
    loss = CASES[case](model)
    loss.backward()
    average_gradients(model.parameters())
    gradients = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients, **dict(model.named_buffers())}


def gradients_of_some() -> list[Tensor | None]:
    """A parameter that only rank 0 has a gradient for, one that none has, and a frozen one."""
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1), False)]
    if world()[0] == 0:
        parameters[0].grad = torch.tensor([2.0, 6.0])
    average_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def refusal() -> str:
    try:
        share(torch.arange(15))
    except UserError as error:
        return str(error)
    return ""


def dropped() -> tuple[Tensor, Tensor]:
    """Which of 2 · 64 units an encoder's dropout left, and what a head's dropout leaves after it."""
    torch.manual_seed(3)
    return embedded(nn.Dropout(0.5), torch.ones(2, 64)), nn.Dropout(0.5)(torch.ones(64))


def join_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60))


def rank_of_two(rank: int, folder: str) -> None:
    join_two(rank, folder)
    found: dict[str, Any] = {"alone": (world(), share(torch.arange(4)), gathered(torch.ones(1)))}
    with together():
        found["world"] = world()
        found |= {case: first_step(case) for case in CASES}
        found |= {"share": share(torch.arange(8)), "back": gathered(share(torch.arange(8)))}
        found["flags"] = gathered(torch.tensor([rank == 0]))
        found["first"] = (leads(), from_first(lambda: {"from": rank}), from_first(lambda: rank == 1))
        found |= {"some": gradients_of_some(), "refusal": refusal(), "dropped": dropped()}
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
    one = first_step(case)
    assert max(float(value.abs().max()) for name, value in one.items() if "gradient" in name) > 0.01
    for found in two_ranks:
        assert found[case].keys() == one.keys()
        for name, wanted in one.items():
            assert torch.allclose(found[case][name], wanted, rtol=1e-5, atol=1e-5), name
    assert all(torch.equal(two_ranks[0][case][name], two_ranks[1][case][name]) for name in one)


@pytest.mark.slow
def test_a_process_of_a_group_is_alone_until_it_trains_together(two_ranks: list[dict[str, Any]]) -> None:
    for found in two_ranks:
        place, own, part = found["alone"]
        assert (place, own.tolist(), part.tolist()) == ((0, 1), [0, 1, 2, 3], [1.0])
    assert [found["world"] for found in two_ranks] == [(0, 2), (1, 2)]


@pytest.mark.slow
def test_shares_are_contiguous_and_gathering_puts_them_back(two_ranks: list[dict[str, Any]]) -> None:
    assert [found["share"].tolist() for found in two_ranks] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for found in two_ranks:
        assert found["back"].tolist() == list(range(8))
        assert found["flags"].tolist() == [True, False]
        assert found["refusal"] == "the batch is 15; it must be a multiple of 2, the number of ranks"


@pytest.mark.slow
def test_what_comes_from_the_first_rank_is_the_same_on_every_rank_and_only_the_first_leads(
    two_ranks: list[dict[str, Any]],
) -> None:
    assert [found["first"] for found in two_ranks] == [(True, {"from": 0}, False), (False, {"from": 0}, False)]


def backward(_: int) -> None:
    part = torch.ones(2, requires_grad=True)
    whole = gathered(part)
    leave_one_out()
    whole.sum().backward()


def exchange(_: int) -> None:
    parameter = nn.Parameter(torch.ones(2))
    leave_one_out()
    average_gradients([parameter])


def ask(rank: int) -> None:
    leave_one_out()
    from_first(lambda: rank)


def own_fault(rank: int) -> None:
    gathered(torch.ones(2))
    if rank == 0:
        raise RuntimeError("shapes do not fit")


def leave_one_out() -> None:
    if world()[0] == 1:
        os._exit(0)


WAYS: dict[str, Callable[[int], None]] = {
    "backward": backward,
    "exchange": exchange,
    "ask": ask,
    "own fault": own_fault,
}


def rank_that_may_be_left(rank: int, folder: str, way: str) -> None:
    join_two(rank, folder)
    with together():
        try:
            WAYS[way](rank)
        except Exception as error:
            (Path(folder) / f"{rank}.txt").write_text(str(is_lost_peer(error)))
    os._exit(0)  # gloo's own threads may abort a process that ends without its peer


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_error_because_the_other_rank_is_gone_is_told_from_a_ranks_own(way: str, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_that_may_be_left, (str(tmp_path), way), nprocs=2)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.txt")} == {"0.txt": str(way != "own fault")}


@pytest.mark.slow
def test_a_gradient_that_only_one_rank_has_is_halved_and_one_that_none_has_stays_absent(
    two_ranks: list[dict[str, Any]],
) -> None:
    for found in two_ranks:
        assert found["some"][0].tolist() == [1.0, 3.0]
        assert found["some"][1:] == [None, None]


@pytest.mark.slow
def test_an_encoders_dropout_differs_between_ranks_and_what_is_drawn_after_it_does_not(
    two_ranks: list[dict[str, Any]],
) -> None:
    (encoded, after), (same_encoded, same_after) = (found["dropped"] for found in two_ranks)
    assert torch.equal(encoded, same_encoded)
    assert torch.equal(after, same_after)
    assert 0 < int((encoded[0] != encoded[1]).sum()) < 64


def test_without_torch_distributed_training_together_is_training_alone() -> None:
    with together():
        batch = torch.arange(3)
        assert world() == (0, 1)
        assert share(batch) is gathered(batch) is embedded(lambda own: own, batch) is batch
        assert leads()
        assert from_first(lambda: batch) is batch
