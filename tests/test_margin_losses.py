"""The three cosine margin losses against plain loops and the reference libraries."""

import itertools
import math

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import CosFaceLoss, TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from trainers.errors import UserError
from trainers.margin_losses import cosface, cosine_pairs, cosine_triplets

EMOTIONS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3])
CORPORA = torch.tensor([0, 0, 0, 1, 1, 0, 0, 1])


def embeddings(seed: int) -> Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_same_value_and_gradient(rows: Tensor, found: Tensor, wanted: Tensor) -> None:
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    gradients = [torch.autograd.grad(loss, rows)[0] for loss in (found, wanted)]
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5])
def test_pairs_are_torchs_cosine_embedding_loss_over_all_pairs(margin: float) -> None:
    rows = embeddings(0)
    i, j = torch.tensor(list(itertools.combinations(range(8), 2))).T
    sign = torch.where(EMOTIONS[i] == EMOTIONS[j], 1, -1)
    wanted = nn.CosineEmbeddingLoss(margin)(rows[i], rows[j], sign)
    assert_same_value_and_gradient(rows, cosine_pairs(rows, EMOTIONS, margin), wanted)


def test_pairs_of_one_label_that_are_not_allowed_do_not_count() -> None:
    rows = embeddings(1)
    pairs = itertools.combinations(range(8), 2)
    i, j = torch.tensor([(a, b) for a, b in pairs if EMOTIONS[a] != EMOTIONS[b] or CORPORA[a] != CORPORA[b]]).T
    wanted = nn.CosineEmbeddingLoss(0.2)(rows[i], rows[j], torch.where(EMOTIONS[i] == EMOTIONS[j], 1, -1))
    found = cosine_pairs(rows, EMOTIONS, 0.2, allowed=CORPORA[:, None] != CORPORA)
    assert_same_value_and_gradient(rows, found, wanted)


@pytest.mark.parametrize("margin", [0.05, 0.5, 2.0])
def test_triplets_are_those_of_pytorch_metric_learning_over_the_cosine(margin: float) -> None:
    rows = embeddings(2)
    reference = TripletMarginLoss(margin, distance=CosineSimilarity(), reducer=MeanReducer())
    assert_same_value_and_gradient(rows, cosine_triplets(rows, EMOTIONS, margin), reference(rows, EMOTIONS))


def test_triplets_are_a_plain_loop_over_allowed_positives() -> None:
    rows = embeddings(3)
    z = [row / row.norm() for row in rows.double()]
    terms = [
        torch.clamp(0.3 - z[a] @ z[p] + z[a] @ z[n], min=0)
        for a, p, n in itertools.permutations(range(8), 3)
        if EMOTIONS[a] == EMOTIONS[p] != EMOTIONS[n] and CORPORA[a] == CORPORA[p]
    ]
    found = cosine_triplets(rows, EMOTIONS, 0.3, allowed=CORPORA[:, None] == CORPORA)
    assert_same_value_and_gradient(rows, found, torch.stack(terms).mean())


@pytest.mark.parametrize(("margin", "scale"), [(0.35, 64.0), (0.35, 30.0), (0.0, 10.0)])
def test_classes_are_cosface_of_pytorch_metric_learning(margin: float, scale: float) -> None:
    rows, reference = embeddings(4), CosFaceLoss(num_classes=4, embedding_size=5, margin=margin, scale=scale)
    found = cosface(rows, EMOTIONS, reference.W.T, margin, scale)
    assert_same_value_and_gradient(rows, found, reference(rows, EMOTIONS))


def test_cosface_teaches_its_class_weights_too_and_has_a_closed_form_where_both_agree() -> None:
    """Embeddings on their class's weight, the three others at right angles: log(1 + 3 e^{−s(1 − m)})."""
    weights = torch.eye(4, requires_grad=True)
    loss = cosface(2 * torch.eye(4)[EMOTIONS], EMOTIONS, weights, 0.35, 5.0)
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-5 * 0.65)), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, weights)
    assert gradient.abs().sum() > 0


def test_a_perfect_batch_costs_nothing_and_a_collapsed_one_its_margin() -> None:
    perfect, collapsed = torch.eye(4)[EMOTIONS], torch.ones(8, 4)
    assert cosine_pairs(perfect, EMOTIONS, 0.2) == cosine_triplets(perfect, EMOTIONS, 0.2) == 0
    pairs, of_two_labels = 28, 28 - 5
    assert cosine_pairs(collapsed, EMOTIONS, 0.2).item() == pytest.approx(0.8 * of_two_labels / pairs)
    assert cosine_triplets(collapsed, EMOTIONS, 0.2).item() == pytest.approx(0.2)


def test_the_gradient_is_finite_where_all_embeddings_are_one() -> None:
    for loss in (cosine_pairs, cosine_triplets):
        rows = torch.ones(8, 4, requires_grad=True)
        assert torch.autograd.grad(loss(rows, EMOTIONS, 0.2), rows)[0].isfinite().all()
    rows = torch.ones(8, 4, requires_grad=True)
    assert torch.autograd.grad(cosface(rows, EMOTIONS, torch.ones(4, 4), 0.35), rows)[0].isfinite().all()


def test_under_autocast_they_are_the_same() -> None:
    rows, weights = embeddings(5), torch.randn(4, 5)
    plain = [
        cosine_pairs(rows, EMOTIONS, 0.2),
        cosine_triplets(rows, EMOTIONS, 0.2),
        cosface(rows, EMOTIONS, weights, 0.3),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        again = [
            cosine_pairs(rows, EMOTIONS, 0.2),
            cosine_triplets(rows, EMOTIONS, 0.2),
            cosface(rows, EMOTIONS, weights, 0.3),
        ]
    assert plain == again


def test_batches_with_nothing_to_compare_and_margins_out_of_range_are_refused() -> None:
    rows = embeddings(6)
    with pytest.raises(UserError, match="a batch of 1 has no pair"):
        cosine_pairs(rows[:1], EMOTIONS[:1], 0.2)
    with pytest.raises(UserError, match="a batch of 3 has no triplet"):
        cosine_triplets(rows[:3], EMOTIONS[:3], 0.2)
    with pytest.raises(UserError, match="a batch of 8 has no triplet"):
        cosine_triplets(rows, torch.zeros(8), 0.2)
    with pytest.raises(UserError, match=r"margin is 1\.5; it must be between -1 and 1"):
        cosine_pairs(rows, EMOTIONS, 1.5)
    with pytest.raises(UserError, match=r"margin is -0\.1; it must be between 0 and 2"):
        cosine_triplets(rows, EMOTIONS, -0.1)
    with pytest.raises(UserError, match=r"scale is 0\.0; it must be above 0"):
        cosface(rows, EMOTIONS, torch.ones(4, 5), 0.35, 0.0)
