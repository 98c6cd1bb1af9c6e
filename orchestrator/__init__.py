"""Where things run: the plan, the board, the slots, the ledger and MLflow."""
