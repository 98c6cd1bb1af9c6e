"""How strong should augmentation be, for CL, BYOL and SupCon?

Source: Gong et al. 2025 §2.1 give the kinds and one range; `strength` scales all ranges and is ours (METHODS FLAG 41).
Run: python -m orchestrator.sweep augmentation_strength
At 0 nothing is changed, 1 is the paper's, 1.5 the most. A method's stages share one strength; BYOL's supervised views
keep half of it ("reduced" in the paper). Arms of one method are to be compared with its own strength 1: methods differ
in what they augment, so that equal strengths of two of them are not equal amounts.
"""

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig, ClConfig, SupConConfig

STRENGTHS = (0.0, 0.5, 1.0, 1.5)

SWEEP = Sweep(
    question="How strong should augmentation be for CL, BYOL and SupCon to transfer?",
    arms={
        **{f"CL strength={s:g}": ClConfig(strength=s, adapt_strength=s) for s in STRENGTHS},
        **{f"BYOL strength={s:g}": ByolConfig(strength=s, supervised_strength=s / 2) for s in STRENGTHS},
        **{f"SupCon strength={s:g}": SupConConfig(strength=s, adapt_strength=s) for s in STRENGTHS},
    },
    reference={"arm": "CL strength=1"},
    chooses=False,
)
