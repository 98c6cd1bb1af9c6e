"""What does CL's adaptation do to the embeddings: does it find unseen speakers, and at what price in emotion?

Source: Gong et al. 2025 §2.2 say that it learns the target languages' acoustics; the stage alone they do not show.
Run: python -m orchestrator.sweep cl_stage1
Nothing is fine-tuned. `speaker_eer` and `speaker_knn` are of speakers that the adaptation did not hear, the scores are
those of a frozen probe of emotion. Permuted speaker labels are the control: what they do as well is not about speakers.
An equal error rate that falls while the probe's UAR does not rise says that the stage learns speakers, and no more.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import AdaptationConfig

SWEEP = Sweep(
    question="Does CL's adaptation tell unseen speakers apart, and what does it do to a probe of emotion?",
    config=AdaptationConfig(),
    axes={
        "adapt_share, permuted_speakers": tune.grid_search([(0.0, False), (0.5, False), (1.0, False), (1.0, True)]),
    },
    reference={"adapt_share": 0.0, "permuted_speakers": False},
    shows=("speakers",),
    chooses=False,
)
