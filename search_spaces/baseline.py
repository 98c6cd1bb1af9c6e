"""How far does training on the high-resource language alone carry?

Source: Gong et al. 2025 §3.2, the baseline of their Table 1.
Run: python -m orchestrator.sweep baseline
No target-language speech is heard, so one training a fold serves every language.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig

SWEEP = Sweep(
    question="How well does supervised training on the high-resource language transfer by itself?",
    config=BaselineConfig(),
    protocols=("demo", "open", "gong2025", "demo_within", "open_within", "xiang2024"),
)
