"""Which temperature of the supervised contrastive loss is best?

Source: Xiang 2024 (only a summary was at hand, without the value); Khosla et al. 2020 have 0.07 to 0.1.
Run: python -m orchestrator.sweep supcon_temperature
The loss is not multiplied by τ (METHODS §9): otherwise the sweep would be one of the learning rate as well.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import SupConConfig

SWEEP = Sweep(
    question="Which temperature of SupCon's loss makes the better classifier?",
    config=SupConConfig(),
    axes={"temperature": tune.grid_search([0.05, 0.07, 0.1, 0.2, 0.5])},
    reference={"temperature": 0.07},
    protocols=("demo_within", "open_within", "xiang2024", "demo", "open", "gong2025"),
)
