"""From which corpora should SupCon's positives come?

Source: Xiang 2024 takes clips of one emotion from any corpus (of a summary); the restricted ones are ours.
Run: python -m orchestrator.sweep supcon_sampling
`cross-corpus` leaves a clip's own other view and clips of its emotion in other corpora. If `same-corpus` does as well
as `any`, the corpora merely stand side by side; if `cross-corpus` does, it is the pull between them that helps.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import SupConConfig

SWEEP = Sweep(
    question="Should SupCon's positives come from any corpus, the same one, or only from others?",
    config=SupConConfig(),
    axes={"positives": tune.grid_search(["any", "same-corpus", "cross-corpus"])},
    reference={"positives": "any"},
    protocols=("demo_within", "open_within", "xiang2024", "gong2025"),
)
