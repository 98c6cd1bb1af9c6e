"""One cell on several ranks of torch.distributed, with the losses and gradients that it has on one rank.

The convention: every rank has a loss, and what is descended is the mean of all ranks' losses.

- A loss that is a mean over clips (cross-entropy, BYOL) is that of the rank's own `share` of the batch. Shares are of
  equal size, so the mean of their means is the mean over the batch.
- A loss between clips (NT-Xent, SupCon, Pairwise-CL, margins) is computed by every rank over the embeddings of all,
  `gathered` with gradient. All ranks have the same loss, and so their mean is that loss.

`gathered` and `SyncedBatchNorm1d` give back to a rank what the losses of all ranks ask of its part, added up. After
`backward()` a rank's gradients are therefore those of the sum of all losses through its own copy of the weights;
`average_gradients` takes their mean over the ranks, which is the gradient of the mean loss: of one rank with the whole
batch, without a factor to correct. (DistributedDataParallel averages likewise, but wants a `forward`.)

A process trains alone unless it says otherwise by `together`, even where torch.distributed is initialised: the slots of
a node are ranks of one group, and each works off cells of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, overload

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.errors import require

Item = TypeVar("Item")

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


@overload
def share(batch: Tensor, blocks: int = 1) -> Tensor: ...
@overload
def share(batch: Sequence[Item], blocks: int = 1) -> list[Item]: ...
def share(batch: Tensor | Sequence[Item], blocks: int = 1) -> Tensor | list[Item]:
    """This rank's contiguous part of a batch, or of each of its `blocks` equal blocks.

    A batch that goes class by class has four blocks, one of high- and low-resource halves two: each rank then has as
    many of each. UserError where the batch cannot be shared evenly.
    """
    rank, size = world()
    if size == 1:
        return batch if isinstance(batch, Tensor) else list(batch)
    even = blocks * size
    require(len(batch) % even == 0, "the batch", len(batch), f"a multiple of {even} ({size} ranks, {blocks} blocks)")
    positions = torch.arange(len(batch)).view(blocks, size, -1)[:, rank].flatten()
    return batch[positions.to(batch.device)] if isinstance(batch, Tensor) else [batch[p] for p in positions.tolist()]


def gathered(part: Tensor, blocks: int = 1) -> Tensor:
    """All ranks' parts along the first dimension, in the order that the batch had before `share`, with gradient.

    `part` has the same shape on every rank; at one rank it is returned as it is.
    """
    size = world()[1]
    if size == 1:
        return part
    parts = torch.stack(_all_parts(part, size))
    return parts.view(size, blocks, -1, *part.shape[1:]).transpose(0, 1).reshape(-1, *part.shape[1:])


def embedded(encoder: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """The whole batch's embeddings, of which each rank's encoder computes its share.

    What follows (heads, projectors with batch norm, losses) every rank then computes on the whole batch: it is small
    beside the encoder, and nothing has to be synchronised in it.
    """
    return gathered(encoder(share(batch)))


def _all_parts(part: Tensor, size: int) -> list[Tensor]:
    if part.requires_grad:
        from torch.distributed.nn import functional

        return list(functional.all_gather(part))
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(size)]
    dist.all_gather(parts, part.contiguous())
    return parts


@torch.no_grad()
def averaged(value: Tensor) -> Tensor:
    """The mean of a loss (or of any tensor) over the ranks, without gradient; not finite where one rank's is not.

    What a decision rests on (to stop, to give up) must be averaged first, or ranks will decide differently.
    """
    size = world()[1]
    mean = value.detach().clone()
    if size > 1:
        dist.all_reduce(mean)
    return mean / size


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks, in one exchange; call it after `backward()`, before clipping.

    A rank without a gradient for a parameter counts as 0; a parameter without one on any rank keeps none.
    """
    size = world()[1]
    every = [parameter for parameter in parameters if parameter.requires_grad]
    if size == 1 or not every:
        return
    given = every[0].new_tensor([parameter.grad is not None for parameter in every], dtype=torch.float32)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in every]
    everything = torch.cat([given, *(gradient.float().flatten() for gradient in gradients)])
    dist.all_reduce(everything)
    counts, *sums = everything.split([len(every), *(parameter.numel() for parameter in every)])
    for parameter, count, total in zip(every, counts.tolist(), sums, strict=True):
        if count:
            parameter.grad = (total / size).view_as(parameter).to(parameter.dtype)


class SyncedBatchNorm1d(nn.BatchNorm1d):
    """Batch norm whose statistics are those of all ranks' batches; `nn.BatchNorm1d` itself at one rank.

    Takes (n, channels) or (n, channels, length), n may differ between ranks. The state is that of `nn.BatchNorm1d`.
    torch's own SyncBatchNorm refuses the CPU. Mean first and then the squares around it: a sum of squares as it is
    loses a small variance beside a large mean in fp32.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        if not self.training or world()[1] == 1:
            alone: Tensor = super().forward(input)
            return alone
        self._check_input_dim(input)
        over, broad = [0, *range(2, input.dim())], (1, -1, *[1] * (input.dim() - 2))
        values = input.float()
        clips = values.new_full((1,), values.numel() / values.shape[1])
        count, total = _summed(torch.cat([clips, values.sum(over)])).split([1, values.shape[1]])
        centred = values - (total / count).view(broad)
        variance = _summed(centred.square().sum(over)) / count
        self._remember(total / count, variance * count / (count - 1))
        normal = centred * (variance + self.eps).rsqrt().view(broad)
        if self.affine:
            normal = normal * self.weight.view(broad) + self.bias.view(broad)
        synced: Tensor = normal.to(input.dtype)
        return synced

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def _summed(values: Tensor) -> Tensor:
    """Sum over the ranks; backwards the ranks' gradients are summed likewise."""
    from torch.distributed.nn import functional

    summed: Tensor = functional.all_reduce(values)
    return summed
