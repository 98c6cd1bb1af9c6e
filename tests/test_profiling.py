"""The profile of a training: where a planted delay shows, and that nothing is trained otherwise."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import small_world, staged_world
from trainers.loop import train
from trainers.methods.configs import ClConfig
from trainers.profiling import PARTS, Profile, count_memory_anew, holds, memory, profile, told

CPU = torch.device("cpu")
DELAY_S = 0.2


class Slow:
    """A method with a delay in one place."""

    def __init__(self, method: Any, part: str) -> None:
        self.method, self.part = method, part
        self.online = method.online
        if part == "encoder, forward":
            inner = next(self.online.children())
            inner.register_forward_hook(lambda *_: time.sleep(DELAY_S))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def losses(self, step: int) -> dict[str, Tensor]:
        if self.part == "views and losses":
            time.sleep(DELAY_S)
        found: dict[str, Tensor] = self.method.losses(step)
        if self.part == "backward":
            found["total"] = found["total"] * 1
            found["total"].register_hook(lambda _: time.sleep(DELAY_S))
        return found

    def after_step(self, step: int) -> dict[str, float]:
        if self.part == "moving averages":
            time.sleep(DELAY_S)
        applied: dict[str, float] = self.method.after_step(step)
        return applied


@pytest.mark.parametrize("part", [part for part in PARTS if part != "optimiser"])
def test_a_delay_is_found_in_its_part_and_in_no_other(part: str) -> None:
    spec = small_world.spec()
    found = profile(Slow(small_world.method(spec), part), spec.training, 0, 3, CPU)
    assert found.parts[part] >= DELAY_S
    assert max(found.parts, key=lambda name: found.parts[name]) == part


def test_the_parts_of_a_step_are_the_whole_step() -> None:
    spec = small_world.spec()
    found = profile(small_world.method(spec), spec.training, 0, 1, CPU)
    assert found.step == pytest.approx(sum(found.parts.values()), rel=1e-6)


@pytest.mark.parametrize("staged", [False, True], ids=["byol", "the stage of cl"])
def test_a_profile_trains_what_the_loop_trains(staged: bool) -> None:
    def made() -> nn.Module:
        return staged_world.stage(ClConfig(clips_per_speaker=2)) if staged else small_world.method()

    spec = staged_world.spec(ClConfig(clips_per_speaker=2)) if staged else small_world.spec()
    profiled, plain = made(), made()
    profile(profiled, spec.training, spec.seed, 4, CPU)
    train(plain, spec.training, spec.seed, validate=None, until=5)
    for mine, other in zip(profiled.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in profiled.modules())


def test_cells_are_packed_by_nine_tenths_of_the_memory_each_with_a_context_of_its_own() -> None:
    """.9 · 80 GB = 72 GB; 10 GB and a context of .6 GB go 6 times into that (63.6), and not 7 times (74.2)."""
    small = Profile(5, dict.fromkeys(PARTS, 0.1), 0.5, memory_bytes=10 * 10**9, device_bytes=80 * 10**9)
    assert small.cells_at_once == 6
    assert "holds 6 such cells (--gpus-per-cell 0.166)" in "\n".join(told(small))
    assert Profile(5, {}, 0.5, 10**9).cells_at_once == 0
    assert holds(72 * 10**9, 80 * 10**9) == 0
    assert holds(35.4 * 10**9, 80 * 10**9) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_the_memory_of_what_came_before_is_not_that_of_what_comes() -> None:
    gpu, kept, gone = torch.device("cuda"), 64 * 2**20, 512 * 2**20
    count_memory_anew(gpu)
    before, has = memory(gpu)
    lives = torch.empty(kept, dtype=torch.uint8, device=gpu)
    passes = torch.empty(gone, dtype=torch.uint8, device=gpu)
    assert memory(gpu)[0] >= before + kept + gone
    del passes
    count_memory_anew(gpu)
    again, _ = memory(gpu)
    assert before + kept <= again < before + gone
    assert len(lives) == kept < again < has
