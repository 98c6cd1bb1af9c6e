"""What gives women back the accuracy that CL takes from them?

Source: Gong et al. 2025 §4.3 report it on URDU (women 74 % before, 41 after; men 54 and 73) and blame the sampling of
speakers, most of whom are men in Common Voice. Weights and the two augmentations are ours.
Run: python -m orchestrator.sweep cl_gender
CL draws its speakers uniformly, by gender or by language in turns. The baseline is the mark to reach. `class_weights`:
batches are balanced by emotion already, so the weights make women and men equal within each emotion. `pitch` and `vtlp`
make voices higher and lower, in pitch and in the length of the vocal tract. An arm succeeds when women's F1 is back at
the baseline's and the overall F1 not below CL's. In URDU hardly any woman is angry or neutral: there "women" is nearly
"happy", and its verdict is about that class.
"""

from search_spaces import Sweep
from trainers.methods.configs import PAPERS_KINDS, BaselineConfig, ClConfig

SWEEP = Sweep(
    question="Which remedy gives women's F1 back without losing CL's gain?",
    arms={
        "baseline": BaselineConfig(),
        "CL": ClConfig(),
        "CL by gender": ClConfig(balance="gender"),
        "CL by language": ClConfig(balance="language"),
        "CL weighted": ClConfig(class_weights="gender"),
        "CL pitch": ClConfig(augmentations=(*PAPERS_KINDS, "pitch")),
        "CL vtlp": ClConfig(augmentations=(*PAPERS_KINDS, "vtlp")),
    },
    reference={"arm": "CL"},
    shows=("gender",),
    chooses=False,
)
