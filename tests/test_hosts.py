"""`ray up` for real, on machines of namespaces (tests/hosts). It takes ten minutes: it runs where it is asked for."""

import os
import subprocess
import sys

import pytest

from tests.hosts.machines import CODE, impossible
from tests.hosts.written import adapted, cluster

ASKED = "FOLDWISE_HOSTS"


def test_what_the_machines_get_is_cluster_local_yaml_but_for_user_installs_and_cpus() -> None:
    written, found = cluster(), adapted(cluster())
    differ = {name for name in written.keys() | found.keys() if written.get(name) != found.get(name)}
    assert differ == {"auth", "setup_commands", "head_start_ray_commands", "worker_start_ray_commands"}
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert [line.removesuffix(" --num-cpus=1") for line in found[name]] == [line.strip() for line in written[name]]
    assert found["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get(ASKED) != "1", reason=f"takes ten minutes: {ASKED}=1, or python -m tests.hosts")
def test_a_sweep_on_three_machines_one_of_them_cut_off_has_the_bits_of_one_machine() -> None:
    if why := impossible():
        pytest.skip(why)
    done = subprocess.run([sys.executable, "-m", "tests.hosts"], cwd=CODE, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
