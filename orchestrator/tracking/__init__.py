"""The ledger's mirror in MLflow: one run per configuration, one child run per cell, one run per record of a sweep.

    python -m orchestrator.tracking sync [NAME …]

`tracker.py` sends while a sweep runs and never fails it; `telling.py` what it came to; `mirror.py` is what an
experiment holds; `sync.py` sends later what MLflow lacks. Only `client.py` and `mirror.py` know MLflow, which takes
seconds to import, so that happens when the first thing is logged.
"""

from orchestrator.tracking.tracker import Tracker, default_uri

__all__ = ["Tracker", "default_uri"]
