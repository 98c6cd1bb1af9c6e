"""Which learning rates, τ, λ and strength of augmentation suit BYOL together?

Source: ours; Gong et al. 2025 §3.3 have one learning rate of 1e-5 for all, and tune nothing jointly.
Run: python -m orchestrator.sweep joint
A random search (`--samples N`; more samples keep those there were), beginning with the reference: the paper's λ and
Grill et al.'s τ. All points are chosen among by validation on high-resource speech, which hardly selects for transfer
(read the table's Spearman before its winner), and the best of many by validation is flattered by having been chosen.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig

SWEEP = Sweep(
    question="Which learning rates, τ, λ and strength suit BYOL together?",
    config=ByolConfig(),
    axes={
        "encoder_lr": tune.loguniform(1e-5, 1e-4),
        "head_lr": tune.loguniform(3e-4, 3e-3),
        "tau": tune.uniform(0.99, 0.9995),
        "lambda_start": tune.uniform(0.0, 1.0),
        "lambda_end": tune.uniform(0.0, 1.0),
        "strength": tune.uniform(0.25, 1.5),
    },
    reference={
        "encoder_lr": 3e-5,
        "head_lr": 1e-3,
        "tau": 0.996,
        "lambda_start": 0.8,
        "lambda_end": 0.2,
        "strength": 1.0,
    },
    shows=("stability",),
)
