"""Our Ray is shut down while other threads of the command still work."""

import subprocess
import sys

import pytest

LEAVES = """
import gc, threading, time
import ray
from orchestrator import cluster

def drop(held, over):
    while held and not over.is_set():
        ring = [held.pop()]
        ring.append(ring)
        time.sleep(1e-5 if len(held) > 25_000 else 0.01)  # some are left, however long Ray takes to end

gc.set_threshold(20)
for _ in range(3):
    over = threading.Event()
    with cluster.connected(2):
        there = ray.put(1)
        refs = [ray.ObjectRef(there.binary()) for _ in range(50_000)]
        thread = threading.Thread(target=drop, args=(refs, over))
        thread.start()
        time.sleep(0.5)
    assert refs, "the thread had nothing left to drop"
    over.set()
    thread.join()
    refs.clear()
print("left", gc.isenabled())
"""


@pytest.mark.slow
def test_a_thread_that_collects_garbage_of_ray_does_not_end_the_command() -> None:
    left = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=300)
    assert (left.returncode, left.stdout) == (0, "left True\n"), left.stderr
