"""What changes with the step: momentum τ, loss weight λ, learning-rate warm-up. Pure functions of step and K."""

import math

from trainers.errors import UserError

PAPER_STEPS = 5000
"""K for which the published momenta are meant (50 epochs of 100 batches, METHODS FLAG 5)."""


def momentum(tau: float, step: int, steps: int, schedule: str = "cosine") -> float:
    """τ_k after step k of K. Cosine (Grill et al. 2020): 1 − (1 − τ)(cos(πk/K) + 1)/2, from τ to 1; else τ."""
    if schedule == "constant":
        return tau
    return 1 - (1 - tau) * (math.cos(math.pi * step / steps) + 1) / 2


def matched_tau(tau: float, steps: int) -> float:
    """The momentum that averages over the same share of a shorter run: 1 − (1 − τ)·5000/K, for K below 5000.

    UserError where K is so small that even no memory at all is too much.
    """
    if steps >= PAPER_STEPS:
        return tau
    matched = 1 - (1 - tau) * PAPER_STEPS / steps
    if matched < -1e-9:
        least = math.ceil((1 - tau) * PAPER_STEPS - 1e-6)
        raise UserError(f"tau {tau} has no match at {steps} steps; it takes at least {least}, or tau_horizon=paper")
    return max(matched, 0.0)


def loss_weight(start: float, end: float, step: int, steps: int) -> float:
    """λ_k of step k of K, linear from `start` to `end` (Gong et al. 2025 §2.3: 0.8 to 0.2)."""
    return start + (end - start) * step / steps


def warm_up(step: int, warmup_steps: int) -> float:
    """Factor on the learning rate at step k: linear up to 1 at `warmup_steps`, then 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def initial_share(taus: list[float]) -> float:
    """Share of the initial weights that is left in a target updated with these momenta: Π τ_k."""
    return math.prod(taus)


def mean_age(taus: list[float]) -> float:
    """Mean age of the weights in the target, as a share of the run; an update ages all by a step and adds new ones."""
    age = 0.0
    for tau in taus:
        age = tau * (age + 1)
    return age / len(taus)
