"""Do more corpora in SupCon's first stage make a better classifier of each?

Source: Xiang 2024 has two, IEMOCAP and CASIA; more are left open there.
Run: python -m orchestrator.sweep supcon_corpora
The tested corpus itself comes first, then the others in the protocol's order. The stage has as many steps whatever the
number, so with more corpora each is heard less: a fall is a price, not proof that other languages hurt. With four
corpora or more, add points (`adapt_corpora` of 4, …) or take `--high` for your own.
"""

from ray import tune

from search_spaces import Sweep
from trainers.methods.configs import SupConConfig

SWEEP = Sweep(
    question="Does SupCon gain from one, two, three corpora in its first stage?",
    config=SupConConfig(),
    axes={"adapt_corpora": tune.grid_search([1, 2, 3])},
    reference={"adapt_corpora": 1},
    protocols=("demo_corpora", "open_within"),
)
