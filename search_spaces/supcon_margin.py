"""What does the cosine margin loss add to the contrastive one, and in which form?

Source: Xiang 2024 names a cosine margin loss and no more (of a summary); the three readings are METHODS FLAG 36.
Run: python -m orchestrator.sweep supcon_margin
Weight 0 leaves it out: a form that does not beat that point adds nothing. 0.35 is CosFace's own margin.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import SupConConfig

FORMS = [("pairs", 0.0, 1.0), ("pairs", 0.2, 1.0), ("pairs", 0.5, 1.0), ("triplets", 0.2, 1.0), ("classes", 0.35, 1.0)]

SWEEP = Sweep(
    question="Does the margin loss add anything to SupCon, and in which form and with which margin?",
    config=SupConConfig(),
    axes={"margin_form, margin, margin_weight": tune.grid_search([("pairs", 0.2, 0.0), *FORMS])},
    reference={"margin_form": "pairs", "margin": 0.2, "margin_weight": 0.0},
    protocols=("demo_within", "open_within", "xiang2024", "demo", "open", "gong2025"),
)
