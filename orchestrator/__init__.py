"""Where things run: the plan, the board, the slots, the ledger and MLflow."""

import os

os.environ.setdefault("RAY_RAYLET_PID", str(os.getpid()))
"""Ray ends a process on the spot, without a word, that loses its raylet and is a child of process 1, as one is below a
container's init or once its terminal is closed. Told another raylet's number it asks whether that one lives. Ray reads
this once, as it is imported, and tells its own processes theirs."""
