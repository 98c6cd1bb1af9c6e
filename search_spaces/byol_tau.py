"""Which momentum τ of the target network makes BYOL transfer best?

Source: Gong et al. 2025 §2.3 leave τ open; Grill et al. 2020 use 0.996 rising to 1.
Run: python -m orchestrator.sweep byol_tau
Runs of fewer than 5000 steps rescale τ to the same share of the run (`tau_horizon=matched`), because a slow target
that is stopped early only measures lag.
Result, 2026-11-21, open, tiny.en, folds 0 to 2, 60 steps of 8 clips (README): it shows the machinery, not τ. UAR in
Urdu / German 46.5 / 62.1 (τ = .99, chosen), 44.3 / 67.3 (.996), 40.4 / 63.2 (.999); no difference is shown.
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
