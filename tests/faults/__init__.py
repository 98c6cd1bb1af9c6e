"""Real sweeps whose processes are killed at random moments: `python -m tests.faults`."""
