"""Losses against brute force in float64, closed forms and the reference libraries."""

import math
from collections.abc import Callable

import pytest
import torch
from lightly.loss import NTXentLoss as LightlyNtXent
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from torch import Tensor

from trainers.errors import UserError
from trainers.losses import (
    byol_regression,
    cross_entropy,
    info_nce,
    nt_xent,
    pair_counts,
    pairwise_nt_xent,
    sup_con,
)

SPEAKERS = torch.tensor([3, 0, 3, 1, 0, 3, 1, 0, 5])
"""Nine clips; the last speaker has only one."""

CORPORA = torch.tensor([0, 0, 1, 1, 0, 1, 1, 1, 0])


def embeddings(seed: int, count: int = len(SPEAKERS), dimensions: int = 6) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def unit(rows: Tensor) -> list[Tensor]:
    return [row / row.norm() for row in rows.double()]


def nt_xent_by_loops(rows: Tensor, labels: list[int], tau: float, own_positive: bool) -> Tensor:
    z, terms = unit(rows), []
    for i in range(len(z)):
        for j in range(len(z)):
            if i != j and labels[i] == labels[j]:
                bottom = sum(torch.exp(z[i] @ z[k] / tau) for k in range(len(z)) if labels[k] != labels[i])
                top = torch.exp(z[i] @ z[j] / tau)
                terms.append(-torch.log(top / (bottom + top if own_positive else bottom)))
    return torch.stack(terms).mean()


def sup_con_by_loops(
    rows: Tensor,
    labels: list[int],
    tau: float,
    may: Callable[[int, int], bool] = lambda _i, _j: True,
    inside: bool = False,
) -> Tensor:
    """L_out, or with `inside` L_in, whose log stands outside the sum over positives."""
    z, terms = unit(rows), []
    for i in range(len(z)):
        positives = [j for j in range(len(z)) if j != i and labels[j] == labels[i] and may(i, j)]
        others = positives + [k for k in range(len(z)) if labels[k] != labels[i]]
        bottom = sum(torch.exp(z[i] @ z[k] / tau) for k in others)
        shares = [torch.exp(z[i] @ z[j] / tau) / bottom for j in positives]
        if shares and inside:
            terms.append(-torch.log(sum(shares) / len(shares)))
        elif shares:
            terms.append(-sum(torch.log(share) for share in shares) / len(shares))
    return torch.stack(terms).mean()


def assert_same_value_and_gradient(
    rows: Tensor, ours: Callable[[Tensor], Tensor], wanted: Callable[[Tensor], Tensor]
) -> None:
    ours_rows, wanted_rows = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    found, expected = ours(ours_rows), wanted(wanted_rows)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    gradients = [torch.autograd.grad(found, ours_rows)[0], torch.autograd.grad(expected, wanted_rows)[0]]
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_byol_loss_is_the_squared_distance_of_unit_vectors_by_a_plain_loop() -> None:
    p, t = torch.randn(5, 7), torch.randn(5, 7)
    total = 0.0
    for a, b in zip(p.tolist(), t.tolist(), strict=True):
        norm_a, norm_b = math.hypot(*a), math.hypot(*b)
        total += sum((x / norm_a - y / norm_b) ** 2 for x, y in zip(a, b, strict=True))
    assert byol_regression(p, t).item() == pytest.approx(total / 5, abs=1e-5)


def test_byol_loss_is_zero_at_equality_two_at_right_angles_and_four_at_opposition() -> None:
    p = torch.tensor([[3.0, 0.0]])
    losses = [byol_regression(p, torch.tensor([t])).item() for t in ([1.0, 0.0], [0.0, 5.0], [-2.0, 0.0])]
    assert losses == pytest.approx([0, 2, 4], abs=1e-6)


def test_byol_loss_sends_gradient_to_the_prediction_only() -> None:
    p, t = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    byol_regression(p, t).backward()
    assert p.grad is not None
    assert p.grad.abs().sum() > 0
    assert t.grad is None


def test_losses_are_computed_in_fp32_whatever_they_are_given() -> None:
    p, t = torch.randn(4, 8).bfloat16(), torch.randn(4, 8).bfloat16()
    assert byol_regression(p, t).dtype == torch.float32
    assert byol_regression(p, t).item() == pytest.approx(byol_regression(p.float(), t.float()).item())


def test_cross_entropy_of_equal_logits_is_log_four() -> None:
    assert cross_entropy(torch.zeros(6, 4), torch.arange(6) % 4).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("denominator", ["negatives", "negatives+positive"])
@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_nt_xent_is_the_double_loop_over_positive_pairs(denominator: str, tau: float) -> None:
    assert_same_value_and_gradient(
        embeddings(0),
        lambda rows: nt_xent(rows, SPEAKERS, tau, denominator),
        lambda rows: nt_xent_by_loops(rows, SPEAKERS.tolist(), tau, "positive" in denominator),
    )


@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_nt_xent_with_its_positive_in_the_denominator_is_that_of_pytorch_metric_learning(tau: float) -> None:
    assert_same_value_and_gradient(
        embeddings(1),
        lambda rows: nt_xent(rows, SPEAKERS, tau, "negatives+positive"),
        lambda rows: NTXentLoss(temperature=tau)(rows, SPEAKERS),
    )


def test_nt_xent_as_printed_is_always_the_smaller_one() -> None:
    for seed in range(20):
        printed, other = (nt_xent(embeddings(seed), SPEAKERS, 0.2, d) for d in ("negatives", "negatives+positive"))
        assert printed < other


def test_nt_xent_of_a_perfect_batch_has_the_closed_form_of_the_papers_batch() -> None:
    """16 speakers at right angles, 8 embeddings each: −1/τ + log 120, and log(1 + 120 e^{−1/τ})."""
    speakers = torch.arange(16).repeat_interleave(8)
    perfect = torch.eye(16)[speakers] * 3
    assert nt_xent(perfect, speakers, 0.5).item() == pytest.approx(-2 + math.log(120), rel=1e-5)
    wanted = math.log(1 + 120 * math.exp(-2))
    assert nt_xent(perfect, speakers, 0.5, "negatives+positive").item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_sup_con_is_the_mean_over_anchors_with_a_positive_of_the_double_loop(tau: float) -> None:
    assert_same_value_and_gradient(
        embeddings(2),
        lambda rows: sup_con(rows, SPEAKERS, tau),
        lambda rows: sup_con_by_loops(rows, SPEAKERS.tolist(), tau),
    )


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_sup_con_is_that_of_pytorch_metric_learning(tau: float) -> None:
    assert_same_value_and_gradient(
        embeddings(3)[:8],
        lambda rows: sup_con(rows, SPEAKERS[:8], tau),
        lambda rows: SupConLoss(temperature=tau)(rows, SPEAKERS[:8]),
    )


def test_sup_con_has_its_log_inside_the_sum_so_that_it_bounds_the_other_form_from_above() -> None:
    for seed in range(10):
        rows = embeddings(seed)
        other = sup_con_by_loops(rows, SPEAKERS.tolist(), 0.2, inside=True)
        assert sup_con(rows, SPEAKERS, 0.2).item() > other.item() + 1e-4


def test_sup_con_of_a_perfect_batch_has_a_closed_form() -> None:
    """4 emotions at right angles, 16 clips each: log(15 + 48 e^{−1/τ})."""
    emotions = torch.arange(4).repeat(16)
    wanted = math.log(15 + 48 * math.exp(-1 / 0.2))
    assert sup_con(torch.eye(4)[emotions], emotions, 0.2).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("across", [True, False])
def test_a_positive_that_is_not_allowed_leaves_the_denominator_as_well(across: bool) -> None:
    allowed = (CORPORA[:, None] != CORPORA) if across else (CORPORA[:, None] == CORPORA)
    assert_same_value_and_gradient(
        embeddings(4),
        lambda rows: sup_con(rows, SPEAKERS, 0.3, allowed=allowed),
        lambda rows: sup_con_by_loops(rows, SPEAKERS.tolist(), 0.3, lambda i, j: bool(allowed[i, j])),
    )


def test_info_nce_with_one_positive_each_is_pytorch_metric_learnings_nt_xent() -> None:
    pairs, source = torch.arange(5).repeat(2), torch.Generator()
    assert_same_value_and_gradient(
        embeddings(5, 10),
        lambda rows: info_nce(rows, pairs, 0.2, generator=source),
        lambda rows: NTXentLoss(temperature=0.2)(rows, pairs),
    )


def test_info_nce_draws_each_allowed_positive_equally_often() -> None:
    """The loss is then, on average, the mean over anchors of the mean over their positives."""
    rows, allowed = embeddings(6), CORPORA[:, None] != CORPORA
    z, anchors = unit(rows), []
    for i in range(9):
        drawable = [j for j in range(9) if SPEAKERS[j] == SPEAKERS[i] and allowed[i, j]]
        bottom = sum(torch.exp(z[i] @ z[k] / 0.5) for k in range(9) if SPEAKERS[k] != SPEAKERS[i])
        tops = [torch.exp(z[i] @ z[j] / 0.5) for j in drawable]
        anchors += [sum(-torch.log(top / (top + bottom)) for top in tops) / len(tops)] if tops else []
    source = torch.Generator().manual_seed(0)
    drawn = [info_nce(rows, SPEAKERS, 0.5, generator=source, allowed=allowed) for _ in range(2000)]
    wanted, spread = torch.stack(anchors).mean().item(), torch.stack(drawn).std().item()
    assert spread > 0.01  # there is a choice at all
    assert torch.stack(drawn).mean().item() == pytest.approx(wanted, abs=5 * spread / math.sqrt(2000))


def test_info_nce_repeats_itself_from_the_same_seed() -> None:
    once, again = (info_nce(embeddings(7), SPEAKERS, 0.1, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert once == again


def test_pairwise_loss_is_the_double_loop_across_views_both_ways_summed_over_pairs_of_views() -> None:
    views = [embeddings(seed, 5) for seed in (8, 9, 10)]
    z, total = [unit(view) for view in views], 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for here, there in ((z[a], z[b]), (z[b], z[a])):
            for i in range(5):
                bottom = sum(math.exp(here[i] @ there[j] / 0.2) for j in range(5))
                total -= math.log(math.exp(here[i] @ there[i] / 0.2) / bottom) / 5 / 2
    assert pairwise_nt_xent(views, 0.2).item() == pytest.approx(total, rel=1e-5)


def test_pairwise_loss_of_views_that_agree_has_a_closed_form() -> None:
    views = [torch.eye(6), 2 * torch.eye(6), 5 * torch.eye(6)]
    wanted = 3 * math.log(1 + 5 * math.exp(-1 / 0.1))
    assert pairwise_nt_xent(views, 0.1).item() == pytest.approx(wanted, abs=1e-6)


def test_pairwise_loss_with_negatives_of_both_views_is_lightlys() -> None:
    a, b, c = (embeddings(seed, 6) for seed in (11, 12, 13))
    reference = LightlyNtXent(temperature=0.2)
    assert pairwise_nt_xent([a, b], 0.2, intra_view=True).item() == pytest.approx(reference(a, b).item(), rel=1e-5)
    wanted = sum(reference(*pair).item() for pair in ((a, b), (a, c), (b, c)))
    assert pairwise_nt_xent([a, b, c], 0.2, intra_view=True).item() == pytest.approx(wanted, rel=1e-5)


def contrastive(name: str) -> Callable[[Tensor, Tensor, float], Tensor]:
    return {
        "nt_xent": nt_xent,
        "nt_xent+positive": lambda rows, labels, tau: nt_xent(rows, labels, tau, "negatives+positive"),
        "sup_con": sup_con,
        "info_nce": lambda rows, labels, tau: info_nce(rows, labels, tau, generator=torch.Generator()),
    }[name]


EVERY = ("nt_xent", "nt_xent+positive", "sup_con", "info_nce")


@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_is_finite_where_all_embeddings_are_one_and_the_temperature_small(name: str) -> None:
    rows = torch.ones(9, 4, requires_grad=True)
    contrastive(name)(rows, SPEAKERS, 0.01).backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_neither_the_length_nor_a_rotation_of_the_embeddings_matters(name: str) -> None:
    rows, rotation = embeddings(14), torch.linalg.qr(embeddings(15, 6))[0]
    loss = contrastive(name)
    moved = loss(rows * torch.arange(1, 10)[:, None] @ rotation, SPEAKERS, 0.2)
    assert moved.item() == pytest.approx(loss(rows, SPEAKERS, 0.2).item(), rel=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_under_autocast_a_contrastive_loss_is_the_same(name: str) -> None:
    plain = contrastive(name)(embeddings(16), SPEAKERS, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive(name)(embeddings(16), SPEAKERS, 0.05), plain)


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_without_positives_or_with_one_label_or_a_temperature_of_zero_is_refused(name: str) -> None:
    loss, rows = contrastive(name), embeddings(17, 4)
    with pytest.raises(UserError, match="a batch of 4 has no positive pair"):
        loss(rows, torch.arange(4), 0.1)
    with pytest.raises(UserError, match="a batch of 4 has one label only"):
        loss(rows, torch.zeros(4), 0.1)
    with pytest.raises(UserError, match="temperature is 0; it must be above 0"):
        loss(rows, torch.tensor([0, 0, 1, 1]), 0)
    with pytest.raises(ValueError, match=r"labels are \(4, 1\)"):
        loss(rows, torch.tensor([[0], [0], [1], [1]]), 0.1)


def test_an_unknown_denominator_and_too_few_views_are_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"unknown denominator 'all'; there are: negatives, negatives\+positive"):
        nt_xent(embeddings(0), SPEAKERS, 0.1, "all")
    with pytest.raises(UserError, match="the number of views is 1"):
        pairwise_nt_xent([embeddings(0)], 0.1)
    with pytest.raises(UserError, match="the number of clips in a batch is 1"):
        pairwise_nt_xent([embeddings(0, 1), embeddings(1, 1)], 0.1)


def test_the_papers_speaker_batch_offers_7_positives_and_120_negatives() -> None:
    """16 speakers, 4 clips, clean and augmented (Gong et al. 2025 §2.2)."""
    counts = pair_counts(torch.arange(16).repeat_interleave(4).repeat(2))
    assert counts == {
        "embeddings": 128,
        "positives_mean": 7,
        "positives_min": 7,
        "negatives_mean": 120,
        "negatives_min": 120,
    }


def test_counts_see_the_anchor_that_has_no_allowed_positive() -> None:
    labels, corpora = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])
    counts = pair_counts(labels, corpora[:, None] == corpora)
    assert counts["positives_min"] == 0
    assert counts["positives_mean"] == pytest.approx((1 + 1 + 0 + 1 + 1) / 5)
    assert (counts["negatives_min"], counts["negatives_mean"]) == (2, pytest.approx((2 * 3 + 3 * 2) / 5))
