"""Which temperature of the speaker-contrastive adaptation makes CL transfer best?

Source: Gong et al. 2025 §2.2 (eq. 1) print the temperature and give no value; 0.07 is our default.
Run: python -m orchestrator.sweep cl_temperature
With adaptation corpora (Common Voice) the adaptation depends on neither fold nor language, so that a seed needs one for
each temperature; on target speech it is one for each temperature and fold. All languages come from one training.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ClConfig

SWEEP = Sweep(
    question="Which temperature of CL's speaker contrast transfers best to each language?",
    config=ClConfig(),
    axes={"temperature": tune.grid_search([0.05, 0.07, 0.1, 0.2, 0.5])},
    reference={"temperature": 0.07},
)
