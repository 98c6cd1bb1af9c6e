"""How much labelled high-resource and unlabelled target speech does BYOL need?

Source: Gong et al. 2025 §5 leave the amounts open; they call the shares `hrl_fraction` and `lrl_cap`, which are
`label_fraction` (of each emotion's labelled clips; BYOL hears those alone of the high-resource speech) and
`unlabelled_cap` (whole clips, 0 is all) here. The amounts are ours. Whose speech is heard is asked by `source_data`.
Run: python -m orchestrator.sweep byol_source_and_size
A cap that is not below a language's training part changes nothing there: the smallest target needs more than 100 clips
to train on, or its three caps are two. A flat line over the caps says that BYOL's gain does not come from the target.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig

SWEEP = Sweep(
    question="How does BYOL's transfer depend on the amounts of labelled and of unlabelled speech?",
    config=ByolConfig(),
    axes={"label_fraction": tune.grid_search([1.0, 0.5, 0.25]), "unlabelled_cap": tune.grid_search([0, 100, 25])},
    reference={"label_fraction": 1.0, "unlabelled_cap": 0},
    chooses=False,
)
