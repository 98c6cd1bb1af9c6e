"""The papers' losses, pure functions of embeddings, computed in fp32."""

import torch
from torch import Tensor
from torch.nn import functional


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
