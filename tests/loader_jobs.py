"""What loaders are asked to do in tests: quick to import, since each process does."""

import os
import signal

import numpy as np
from numpy.typing import NDArray

from trainers.errors import UserError


def six(first: int) -> NDArray[np.float32]:
    """(6, 4) numbers from `first` on; it writes to the standard output, as libraries do."""
    print("a line that nobody asked for", flush=True)
    return np.arange(first, first + 24, dtype=np.float32).reshape(6, 4)


def own_id() -> NDArray[np.float32]:
    return np.float32([[os.getpid()]])


def refuses() -> NDArray[np.float32]:
    raise UserError("this clip is damaged")


def killed_elsewhere(there: int) -> NDArray[np.float32]:
    """Its process is killed by it, unless it is the one of this number."""
    if os.getpid() != there:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.float32([[7]])
