"""Random streams named by what they are for, so that nothing depends on workers, restarts or global state."""

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stable_seed(*what: int | str) -> int:
    """A seed in [0, 2⁶³) from a SHA-256 of all arguments, the same in every process and version of Python.

    The number 1 and the text "1" differ, and so do ("a", "b") and ("ab",).
    """
    digest = hashlib.sha256(json.dumps(what).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *what: int | str) -> "torch.Generator":
    """torch's random stream on the CPU for (seed, step or epoch, purpose); draws are moved to where they are used."""
    import torch  # not above: the comparison of results reads corpora's names, and needs no torch

    return torch.Generator().manual_seed(stable_seed(seed, *what))


def numpy_generator(seed: int, *what: int | str) -> np.random.Generator:
    """numpy's random stream for (seed, step or epoch, purpose)."""
    return np.random.default_rng(stable_seed(seed, *what))
