"""How embeddings lie: how far they spread, in how many directions, between corpora, and who their neighbours are."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainers.scores import knn_accuracy


def spread(embeddings: Tensor) -> float:
    """std(z / ‖z‖) · √d, the standard deviation being the mean over dimensions (Chen & He 2021 §4.1).

    `embeddings` (n, d). 0 where all point one way, about 1 where they point all ways.
    """
    units = functional.normalize(embeddings.double(), dim=1)
    return float(units.std(0, correction=0).mean() * units.shape[1] ** 0.5)


def rankme(embeddings: Tensor) -> float:
    """RankMe (Garrido et al. 2023): e to the entropy of the singular values as shares of their sum.

    `embeddings` (n, d), not centred, as in the paper. From 1 (all on one line) to min(n, d); NaN where all are 0.
    """
    lengths = torch.linalg.svdvals(embeddings.double())
    shares = lengths / lengths.sum()
    return float(torch.special.entr(shares).sum().exp())


def between_share(corpora: Sequence[Tensor]) -> float:
    """Share of the variance of all embeddings together that lies between the means of the corpora, 0 to 1.

    `corpora`: (n_c, d) each. NaN where nothing varies, or there is only one corpus.
    """
    everything = torch.cat([part.double() for part in corpora])
    centre = everything.mean(0)
    total = (everything - centre).square().sum()
    between = sum((len(part) * (part.double().mean(0) - centre).square().sum() for part in corpora), torch.zeros(()))
    return float(between / total) if len(corpora) > 1 and total > 0 else float("nan")


def knn_uar(
    known: Tensor, known_labels: NDArray[np.int64], asked: Tensor, asked_labels: NDArray[np.int64], k: int = 5
) -> float:
    """Mean recall over the classes when each asked embedding takes the label of its k nearest known ones by cosine.

    `known` (n, d), `asked` (m, d). Only classes that are asked count; `k` is n where there are fewer.
    """
    train, tested = known.double().numpy(), asked.double().numpy()
    of_class = [asked_labels == label for label in np.unique(asked_labels)]
    k = min(k, len(train))
    return fmean(knn_accuracy(train, known_labels, tested[own], asked_labels[own], k) for own in of_class)


def figures(space: str, corpora: Mapping[str, Tensor]) -> dict[str, float]:
    """Spread and rank of each corpus: `embedding/std/urdu`, `embedding/rankme/urdu`."""
    spreads = {f"{space}/std/{corpus}": spread(rows) for corpus, rows in corpora.items()}
    return spreads | {f"{space}/rankme/{corpus}": rankme(rows) for corpus, rows in corpora.items()}
