"""One file per method: its module and the paper's equations. `configs.py` holds the settings of each."""
