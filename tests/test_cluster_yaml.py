"""`cluster.yaml`: by Ray's own schema, against the machines that AWS rents, and started at a stand-in for AWS."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent

INSTANCES = {"m7i.2xlarge": (8, 0, 32), "g6.2xlarge": (8, 1, 32)}
"""vCPUs, GPUs, GiB of memory: https://aws.amazon.com/ec2/instance-types/m7i/ and …/g6/ (2026-11)."""

TRAINER_GB, TRIAL_GB, LIVE_TRIALS, REST_GB = 0.8, 0.11, 32, 4.0
"""What a TorchTrainer and a live trial take on the head; driver, MLflow, PostgreSQL and Ray's own beside."""


@pytest.fixture
def written() -> dict[str, Any]:
    """The file as it is."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return found


@pytest.fixture
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """The file as `ray up` completes it."""
    found: dict[str, Any] = prepare_config(written)
    return found


def commands(config: dict[str, Any]) -> list[str]:
    """All that its nodes run."""
    return [line for name, lines in config.items() if name.endswith("_commands") for line in lines]


def test_ray_s_own_schema_takes_the_file(prepared: dict[str, Any]) -> None:
    validate_config(prepared)


def test_no_node_claims_more_than_its_machine_has(written: dict[str, Any]) -> None:
    for node in written["available_node_types"].values():
        cpus, gpus, _ = INSTANCES[node["node_config"]["InstanceType"]]
        assert node["resources"].get("CPU", 0) <= cpus
        assert node["resources"].get("GPU", 0) == gpus


def test_the_head_has_memory_for_a_trainer_on_every_node(written: dict[str, Any]) -> None:
    head = written["available_node_types"][written["head_node_type"]]
    needed = TRAINER_GB * written["max_workers"] + TRIAL_GB * LIVE_TRIALS + REST_GB
    assert needed < INSTANCES[head["node_config"]["InstanceType"]][2] * 0.8  # Ray kills above 95 %; the rest is cache


def test_no_cell_runs_on_the_head(written: dict[str, Any]) -> None:
    assert written["available_node_types"][written["head_node_type"]]["resources"] == {"CPU": 0}


def test_spot_is_taken_before_on_demand_and_differs_in_nothing_else(written: dict[str, Any]) -> None:
    types = written["available_node_types"]
    spot, fallback = types["gpu_spot"], types["gpu_on_demand"]
    assert spot["priority"] > fallback["priority"]
    assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
    assert spot["node_config"] == fallback["node_config"]
    assert spot["min_workers"] == fallback["min_workers"] == 0
    assert "InstanceMarketOptions" not in types["head"]["node_config"]


def test_the_head_s_disk_outlives_it(written: dict[str, Any]) -> None:
    disks = written["available_node_types"]["head"]["node_config"]["BlockDeviceMappings"]
    assert [disk["Ebs"]["DeleteOnTermination"] for disk in disks] == [False]
    assert written["provider"]["cache_stopped_nodes"]


def test_the_head_may_start_gpu_nodes_by_what_ray_s_role_allows_it(written: dict[str, Any]) -> None:
    """`resolve:ssm:…` for an image has to be allowed by SSM, which Ray's role for the head does not ask for."""
    from ray.autoscaler._private.aws import config

    assert "ssm" not in Path(config.__file__).read_text().lower()
    images = {node["node_config"]["ImageId"] for node in written["available_node_types"].values()}
    (image,) = images
    assert re.fullmatch(r"ami-of-this-region|ami-[0-9a-f]+", image)
    assert 'sed -i "s/ami-of-this-region/${AMI:?}/" cluster.yaml' in (ROOT / "README.md").read_text()


def test_what_is_run_on_the_head_is_one_line_in_the_readme() -> None:
    """`ray exec` passes a line's end on, and what comes after it would be a command of its own."""
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("ray exec")]
    assert len(lines) == 2
    for line in lines:
        assert line.count('"') == 2
        assert line.count("'") == 0


def test_every_ray_starts_with_the_token_that_nobody_else_may_read(written: dict[str, Any]) -> None:
    starts = [line for line in commands(written) if "ray start" in line]
    assert len(starts) == 2
    for line in starts:
        assert "chmod 600 ~/.ray/auth_token && export RAY_AUTH_MODE=token && ~/.venv/bin/ray start" in line
    assert written["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_nothing_listens_to_the_world(written: dict[str, Any]) -> None:
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()
    assert "security_group" not in written["provider"]  # Ray's own: ssh from anywhere, all else from within
    assert any("--dashboard-host=127.0.0.1" in line for line in commands(written))
    assert any("mlflow server --host 127.0.0.1" in line for line in commands(written))


def test_what_the_nodes_install_are_the_pins(written: dict[str, Any]) -> None:
    installs = [line for line in commands(written) if "pip install" in line]
    assert len(installs) == 1
    assert "-c constraints.txt -e '.[cluster]'" in installs[0]
    said = re.findall(r"\b(ray|torch|torchaudio|mlflow|transformers)==", "\n".join(commands(written)))
    assert not said  # a version is written once, in constraints.txt
    pins = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    for extra in ("boto3", "psycopg", "psycopg-binary", "aiohttp-cors", "grpcio", "virtualenv"):
        assert extra in pins


def test_the_file_is_short() -> None:
    assert len((ROOT / "cluster.yaml").read_text().splitlines()) <= 100


@pytest.fixture
def amazon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this boto3 talks to moto's EC2 and IAM on this machine; nothing is left in the user's own ~/.ssh."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[ec2,iam,server]'")
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install -e '.[cluster]'")
    ours = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    ours.start()
    host, port = ours.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")  # AWS's own, which Ray gives the head
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    yield
    ours.stop()


def client(name: str) -> Any:
    """boto3's, at moto."""
    import boto3

    return boto3.client(name, region_name="us-west-2")


@pytest.mark.slow
@pytest.mark.usefixtures("amazon")
def test_ray_s_aws_provider_starts_the_cluster(prepared: dict[str, Any], tmp_path: Path) -> None:
    """Key pair, security group, instance profile and machines, as EC2 then tells them."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    prepared["available_node_types"] = AWSNodeProvider.fillout_available_node_types_resources(prepared)[
        "available_node_types"
    ]
    config = bootstrap_aws(prepared)
    assert Path(config["auth"]["ssh_private_key"]).parent == tmp_path / ".ssh"
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, node in config["available_node_types"].items():
        kind = "head" if name == "head" else "worker"
        tags = {"ray-node-type": kind, "ray-user-node-type": name, "ray-launch-config": name}
        provider.create_node(node["node_config"], tags, 1)
    _has_launched_what_was_asked_for()
    _lets_in_ssh_alone()
    _may_launch_workers()


def _has_launched_what_was_asked_for() -> None:
    found = [each for r in client("ec2").describe_instances()["Reservations"] for each in r["Instances"]]
    kinds = {
        next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "ray-user-node-type"): (
            each["InstanceType"],
            each.get("InstanceLifecycle", "on demand"),
        )
        for each in found
    }
    assert kinds == {
        "head": ("m7i.2xlarge", "on demand"),
        "gpu_spot": ("g6.2xlarge", "spot"),
        "gpu_on_demand": ("g6.2xlarge", "on demand"),
    }
    assert all(each["KeyName"] for each in found)


def _lets_in_ssh_alone() -> None:
    groups = [each for each in client("ec2").describe_security_groups()["SecurityGroups"] if "ray" in each["GroupName"]]
    assert groups
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    from_anywhere = [rule["FromPort"] for rule in rules if rule["IpRanges"]]
    assert set(from_anywhere) == {22}
    own = {group["GroupId"] for group in groups}
    assert {pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]} <= own


def _may_launch_workers() -> None:
    profiles = client("iam").list_instance_profiles()["InstanceProfiles"]
    roles = [role["RoleName"] for profile in profiles for role in profile["Roles"]]
    assert roles == ["ray-autoscaler-v1"]


def test_the_machines_are_as_moto_s_copy_of_aws_s_list_has_them() -> None:
    ec2 = pytest.importorskip("moto.ec2", reason="moto is not installed: pip install 'moto[ec2,iam,server]'")
    with gzip.open(Path(ec2.__file__).parent / "resources" / "instance_types.json.gz") as file:
        listed = json.load(file)
    for name, (cpus, gpus, gib) in INSTANCES.items():
        told = listed[name]
        assert told["VCpuInfo"]["DefaultVCpus"] == cpus
        assert sum(gpu["Count"] for gpu in told.get("GpuInfo", {}).get("Gpus", [])) == gpus
        assert told["MemoryInfo"]["SizeInMiB"] == gib * 1024
