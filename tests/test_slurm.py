"""slurm/sweep.sbatch under a real Slurm, on machines of namespaces (tests/hosts). It runs where it is asked for."""

import os
import re
import subprocess
import sys

import pytest

from tests.hosts.machines import CODE, lacking, no_namespaces
from tests.hosts.slurm import ADDRESSES, PACKAGES, TOOLS
from tests.test_hosts import ASKED


def test_slurm_s_settings_have_the_machines_of_the_story() -> None:
    written = (CODE / "tests" / "hosts" / "slurm.conf").read_text()
    found = re.findall(r"^(?:NodeName=(\w+) NodeAddr=|SlurmctldHost=(\w+)\()([\d.]+)", written, re.MULTILINE)
    assert {node or login: address for node, login, address in found} == ADDRESSES


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get(ASKED) != "1", reason=f"takes 20 minutes: {ASKED}=1, or python -m tests.hosts.slurm")
def test_a_job_of_slurm_cut_by_scancel_and_by_requeue_has_the_bits_of_one_machine() -> None:
    if why := lacking(TOOLS, PACKAGES) or no_namespaces():
        pytest.skip(why)
    words = [sys.executable, "-m", "tests.hosts.slurm"]
    done = subprocess.run(words, cwd=CODE, capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stdout + done.stderr
