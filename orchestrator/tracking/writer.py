"""Who writes a run: what another process is just writing is not the leftover of a crash."""

import os
import socket
import time

TAG = "mlflow.writer"
"""MLflow's pages show no tag that begins so."""

AT_MOST_S = 600.0
"""Writing one run takes seconds; what is half-written for longer than this has no writer any more."""


def signature() -> str:
    """This process and now, as a tag."""
    return f"{socket.gethostname()} {os.getpid()} {int(time.time())}"


def may_be_writing(told: str) -> bool:
    """Whether another process, by its `signature`, may still be at the run: one of this machine that lives, or one of
    another machine that began a short while ago."""
    match told.split(" "):
        case [host, pid, since] if pid.isdigit() and since.isdigit():
            elsewhere = host != socket.gethostname()
            return time.time() - int(since) < AT_MOST_S and (elsewhere or _lives(int(pid)))
    return False


def _lives(pid: int) -> bool:
    """Whether this is another process than ours, and is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
