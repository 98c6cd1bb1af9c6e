"""How long, and on whose speech, should CL adapt before it learns emotions?

Source: Gong et al. 2025 §2.2 stop the stage early and adapt to three languages at once; amounts and control are ours.
Run: python -m orchestrator.sweep cl_adaptation
`adapt_share` is the stage's steps as a share of the cell's: none, a quarter, half, all. `low` is the training speech of
all target languages, `target` that of the tested one alone. Under permuted speaker labels the stage sees the same
speech and learns nothing of speakers: what CL gains, it must gain over that point as well.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ClConfig

POINTS = [
    *[(share, "low", False) for share in (0.0, 0.25, 0.5, 1.0)],
    *[(share, "target", False) for share in (0.25, 0.5, 1.0)],
    (1.0, "low", True),
]

SWEEP = Sweep(
    question="How long should CL adapt, to the tested language or to all, and is it the speakers that help?",
    config=ClConfig(),
    axes={"adapt_share, adapt_on, permuted_speakers": tune.grid_search(POINTS)},
    reference={"adapt_share": 0.0, "adapt_on": "low", "permuted_speakers": False},
    chooses=False,
)
