"""One cell on several ranks of torch.distributed, with the losses and gradients that it has on one rank.

Only the encoder's work is shared: each rank embeds its part of the batch, and the embeddings are `gathered` with
gradient (`embedded`). What follows (heads, batch norms, losses between clips) every rank computes on the whole batch:
it is small beside the encoder, nothing has to be synchronised in it, and every rank has the loss of one rank alone.

`gathered` gives back to a rank what the losses of all ranks ask of its part, added up. After `backward()` a rank's
gradients are therefore those of the sum of all losses through its own copy of the weights; `average_gradients` takes
their mean over the ranks, which is the gradient of the one loss, without a factor to correct.
(DistributedDataParallel averages likewise, but wants a `forward`.)

A process trains alone unless it says otherwise by `together`, even where torch.distributed is initialised: the slots of
a node are ranks of one group, and each works off cells of its own.

What is read from the disk or told by a person comes to all ranks `from_first`, and only the one that `leads` writes:
two ranks that find different things there would wait for each other for ever.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.errors import require

T = TypeVar("T")

_TOGETHER: ContextVar[bool] = ContextVar("together", default=False)


@contextmanager
def together() -> Iterator[None]:
    """Within it this process trains one cell with all ranks of torch.distributed; outside of it it trains alone.

    Every rank must enter it and do the same work. Without an initialised torch.distributed it changes nothing.
    """
    before = _TOGETHER.set(True)
    try:
        yield
    finally:
        _TOGETHER.reset(before)


def world() -> tuple[int, int]:
    """This process's rank and the number of ranks that train the cell: (0, 1) for a process that trains alone."""
    if _TOGETHER.get() and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def leads() -> bool:
    """Whether this process writes what a cell leaves: rank 0, or one that trains alone."""
    return world()[0] == 0


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives on rank 0, on every rank; the others do not call it.

    For what ranks may not decide each by itself: whether to stop, what a file holds. Every rank has to ask at the same
    places. It is pickled and goes over the CPUs' network.
    """
    rank, size = world()
    if size == 1:
        return make()
    box: list[T | None] = [make() if rank == 0 else None]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return cast(T, box[0])  # rank 0 put it there


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error says no more than that another rank is gone: it came out of torch.distributed itself."""
    if isinstance(error, dist.DistError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, RuntimeError) and bool(frames) and "/torch/distributed/" in frames[-1].filename


def share(batch: Tensor) -> Tensor:
    """This rank's contiguous part of a batch, as large as any other's; UserError where that does not come out even."""
    rank, size = world()
    require(len(batch) % size == 0, "the batch", len(batch), f"a multiple of {size}, the number of ranks")
    return batch.chunk(size)[rank] if size > 1 else batch


def gathered(part: Tensor) -> Tensor:
    """All ranks' parts along the first dimension, as the batch was before `share`, with gradient.

    `part` has the same shape on every rank; at one rank it is returned as it is.
    """
    size = world()[1]
    return part if size == 1 else torch.cat(_all_parts(part, size))


def embedded(encoder: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """The whole batch's embeddings, of which each rank's encoder computes its share.

    An encoder's own dropout draws otherwise on each rank (or clips of different ranks would lose the same units), and
    so not as on one rank; what is drawn afterwards is the same on all.
    """
    rank, size = world()
    if size == 1:
        return encoder(batch)
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(int(torch.randint(2**62, (1,))) + rank)
        own = encoder(share(batch))
    return gathered(own)


def _all_parts(part: Tensor, size: int) -> list[Tensor]:
    if part.requires_grad:
        from torch.distributed.nn import functional

        return list(functional.all_gather(part))
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(size)]
    dist.all_gather(parts, part.contiguous())
    return parts


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks, all in one exchange; to be called after `backward()`, before
    clipping.

    A rank without a gradient for a parameter counts as 0; a parameter without one on any rank keeps none.
    """
    size = world()[1]
    every = [parameter for parameter in parameters if parameter.requires_grad]
    if size == 1 or not every:
        return
    given = torch.tensor([parameter.grad is not None for parameter in every], dtype=torch.float32)
    dist.all_reduce(given)  # over the CPUs' network: a GPU need not be waited for
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in every]
    everything = torch.cat([gradient.float().flatten() for gradient in gradients])
    dist.all_reduce(everything)
    means = everything.div_(size).split([parameter.numel() for parameter in every])
    for parameter, count, mean in zip(every, given.tolist(), means, strict=True):
        if count:
            parameter.grad = mean.view_as(parameter).to(parameter.dtype)
