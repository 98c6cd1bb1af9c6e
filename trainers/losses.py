"""The papers' losses, pure functions of embeddings, computed in fp32 (margin losses: `margin_losses`).

The contrastive ones know an embedding as an anchor, those of its label as its positives and those of other labels as
its negatives; all similarities are cosines. Their labels may stay on the CPU while the embeddings lie on a GPU, which
then need not be waited for. A batch in which nothing can be contrasted is an error and no zero, which
would pass for a loss that has been learned to the end.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.errors import UserError, require, unknown
from trainers.moving import onto

DENOMINATORS = ("negatives", "negatives+positive")


def byol_regression(prediction: Tensor, target: Tensor) -> Tensor:
    """BYOL's loss of one direction (Grill et al. 2020, eq. 2): mean of |p/|p| − t/|t||² = 2 − 2 cos(p, t).

    `prediction` and `target` are (batch, dimensions); no gradient reaches the target. A scalar from 0 to 4.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        p = functional.normalize(prediction.float(), dim=1)
        t = functional.normalize(target.detach().float(), dim=1)
        return (2 - 2 * (p * t).sum(1)).mean()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of (batch, classes) logits and (batch,) class numbers, in fp32."""
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(logits.float(), labels)


def nt_xent(embeddings: Tensor, labels: Tensor, temperature: float, denominator: str = "negatives") -> Tensor:
    """NT-Xent over the labels of a batch, the mean over all ordered positive pairs (Gong et al. 2025, eq. 1).

    "negatives" is the paper's word and our default: −log( e^{s_ij/τ} / Σ_{k: another label} e^{s_ik/τ} ), with no
    positive in the denominator, so that it can fall below 0 (not below −2/τ + log of the number of negatives).
    "negatives+positive" adds e^{s_ij/τ} to the denominator, the form that the paper's name for the loss stands for
    (METHODS FLAG 12). Neither ever holds the anchor's other positives.

    `embeddings` (n, d), `labels` (n,). UserError where the batch has no positive pair or only one label, where
    `temperature` is not above 0, and for another denominator.
    """
    if denominator not in DENOMINATORS:
        raise unknown("denominator", denominator, DENOMINATORS)
    positive, negative = _contrasts(embeddings, labels, temperature)
    similarities = cosines(embeddings, embeddings) / temperature
    bottom = _logsumexp(similarities, onto(embeddings.device, negative))[:, None]
    if denominator == "negatives+positive":
        bottom = torch.logaddexp(bottom, similarities)
    return (bottom - similarities)[places(positive, embeddings.device)].mean()


def sup_con(embeddings: Tensor, labels: Tensor, temperature: float, *, allowed: Tensor | None = None) -> Tensor:
    """Supervised contrastive loss L_out (Khosla et al. 2020, eq. 2): the log stands inside the sum over positives.

    Of an anchor i: −1/|P(i)| Σ_{p ∈ P(i)} log( e^{s_ip/τ} / Σ_{a ≠ i} e^{s_ia/τ} ), positives and negatives both in
    the denominator. The loss is not scaled by τ over a base temperature, which in a sweep of τ would be a sweep of the
    learning rate as well. It is the mean over the anchors that have a positive (our choice; Khosla's code counts
    others as 0), so that an anchor without a partner changes nothing but the denominators of others.

    `embeddings` (n, d), `labels` (n,). `allowed` as in `pair_masks`: a pair of one label that it excludes is left out
    of the denominator too. UserError as in `nt_xent`.
    """
    positive, negative = _contrasts(embeddings, labels, temperature, allowed)
    similarities = cosines(embeddings, embeddings) / temperature
    with_positive = places(positive.any(1), embeddings.device)
    contrasted = onto(embeddings.device, positive | negative)
    positive = onto(embeddings.device, positive)
    log_share = similarities - _logsumexp(similarities, contrasted)[:, None]
    of_anchor = (log_share * positive).sum(1) / positive.sum(1).clamp(min=1)
    return -of_anchor[with_positive].mean()


def info_nce(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float,
    *,
    generator: torch.Generator,
    allowed: Tensor | None = None,
) -> Tensor:
    """InfoNCE with one positive per anchor, as Xiang 2024 prints it: −log( e^{s+/τ} / (e^{s+/τ} + Σ_K e^{s−/τ}) ).

    Which positive the paper does not say: it is drawn evenly from the anchor's positives by `generator` (on the CPU;
    the draw depends on the order of the batch). The K negatives are all of another label. Mean over the anchors that
    have a positive. Our default in its place is `sup_con` (METHODS FLAG 35).

    `embeddings` (n, d), `labels` (n,); `allowed` as in `pair_masks`. UserError as in `nt_xent`.
    """
    positive, negative = _contrasts(embeddings, labels, temperature, allowed)
    similarities = cosines(embeddings, embeddings) / temperature
    lots = torch.rand(positive.shape, generator=generator).masked_fill(~positive.cpu(), -1).argmax(1, keepdim=True)
    drawn = similarities.gather(1, onto(embeddings.device, lots)).squeeze(1)
    losses = torch.logaddexp(_logsumexp(similarities, onto(embeddings.device, negative)), drawn) - drawn
    return losses[places(positive.any(1), embeddings.device)].mean()


def pairwise_nt_xent(views: Sequence[Tensor], temperature: float, *, intra_view: bool = False) -> Tensor:
    """Pairwise-CL: NT-Xent between every two of several views, (n, d) each, summed over the pairs of views a < b.

    Row i of each view is the same clip. Our default (Khaertdinov et al. 2024 print three equations that we could not
    read; METHODS FLAG 31) is ½(ℓ_ab + ℓ_ba) with ℓ_ab = −1/n Σ_i log( e^{s_ii/τ} / Σ_j e^{s_ij/τ} ), s_ij the cosine of
    clip i in view a and clip j in view b: negatives come from the other view only. With `intra_view` each pair of
    views has SimCLR's loss over its 2n embeddings (Chen et al. 2020), whose negatives come from both.

    UserError for fewer than two views, fewer than two clips, and a temperature that is not above 0.
    """
    require(temperature > 0, "temperature", temperature, "above 0")
    require(len(views) > 1, "the number of views", len(views), "at least 2")
    require(len(views[0]) > 1, "the number of clips in a batch", len(views[0]), "at least 2")
    loss = _simclr if intra_view else _between_views
    return torch.stack([loss(a, b, temperature) for a, b in combinations(views, 2)]).sum()


def _between_views(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    similarities = cosines(a, b) / temperature
    itself = torch.arange(len(a), device=a.device)
    return (cross_entropy(similarities, itself) + cross_entropy(similarities.T, itself)) / 2


def _simclr(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    clips = torch.arange(len(a)).repeat(2)
    return nt_xent(torch.cat([a, b]), clips, temperature, "negatives+positive")


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of every row of `a` (n, d) with every row of `b` (m, d): (n, m), in fp32."""
    with torch.autocast(a.device.type, enabled=False):
        return functional.normalize(a.float(), dim=1) @ functional.normalize(b.float(), dim=1).T


def pair_masks(labels: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which ordered pairs (anchor, other) of a batch are positives and which are negatives: two (n, n) masks.

    Positives have the same label, negatives another; nothing is its own positive. Where `allowed` (n, n) is False a
    pair of one label is neither: it may not be pulled together, and it is no negative either. `allowed` says nothing
    about pairs of two labels.
    """
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return (positive if allowed is None else positive & allowed), ~same


def places(mask: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Where a mask holds, as indices on the device: to index by a mask a GPU would first have to tell how often."""
    return tuple(onto(device, each) for each in mask.nonzero(as_tuple=True))


def pair_counts(labels: Tensor, allowed: Tensor | None = None) -> dict[str, float]:
    """What a batch offers: its `embeddings`, and mean and least number of positives and negatives per anchor."""
    counts = {"embeddings": float(len(labels))}
    for name, mask in zip(("positives", "negatives"), pair_masks(labels, allowed), strict=True):
        of_anchor = mask.sum(1)
        counts |= {f"{name}_mean": float(of_anchor.double().mean()), f"{name}_min": float(of_anchor.min())}
    return counts


def _contrasts(
    embeddings: Tensor, labels: Tensor, temperature: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`pair_masks`, once it is certain that there is something to contrast."""
    require(temperature > 0, "temperature", temperature, "above 0")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(f"labels are {tuple(labels.shape)}, embeddings {tuple(embeddings.shape)}; needs (n,), (n, d)")
    positive, negative = pair_masks(labels, allowed)
    if not positive.any():
        raise UserError(f"a batch of {len(labels)} has no positive pair; a contrastive loss needs two of one label")
    if not negative.any():
        raise UserError(f"a batch of {len(labels)} has one label only; a contrastive loss needs at least two")
    return positive, negative


def _logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """(n,) log Σ exp over the masked entries of each row of `values` (n, m); each row must have one."""
    return values.masked_fill(~mask, float("-inf")).logsumexp(1)
