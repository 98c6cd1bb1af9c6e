"""Which views does each view learn from?

Source: Khaertdinov et al. (Interspeech 2024) have three views, report the largest gains for handcrafted features and
compare views by PWCCA; leaving one out is our question.
Run: python -m orchestrator.sweep pairwise_views
Each of the three views is fine-tuned with a tenth of the labels, pre-trained beside both others or beside one of them.
Where leaving a view out costs the fine-tuned one nothing, that view had nothing to teach it; PWCCA beside chance
(`stage/pwcca`, `stage/pwcca_chance`) tells how alike the two have become. Needs openSMILE (the extra egemaps), on the
demo too. See label_fraction for what the open protocol lacks of the paper.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import PairwiseConfig
from trainers.spec import Training

ALL = ("layers", "mel", "egemaps")
PARTS = (ALL, *(tuple(name for name in ALL if name != left_out) for left_out in reversed(ALL)))

SWEEP = Sweep(
    question="Which view does each view learn from: what does leaving one out of the pre-training cost?",
    config=PairwiseConfig(),
    axes={"classify, view_names": tune.grid_search([(own, part) for own in ALL for part in PARTS if own in part])},
    reference={"classify": "layers", "view_names": ALL},
    training=Training(label_fraction=0.1),
    protocols=("demo_within", "open_within", "khaertdinov2024"),
    chooses=False,
)
