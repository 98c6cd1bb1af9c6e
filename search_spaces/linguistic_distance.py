"""Do CL and BYOL gain more on languages that are closer to English?

Source: Gong et al. 2025 §5, first open question; distances from URIEL (`trainers.corpora.distances`).
Run: python -m orchestrator.sweep linguistic_distance
Each method hears the same number of clips of every language (100, whole speakers for CL), so that a language is not
near because its corpus is large. Three languages describe, they prove nothing: a correlation is tested by permutation
from eight on (`--high`, `--low` take corpora of your own). Style of acting and recording differ by corpus too.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig

CLIPS = 100

SWEEP = Sweep(
    question="Is what CL and BYOL gain related to a language's distance from English?",
    arms={
        "baseline": BaselineConfig(),
        "CL": ClConfig(adapt_on="target", adapt_cap=CLIPS),
        "BYOL": ByolConfig(unlabelled_cap=CLIPS),
    },
    reference={"arm": "baseline"},
    shows=("distance",),
    chooses=False,
)
