"""Trainings on a device whose tensors lie apart from the CPU's: the same numbers, and no waiting within a step.

No GPU is needed: the device computes as the CPU does (`tests/elsewhere.py`). It shows that everything lies where it
has to and how often a GPU would be waited for, but no GPU's kernels, number formats or speed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.apart import SWEEPS, placed
from tests.staged_world import spec
from tests.test_method_ranks import CASES
from trainers.loop import _optimiser, _step
from trainers.methods.configs import BaselineConfig
from trainers.moving import Returning, onto


@pytest.fixture(scope="module")
def told(demo_ground: object, demo_store: Path) -> list[dict[str, Any]]:  # noqa: ARG001  (the demo is there)
    """What `tests.apart` prints, in a process of its own: torch cannot forget a device again."""
    asked = [sys.executable, "-m", "tests.apart", str(demo_store), *SWEEPS]
    done = subprocess.run(asked, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_the_device_notices_waiting_and_what_lies_on_two_devices(told: list[dict[str, Any]]) -> None:
    """A number is read, a mask indexes, a tensor comes back, one goes there plainly; `onto` is no fifth."""
    waits, mixed = told[0]["waits"], told[0]["mixed"]
    assert [wait.split(":")[0] for wait in waits] == [
        "_local_scalar_dense",
        "index",
        "from the device",
        "copy_ between devices",
    ]
    assert "tensors of two devices" in mixed


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_a_cell_has_the_same_numbers_on_a_device_apart(name: str, told: list[dict[str, Any]]) -> None:
    assert [one for one in told if one.get("sweep") == name] == [{"sweep": name, "differs": [], "on": "elsewhere"}]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_step_does_not_wait_for_the_device(case: str, told: list[dict[str, Any]]) -> None:
    assert [one for one in told if one.get("case") == case] == [{"case": case, "waits": []}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("case", CASES)
def test_a_step_does_not_wait_for_a_gpu(case: str) -> None:
    """The same, told by torch itself."""
    made, training = placed(case, torch.device("cuda")), spec(BaselineConfig()).training
    optimiser = _optimiser(made, training)
    _step(made, optimiser, training, 0, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        told = _step(made, optimiser, training, 0, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert told.row()["loss/total"] > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_number_is_read_once_a_gpu_has_come_to_it() -> None:
    late = torch.zeros((), device="cuda")
    torch.cuda._sleep(10**9)  # type: ignore[no-untyped-call]  # nor has torch one for this
    late += 1
    assert Returning({"late": late}).read() == {"late": 1.0}


def test_on_the_cpu_nothing_moves() -> None:
    numbers = torch.rand(3)
    assert onto(torch.device("cpu"), numbers) is numbers
    assert Returning({"a": numbers[1], "b": numbers[2]}).read() == {"a": float(numbers[1]), "b": float(numbers[2])}


def test_what_goes_to_a_gpu_is_pinned_in_one_piece_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch is asked for, without a GPU."""
    asked: list[Any] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one: asked.append(one.is_contiguous()) or one)
    monkeypatch.setattr(torch.Tensor, "to", lambda _, *where, **how: asked.append((*where, how)))
    onto(torch.device("cuda"), torch.rand(4, 6)[:, :3])
    assert asked == [True, (torch.device("cuda"), {"non_blocking": True})]


def test_numbers_of_a_gpu_are_read_after_all_that_it_was_told_on_their_own_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order in which torch is asked, without a GPU."""
    order: list[Any] = []

    class Stream:
        def __init__(self, device: object) -> None:
            self.device = device

    class Event:
        def record(self, stream: Stream) -> None:
            order.append(("recorded", stream.device))

        def synchronize(self) -> None:
            order.append("waited")

    class OnGpu:
        is_cuda, device = True, torch.device("cuda:1")

        def detach(self) -> "OnGpu":
            return self

        def to(self, where: str, *, non_blocking: bool) -> "OnGpu":
            order.append(("sent", where, non_blocking))
            return self

        def __float__(self) -> float:
            order.append("read")
            return 2.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    numbers: Any = {"a": OnGpu()}
    assert Returning(numbers).read() == {"a": 2.0}
    assert order == [("sent", "cpu", True), ("recorded", OnGpu.device), "waited", "read"]
