"""Does self-attention pooling beat the mean over time?

Source: Xiang 2024 pools by self-attention (Safari et al. 2020), Gong et al. 2025 §3.3 by the mean.
Run: python -m orchestrator.sweep pooling
Attention starts at the mean here, so both arms begin alike. Whisper hears padding as well: attention can learn to leave
it out, which is a reason to gain that has nothing to do with emotion; look at corpora of short clips first.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig, SupConConfig

SWEEP = Sweep(
    question="Is self-attention pooling better than the mean, with and without SupCon?",
    arms={"direct": BaselineConfig(), "SupCon": SupConConfig()},
    axes={"pooling": tune.grid_search(["mean", "attention"])},
    reference={"arm": "direct", "pooling": "mean"},
    protocols=("demo_within", "open_within", "xiang2024", "demo", "open", "gong2025"),
)
