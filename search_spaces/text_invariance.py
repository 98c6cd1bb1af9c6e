"""Does it help across sentences to learn emotions that do not depend on what is said?

Source: ours, after Gong et al. 2025 §5; the adversary is Ganin & Lempitsky's (2015).
Run: python -m orchestrator.sweep text_invariance
Folds part sentences as well as speakers, since a model that knows its sentences gains nothing from being deaf to them.
That takes corpora of several sentences: RAVDESS has two, of which training keeps one, and URDU tells none; EMO-DB has
ten. `adversarial` has the classifier's encoder unlearn the sentence, `other text` lets SupCon pull together clips of
one emotion only where they say different things.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig, SupConConfig

SWEEP = Sweep(
    question="Does being deaf to the sentence help with sentences that were never heard?",
    arms={
        "none": BaselineConfig(),
        "adversarial": BaselineConfig(text="adversarial"),
        "SupCon": SupConConfig(),
        "SupCon other text": SupConConfig(positives="other-text"),
    },
    reference={"arm": "none"},
    protocols=("demo_within", "open_texts"),
    folds_by="speaker+sentence",
)
