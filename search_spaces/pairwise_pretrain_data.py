"""Must pre-training hear the emotions that are asked for, or do clips of other annotations do?

Source: Khaertdinov et al. (Interspeech 2024), Fig. 4: target or out-of-distribution annotations in the pre-training
data; which clips those are is our reading (METHODS FLAG 33).
Run: python -m orchestrator.sweep pairwise_pretrain_data
Pre-training hears the training clips of the four emotions (`target`), the other clips of the same speakers (`other`:
in IEMOCAP frustration, surprise, fear, disgust, other, and those on which the raters differ), or `both`. If `other`
does as well as `target`, unlabelled speech of any mood will do; what `both` adds is more speech. The numbers of clips
differ (`stage/clips`), the steps do not. It needs IEMOCAP, or a corpus of the user's own with further emotions: the
open corpora and the demo are read without theirs.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import PairwiseConfig
from trainers.spec import Training

SWEEP = Sweep(
    question="Does it matter whether pre-training hears clips of the target emotions, of others, or both?",
    config=PairwiseConfig(),
    axes={"annotations": tune.grid_search(["target", "other", "both"])},
    reference={"annotations": "target"},
    training=Training(label_fraction=0.1),
    protocols=("khaertdinov2024", "xiang2024"),
)
