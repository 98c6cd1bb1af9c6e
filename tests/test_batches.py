"""Which clips a step trains on: balance, distinct clips, halves, and nothing but (seed, step) decides."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.batches import Balanced, TwoSources, distinct, fraction
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

NUMBERS = torch.arange(1000, 1200)
LABELS = torch.tensor([0] * 20 + [1] * 100 + [2] * 50 + [3] * 30)
HIGH, LOW = torch.arange(0, 90), torch.arange(500, 540)


def balanced(seed: int = 0, batch_size: int = 64) -> Balanced:
    return Balanced(NUMBERS, LABELS, batch_size, seed)


def labels_of(drawn: Tensor) -> list[int]:
    return [int(LABELS[number - 1000]) for number in drawn.tolist()]


@pytest.mark.parametrize("step", [0, 1, 4999])
def test_a_batch_of_64_has_16_different_clips_of_each_emotion(step: int) -> None:
    drawn = balanced().draw(step)
    assert Counter(labels_of(drawn)) == dict.fromkeys(range(4), 16)
    assert len(set(drawn.tolist())) == 64


def test_an_unlabelled_batch_is_half_high_and_half_low_resource_with_no_clip_twice() -> None:
    drawn = TwoSources(HIGH, LOW, 64, 0).draw(3).tolist()
    assert set(drawn[:32]) <= set(HIGH.tolist())
    assert set(drawn[32:]) <= set(LOW.tolist())
    assert len(set(drawn)) == 64


def test_batches_are_told_by_seed_and_step_alone() -> None:
    forwards = [balanced().draw(step).tolist() for step in range(20)]
    one = balanced()
    backwards = []
    for step in reversed(range(20)):
        torch.rand(5)  # global random state must not matter
        backwards.append(one.draw(step).tolist())
    assert backwards[::-1] == forwards
    pairs = TwoSources(HIGH, LOW, 16, 0)
    assert torch.equal(pairs.draw(7), TwoSources(HIGH, LOW, 16, 0).draw(7))


def test_other_steps_and_other_seeds_draw_other_clips() -> None:
    drawn = {tuple(balanced(seed).draw(step).tolist()) for seed in range(4) for step in range(4)}
    assert len(drawn) == 16
    pairs = {tuple(TwoSources(HIGH, LOW, 16, seed).draw(step).tolist()) for seed in range(4) for step in range(4)}
    assert len(pairs) == 16


def test_a_drawn_batch_that_is_changed_in_place_does_not_change_the_next_draw() -> None:
    one = balanced()
    wanted = one.draw(0).clone()
    one.draw(0).zero_()
    assert torch.equal(one.draw(0), wanted)


def test_every_clip_is_drawn_about_equally_often() -> None:
    one = balanced()
    heard = Counter(number for step in range(400) for number in one.draw(step).tolist() if number < 1020)
    assert len(heard) == 20
    expected = 400 * 16 / 20  # hypergeometric: sd of a clip's count is √(400 · .8 · .2) = 8
    assert all(abs(count - expected) < 5 * 8 for count in heard.values())


@given(st.integers(1, 40), st.integers(1, 100))
def test_a_small_pool_gives_each_member_equally_often_within_one(size: int, count: int) -> None:
    pool = torch.arange(size) + 7
    drawn = Counter(distinct(pool, count, torch.Generator().manual_seed(0)).tolist())
    assert sum(drawn.values()) == count
    assert set(drawn) <= set(pool.tolist())
    assert max(drawn.values()) == -(-count // size)
    assert min(drawn.get(member, 0) for member in pool.tolist()) == count // size


def test_a_batch_larger_than_a_class_repeats_its_clips_evenly() -> None:
    few = Balanced(torch.arange(8), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]), 64, 0).draw(0)
    assert Counter(few.tolist()) == dict.fromkeys(range(8), 8)


@pytest.mark.parametrize("emotion", range(4))
def test_an_emotion_without_clips_is_named(emotion: int) -> None:
    here = torch.ne(LABELS, emotion)
    with pytest.raises(UserError, match=f"no labelled clip to train on is {EMOTIONS[emotion]}"):
        Balanced(NUMBERS[here], LABELS[here], 64, 0)


# --- the papers' other readings


def test_corpora_in_turn_share_an_emotion_evenly_however_few_clips_one_of_them_has() -> None:
    corpora = torch.tensor([number % 10 == 0 for number in range(200)]).long()
    mixed = Balanced(NUMBERS, LABELS, 16, 0, corpora)
    for step in range(4):
        drawn = mixed.draw(step)
        of_corpus = Counter((int(LABELS[n - 1000]), int(corpora[n - 1000])) for n in drawn.tolist())
        assert of_corpus == {(emotion, corpus): 2 for emotion in range(4) for corpus in (0, 1)}
        assert drawn.tolist() == mixed.draw(step).tolist()


def test_an_odd_share_goes_to_another_corpus_each_step() -> None:
    corpora = (NUMBERS >= 1150).long()
    labels = torch.arange(200) % 4
    mixed = Balanced(NUMBERS, labels, 12, 0, corpora)
    more = [Counter((mixed.draw(step) >= 1150).tolist())[True] for step in range(4)]
    assert sorted(set(more)) == [4, 8]


def test_a_batch_of_either_source_is_of_one_source_alone_and_both_come() -> None:
    either = TwoSources(HIGH, LOW, 32, 0, either=True)
    drawn = [set(either.draw(step).tolist()) for step in range(40)]
    from_high = [batch <= set(HIGH.tolist()) for batch in drawn]
    assert all(high or batch <= set(LOW.tolist()) for high, batch in zip(from_high, drawn, strict=True))
    assert {len(batch) for batch in drawn} == {32}
    assert 8 < sum(from_high) < 32


# --- few labels


@given(st.integers(1, 100), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_of_each_label_a_whole_percentage_is_kept_and_at_least_one(percent: int, sizes: list[int]) -> None:
    labels = torch.tensor([label for label, size in enumerate(sizes) for _ in range(size)])
    kept = fraction(torch.arange(len(labels)) + 7, labels, percent / 100)
    counts = Counter(labels[kept - 7].tolist())
    assert counts == {label: max(1, percent * size // 100) for label, size in enumerate(sizes)}
    assert kept.tolist() == sorted(set(kept.tolist()))


def test_the_clips_of_a_smaller_share_are_among_those_of_a_larger_one_and_always_the_same() -> None:
    kept = [set(fraction(NUMBERS, LABELS, share).tolist()) for share in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)]
    assert all(fewer < more for fewer, more in pairwise(kept))
    assert torch.equal(fraction(NUMBERS, LABELS, 1.0), NUMBERS)
    torch.manual_seed(5)
    assert set(fraction(NUMBERS, LABELS, 0.1).tolist()) == kept[2]
