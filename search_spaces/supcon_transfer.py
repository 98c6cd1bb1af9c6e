"""Does contrast across corpora and languages help a classifier of one of them, over fine-tuning it directly?

Source: Xiang 2024 trains on IEMOCAP and CASIA together and then a classifier on either; only a summary was at hand.
Run: python -m orchestrator.sweep supcon_transfer
Each language of the table is a corpus that the classifier is fine-tuned on: its column is "SupCon → that corpus". The
paper's second stage trains pooling and classifier alone (METHODS FLAG 39: frozen); direct fine-tuning trains all. So
that stage and freezing are not one difference, both are shown with both. SupCon has twice the steps of direct
fine-tuning; where it wins, "direct" with `--steps` doubled is the fair opponent.
"""

from search_spaces import Sweep
from trainers.methods.configs import SupConConfig

SWEEP = Sweep(
    question="Does SupCon across corpora beat direct fine-tuning on each of them?",
    arms={
        "direct": SupConConfig(adapt_share=0.0, pooling="attention"),
        "direct, frozen": SupConConfig(adapt_share=0.0, pooling="attention", trainable_layers=0),
        "SupCon": SupConConfig(pooling="attention"),
        "SupCon, frozen": SupConConfig(pooling="attention", trainable_layers=0),
    },
    reference={"arm": "direct"},
    protocols=("demo_within", "open_within", "xiang2024"),
    chooses=False,
)
