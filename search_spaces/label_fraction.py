"""Does pre-training on several views help where labels are few, and does its gain shrink as they grow?

Source: Khaertdinov et al. (Interspeech 2024): fine-tuning with limited labels against training from scratch. Of the
paper only abstract and captions were at hand; fractions and all settings are our defaults.
Run: python -m orchestrator.sweep label_fraction
Both arms have one architecture, the same initial weights, labelled clips (those of a smaller fraction are among those
of a larger one) and steps; the pre-trained arm has as many steps of pre-training before. If pre-training pays by its
labels, its arm lies above the other at 1 to 10 % and the two meet at 100 %; if it is above at 100 % too, longer
training may be all that it needs. All six fractions share one pre-training a fold.

With `--protocol khaertdinov2024 --encoder facebook/wav2vec2-base` it is the paper's question on IEMOCAP. With
open_within on RAVDESS (`--languages english`) and Whisper tiny.en the views are Whisper's layers, log-mel and eGeMAPS:
there is no wav2vec 2.0 in it, and it says nothing about the paper's numbers.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import PairwiseConfig

SWEEP = Sweep(
    question="With how few labels does pre-training on several views beat training from scratch?",
    arms={"from scratch": PairwiseConfig(adapt_share=0.0), "pre-trained": PairwiseConfig()},
    axes={"label_fraction": tune.grid_search([0.01, 0.05, 0.1, 0.25, 0.5, 1.0])},
    reference={"arm": "from scratch", "label_fraction": 1.0},
    protocols=("demo_within", "open_within", "khaertdinov2024"),
    chooses=False,
)
