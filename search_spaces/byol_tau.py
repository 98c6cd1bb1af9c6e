"""Which momentum τ of the target network makes BYOL transfer best?

Source: Gong et al. 2025 §2.3 leave τ open; Grill et al. 2020 use 0.996 rising to 1.
Run: python -m orchestrator.sweep byol_tau
Runs of fewer than 5000 steps rescale τ to the same share of the run (`tau_horizon=matched`), because a slow target
that is stopped early only measures lag.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig

SWEEP = Sweep(
    question="Which momentum τ of BYOL's target network transfers best to each language?",
    config=ByolConfig(),
    axes={"tau": tune.grid_search([0.99, 0.996, 0.999])},
    reference={"tau": 0.996},
    shows=("stability",),
)
