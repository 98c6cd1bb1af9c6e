"""Which temperature of the loss between views leaves the better encoder?

Source: Khaertdinov et al. (Interspeech 2024) use NT-Xent in pairs; their temperature is unknown to us. Published
relatives have 0.05 to 0.1 (METHODS §7).
Run: python -m orchestrator.sweep pairwise_temperature
A tenth of the labels is used: with all of them the encoder's start matters least. A flat result says that temperature
need not be searched; a fall at one end says what blurs (high) or splits hairs (low). See label_fraction for what the
open protocol lacks of the paper.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import PairwiseConfig
from trainers.spec import Training

SWEEP = Sweep(
    question="Which temperature of the loss between views helps most where a tenth of the labels is at hand?",
    config=PairwiseConfig(),
    axes={"temperature": tune.grid_search([0.03, 0.07, 0.1, 0.2, 0.5])},
    reference={"temperature": 0.1},
    training=Training(label_fraction=0.1),
    protocols=("demo_within", "open_within", "khaertdinov2024"),
)
