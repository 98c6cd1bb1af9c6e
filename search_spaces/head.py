"""Which head, and how trained, suits an encoder that hardly trains?

Source: ours; Gong et al. 2025 §3.3 have one learning rate for all and the mean over time, Safari et al. 2020 the
attention, Khaertdinov et al. 2024 probe frozen encoders too.
Run: python -m orchestrator.sweep head
Within a language and cheap, since with no layer or only the last one in training an encoder goes mostly forwards: the
sweep that one would run before all others, and the one whose cells, all known, show what racing is worth
(tests/benchmarks/racing.py).
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig

SWEEP = Sweep(
    question="Which head and which learning rate of it suit an encoder of which none or one layer trains?",
    config=BaselineConfig(),
    axes={
        "trainable_layers": tune.grid_search([0, 1]),
        "pooling": tune.grid_search(["mean", "attention"]),
        "strength": tune.grid_search([0.0, 1.0]),
        "head_lr": tune.grid_search([3e-4, 1e-3, 3e-3]),
    },
    reference={"trainable_layers": 0, "pooling": "mean", "strength": 1.0, "head_lr": 1e-3},
    protocols=("demo_within", "open_within", "khaertdinov2024"),
)
