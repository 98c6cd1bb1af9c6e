"""Random streams: the same in every process, apart from each other, deaf to global state."""

import numpy as np
import torch

from trainers.audio.draws import generator, numpy_generator, stable_seed


def test_streams_are_fixed_for_ever() -> None:
    # printf '[0, "view", 3]' | sha256sum: the first 16 hex digits, halved
    assert stable_seed(0, "view", 3) == 4702290488423466245


def test_streams_differ_by_any_argument_and_its_kind() -> None:
    names = [(0,), (1,), ("1",), (0, "a"), (0, "a", "b"), (0, "ab"), (0, "a", 1), (0, "a", "1"), (0, 1, "a")]
    assert len({stable_seed(*name) for name in names}) == len(names)


def test_every_seed_suits_torch_and_numpy() -> None:
    seeds = [stable_seed(number) for number in range(2000)]
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_equal_names_give_equal_draws_whatever_the_global_state() -> None:
    first = torch.rand(3, generator=generator(5, "masks", 2)), numpy_generator(5, "masks", 2).random(3)
    torch.manual_seed(9)
    np.random.seed(9)
    second = torch.rand(3, generator=generator(5, "masks", 2)), numpy_generator(5, "masks", 2).random(3)
    assert torch.equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
