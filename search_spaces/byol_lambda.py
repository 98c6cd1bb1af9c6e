"""How should the weight λ of BYOL's loss move against the cross-entropy's, and does BYOL help at all?

Source: Gong et al. 2025 §2.3 let λ fall linearly from 0.8 to 0.2 and compare it with nothing.
Run: python -m orchestrator.sweep byol_lambda
λ = 0 is training on the labels alone with BYOL's own front end, augmentation and averaged inference network; only
against it can a gain be put down to BYOL. The linear point is the same training as byol_tau's τ = 0.996.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig

SWEEP = Sweep(
    question="Which schedule of BYOL's loss weight λ transfers best, and does any beat λ = 0?",
    config=ByolConfig(),
    axes={"lambda_start, lambda_end": tune.grid_search([(0.8, 0.2), (0.2, 0.2), (0.5, 0.5), (0.8, 0.8), (0.0, 0.0)])},
    reference={"lambda_start": 0.0, "lambda_end": 0.0},
    shows=("stability",),
)
