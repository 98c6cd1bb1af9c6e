"""Before a sweep on a cluster: a node that differs is told in one line, and a sound cluster takes no time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.preflight_brief import agree, differing, look
from tests.local_ray import head
from trainers.errors import UserError


def test_what_a_node_has_otherwise_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "trace").touch()
    ours = look(tmp_path / "trace")
    assert differing(ours, ours) == ""
    assert "torch 1.0 (the driver " in differing(ours, ours | {"torch": "1.0"})
    assert "has other code (x, the driver " in differing(ours, ours | {"code": "x"})
    assert "does not see the driver's store" in differing(ours, ours | {"store": ""})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head alone; a test adds nodes."""
    with head(1, monkeypatch) as made:
        yield made


@pytest.mark.slow
def test_a_node_of_other_packages_is_refused_in_one_line_and_the_same_ones_are_let_through(
    cluster: Any, tmp_path: Path
) -> None:
    agree(tmp_path)
    assert not list(tmp_path.iterdir())
    other = tmp_path / "packages" / "torch-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    before = os.environ.get("PYTHONPATH", "")
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": f"{other.parent}:{before}"})
    with pytest.raises(UserError, match=r"torch 1\.0 \(the driver [^\n]*$"):
        agree(tmp_path / "store")
