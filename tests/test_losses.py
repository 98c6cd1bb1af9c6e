"""Losses against brute force and closed forms."""

import math

import pytest
import torch

from trainers.losses import byol_regression, cross_entropy


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
