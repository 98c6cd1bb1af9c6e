"""Which of the papers' methods carries emotion to a language without labels?

Source: Gong et al. 2025, Table 1 (baseline, CL, BYOL), with SupCon (Xiang 2024) in the same frame.
Run: python -m orchestrator.sweep methods
All arms share corpora, folds, front end, steps and the way in which settings are chosen. λ = 0 is BYOL's own training
without BYOL: what BYOL gains, it must gain over this arm.
Result, 2026-11-21, open, tiny.en, folds 0 to 2, 150 steps of 8 clips (README): it shows machinery only. Macro UAR
baseline 54.6, CL 52.9, BYOL 44.5, λ = 0 55.7 (chosen), SupCon 58.0, own statistics 45.2; no difference is shown.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, SupConConfig

SWEEP = Sweep(
    question="Which method transfers best: baseline, CL, BYOL or SupCon?",
    arms={
        "baseline": BaselineConfig(),
        "CL": ClConfig(),
        "BYOL": ByolConfig(),
        "BYOL λ=0": ByolConfig(lambda_start=0.0, lambda_end=0.0),
        "SupCon": SupConConfig(),
    },
    reference={"arm": "baseline"},
    chooses=False,
)
