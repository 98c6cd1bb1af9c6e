"""Is it better to adapt to much foreign speech of the target languages, or to the little that is like the test?

Source: Gong et al. 2025 §4 compare Common Voice with the target corpora, for CL and BYOL, without figures; they find
that CL prefers the first and BYOL the second. The size-matched arms are ours.
Run: python -m orchestrator.sweep source_data
"adaptation" hears the protocol's adaptation corpora (Common Voice), CL all of them and BYOL those of the tested
language; "target" the tested corpus's training part; "matched" as many clips as that, of the adaptation corpora in the
tested language. Matched against target is a difference of domain, adaptation against matched one of amount (for CL
also of the number of languages). It needs recordings of adaptation corpora.
"""

from search_spaces import Sweep
from trainers.methods.configs import ByolConfig, ClConfig

SWEEP = Sweep(
    question="Which unlabelled speech helps CL and BYOL: much of another domain, or little of the tested one?",
    arms={
        "CL adaptation": ClConfig(adapt_on="adaptation"),
        "CL target": ClConfig(adapt_on="target"),
        "CL matched": ClConfig(adapt_on="adaptation-matched"),
        "BYOL adaptation": ByolConfig(unlabelled_on="adaptation"),
        "BYOL target": ByolConfig(),
        "BYOL matched": ByolConfig(unlabelled_on="adaptation-matched"),
    },
    reference={"arm": "BYOL target"},
    protocols=("demo_sources", "gong2025"),
    chooses=False,
)
