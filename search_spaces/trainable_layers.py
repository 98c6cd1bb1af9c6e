"""How many of the encoder's layers should train on emotions?

Source: Gong et al. 2025 §3.3 train all transformer layers; none and the last two are ours.
Run: python -m orchestrator.sweep trainable_layers
CL's adaptation trains all layers in every arm; the number is of its second stage. With none only the head learns, and
CL's arm shows what its adaptation is worth by itself. In an encoder of two layers (the demo's) two are all: these
lines must be equal there.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig, ClConfig

SWEEP = Sweep(
    question="How many of the encoder's last layers should train, none, two or all?",
    arms={"baseline": BaselineConfig(), "CL": ClConfig()},
    axes={"trainable_layers": tune.grid_search([None, 2, 0])},
    reference={"arm": "baseline", "trainable_layers": None},
    protocols=("demo", "open", "gong2025"),
    chooses=False,
)
