"""Which of the six augmentations does CL need, and which would do alone?

Source: Gong et al. 2025 §2.1 list six kinds and take none out.
Run: python -m orchestrator.sweep augmentation_types
Both stages have the same kinds. A kind that nothing is lost without and that alone is no better than none is idle.
Polarity is one in advance: a log-mel of power does not know it (METHODS §1.1), so its arms measure the noise of this
comparison where the encoder is a Whisper.
"""

from search_spaces import Sweep
from trainers.methods.configs import PAPERS_KINDS, ClConfig


def _without(left_out: str) -> tuple[str, ...]:
    return tuple(kind for kind in PAPERS_KINDS if kind != left_out)


SWEEP = Sweep(
    question="Which augmentations does CL need: one left out, one alone, all or none?",
    arms={
        "all six": ClConfig(),
        **{f"without {kind}": ClConfig(augmentations=_without(kind)) for kind in PAPERS_KINDS},
        **{f"{kind} alone": ClConfig(augmentations=(kind,)) for kind in PAPERS_KINDS},
        "none": ClConfig(augmentations=()),
    },
    reference={"arm": "all six"},
    chooses=False,
)
