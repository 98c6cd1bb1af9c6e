"""The same cluster on machines of one's own, by Slurm and by Kubernetes: what all must share with `cluster.yaml`."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> dict[str, Any]:
    """A YAML file at the top."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


def starts(config: dict[str, Any]) -> dict[str, str]:
    """What starts Ray on the head and on the others."""
    found = {name: config[f"{name}_start_ray_commands"] for name in ("head", "worker")}
    return {name: next(line for line in lines if "ray start" in line) for name, lines in found.items()}


@pytest.fixture(scope="module")
def amazon() -> dict[str, Any]:
    return read("cluster.yaml")


@pytest.fixture(scope="module")
def own() -> dict[str, Any]:
    return read("cluster.local.yaml")


@pytest.fixture(scope="module")
def google(amazon: dict[str, Any]) -> dict[str, Any]:
    """As docs/CLUSTER.md says to lay one over the other."""
    return amazon | read("docs/cluster.gcp.yaml")


@pytest.fixture(scope="module")
def batch() -> str:
    return (ROOT / "slurm" / "sweep.sbatch").read_text()


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return read("kubernetes/rayjob.yaml")["spec"]


def test_ray_s_own_schema_takes_machines_of_one_s_own(own: dict[str, Any]) -> None:
    validate_config(prepare_config(own))


def test_own_machines_start_ray_as_amazon_s_do_but_with_the_autoscaler_that_starts_all_of_them(
    amazon: dict[str, Any], own: dict[str, Any]
) -> None:
    found = starts(own)
    first = "RAY_enable_autoscaler_v2=0 "
    assert found["head"].count(first) == 1
    assert {**found, "head": found["head"].replace(first, "")} == starts(amazon)


def test_a_stopped_job_has_the_same_time_to_leave_everywhere(amazon: dict[str, Any], job: dict[str, Any]) -> None:
    assert "export RAY_JOB_STOP_WAIT_TIME_S=120;" in starts(amazon)["head"]
    (head,) = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": "120"} in head["env"]


def test_own_machines_install_what_amazon_s_do(amazon: dict[str, Any], own: dict[str, Any]) -> None:
    without_root = [line for line in amazon["setup_commands"] if "sudo" not in line]
    assert own["setup_commands"] == without_root


def test_own_machines_get_the_same_files(amazon: dict[str, Any], own: dict[str, Any]) -> None:
    for field in ("file_mounts", "rsync_exclude", "cluster_name"):
        assert own[field] == amazon[field]


def test_mlflow_runs_the_same_but_for_its_database(amazon: dict[str, Any], own: dict[str, Any]) -> None:
    def server(config: dict[str, Any]) -> list[str]:
        line = next(line for line in config["head_start_ray_commands"] if "mlflow server" in line)
        found = re.search(r"mlflow server ([^;]*)", line)
        assert found
        return [word for word in found[1].split() if "://" not in word]

    assert server(own) == server(amazon)
    for config in (own, amazon):  # or the server starts seven processes for jobs of others, .23 GB each
        assert any("MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in line for line in config["head_start_ray_commands"])


def test_ray_s_own_schema_takes_google_s_machines(google: dict[str, Any]) -> None:
    validate_config(prepare_config(google))


def test_google_s_machines_differ_in_provider_machines_and_driver_alone(
    amazon: dict[str, Any], google: dict[str, Any]
) -> None:
    differing = {name for name in google if google[name] != amazon.get(name)}
    assert differing == {"provider", "available_node_types", "worker_setup_commands"}
    assert starts(google) == starts(amazon)


def test_google_s_nodes_come_and_go_as_amazon_s_do(amazon: dict[str, Any], google: dict[str, Any]) -> None:
    """Resources of AWS's types are looked up in `test_cluster_yaml.py`; Google's machines tell theirs by name."""
    theirs, ours = google["available_node_types"], amazon["available_node_types"]
    asked = ("min_workers", "max_workers", "priority", "resources")
    for name in ours:
        assert {key: theirs[name].get(key) for key in asked} == {key: ours[name].get(key) for key in asked}
        assert theirs[name]["node_config"]["machineType"].endswith("-standard-8")
    spot, on_demand = (theirs[name]["node_config"] for name in ("gpu_spot", "gpu_on_demand"))
    assert spot.pop("scheduling") == [*on_demand.pop("scheduling"), {"preemptible": True}]
    assert spot == on_demand


def test_slurm_s_script_is_bash(batch: str) -> None:
    subprocess.run(["bash", "-n"], input=batch.encode(), check=True)


def test_slurm_starts_ray_with_the_token_and_the_flags_of_the_others(amazon: dict[str, Any], batch: str) -> None:
    token = "chmod 600 ~/.ray/auth_token && export RAY_AUTH_MODE=token"
    for line in starts(amazon).values():
        assert token in line
    assert batch.index(token) < batch.index("ray symmetric-run")
    assert "--dashboard-host=127.0.0.1" in batch
    assert ":6379" in batch
    assert "--port=6379" in starts(amazon)["head"]


def test_ray_s_symmetric_run_takes_slurm_s_flags(batch: str) -> None:
    """Ray refuses some, such as --head; what is left goes to `ray start`."""
    line = re.search(r"ray symmetric-run (.*?) -- ", batch.replace("\\\n", ""))
    assert line
    passed = curate_and_validate_ray_start_args(line[1].split())
    assert [word.split("=")[0] for word in passed] == ["--dashboard-host", "--num-cpus", "--num-gpus"]


def test_slurm_s_step_asks_for_the_cpus_of_its_job(batch: str) -> None:
    """By its manual, srun does not inherit `--cpus-per-task` since 22.05: Ray would count CPUs that it may not use."""
    (step,) = (line for line in batch.replace("\\\n", "").splitlines() if "symmetric-run" in line)
    assert step.startswith("srun ")
    assert step.count('"$SLURM_CPUS_PER_TASK"') == 2
    assert '--cpus-per-task="$SLURM_CPUS_PER_TASK"' in step.split(" ray ")[0]


def test_kubernetes_has_the_pinned_ray_and_the_token(job: dict[str, Any]) -> None:
    pins = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    cluster = job["rayClusterSpec"]
    assert cluster["rayVersion"] == pins["ray"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            assert container["image"].endswith(f":{pins['ray']}-py311")
    assert f"rayproject/ray:{pins['ray']}-py311" in (ROOT / "kubernetes" / "rayjob.yaml").read_text()


def test_kubernetes_grows_as_amazon_does(amazon: dict[str, Any], job: dict[str, Any]) -> None:
    cluster, spot = job["rayClusterSpec"], amazon["available_node_types"]["gpu_spot"]
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (spot["min_workers"], spot["max_workers"])
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] == 60 * amazon["idle_timeout_minutes"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == spot["resources"]["GPU"]


def test_every_way_keeps_its_store_in_the_same_folder(own: dict[str, Any], job: dict[str, Any]) -> None:
    (head,) = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["volumeMounts"][0]["mountPath"] == "/mnt/foldwise"
    assert "--store /mnt/foldwise/store" in job["entrypoint"]
    for config in (own, read("cluster.yaml")):
        assert any("mkdir -p /mnt/foldwise/data /mnt/foldwise/store" in line for line in config["head_setup_commands"])
