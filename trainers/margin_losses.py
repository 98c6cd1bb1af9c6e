"""Three readings of Xiang 2024's "cosine margin loss", of which only the name is known (METHODS FLAG 36).

`cosine_pairs` is our default, with a margin of 0.2; the others are the alternatives. All are computed in fp32.
"""

from torch import Tensor
from torch.nn import functional

from trainers.errors import UserError, require
from trainers.losses import cosines, cross_entropy, pair_masks, places
from trainers.moving import onto


def cosine_pairs(embeddings: Tensor, labels: Tensor, margin: float, *, allowed: Tensor | None = None) -> Tensor:
    """1 − cos of two embeddings of one label, max(0, cos − margin) of two labels: the mean over all pairs of a batch.

    Pairs of two labels are in the majority and weigh accordingly. `embeddings` (n, d), `labels` (n,), `margin` from
    −1 to 1; pairs of one label that are not `allowed` (see `losses.pair_masks`) do not count. A scalar from 0 to 2.
    UserError where the batch has no pair or the margin is out of range.
    """
    require(-1 <= margin <= 1, "margin", margin, "between -1 and 1")
    positive, negative = pair_masks(labels, allowed)
    if not (positive | negative).any():
        raise UserError(f"a batch of {len(labels)} has no pair; the cosine margin loss needs two embeddings")
    positive, negative = (onto(embeddings.device, mask) for mask in (positive, negative))
    cosine = cosines(embeddings, embeddings)
    losses = (1 - cosine) * positive + (cosine - margin).clamp(min=0) * negative
    return losses.sum() / (positive | negative).sum()


def cosine_triplets(embeddings: Tensor, labels: Tensor, margin: float, *, allowed: Tensor | None = None) -> Tensor:
    """max(0, margin − cos(a, p) + cos(a, n)): the mean over all triplets of anchor, positive and negative.

    Triplets that keep their distance count with 0. `embeddings` (n, d), `labels` (n,), `margin` from 0 to 2; positives
    that are not `allowed` are not used. Takes memory for (positive pairs) × n numbers. A scalar from 0 to 4.
    UserError where the batch has no triplet or the margin is out of range.
    """
    require(0 <= margin <= 2, "margin", margin, "between 0 and 2")
    positive, negative = pair_masks(labels, allowed)
    of_each = negative[positive.nonzero(as_tuple=True)[0]]
    if not of_each.any():
        raise UserError(f"a batch of {len(labels)} has no triplet; it needs two of one label and one of another")
    anchors, partners = places(positive, embeddings.device)
    cosine = cosines(embeddings, embeddings)
    losses = (margin - cosine[anchors, partners][:, None] + cosine[anchors]).clamp(min=0)
    return losses[places(of_each, embeddings.device)].mean()


def cosface(embeddings: Tensor, labels: Tensor, class_weights: Tensor, margin: float, scale: float = 30.0) -> Tensor:
    """Additive-margin softmax (Wang et al. 2018, CosFace): cross-entropy of scale · (cos θ_c − margin · [c = y]).

    cos θ_c is between an embedding of (n, d) and the class's row of `class_weights` (classes, d), which is learned
    and belongs to the caller. `labels` (n,) are class numbers; `margin` from 0 to 1 (usual: 0.35), `scale` above 0
    (usual: 30 or 64). UserError where one is out of range.
    """
    require(0 <= margin <= 1, "margin", margin, "between 0 and 1")
    require(scale > 0, "scale", scale, "above 0")
    cosine = cosines(embeddings, class_weights)
    return cross_entropy(scale * (cosine - margin * functional.one_hot(labels, len(class_weights))), labels)
