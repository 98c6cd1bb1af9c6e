"""Batches of emotions: as many clips of each of the four from every corpus that has it, one of any further emotion."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.batches import EmotionBatches
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

Sizes = dict[tuple[int, int], int]
"""Clips by (emotion, corpus)."""

EVEN = {(emotion, corpus): 10 + 5 * emotion + 20 * corpus for emotion in range(4) for corpus in range(2)}


def batches(sizes: Sizes, batch_size: int = 32, seed: int = 0) -> EmotionBatches:
    """Clip 10000 · emotion + 1000 · corpus + place."""
    clips = [10_000 * emotion + 1000 * corpus + n for (emotion, corpus), size in sizes.items() for n in range(size)]
    numbers = torch.tensor(sorted(clips, key=lambda clip: clip % 7))
    return EmotionBatches(numbers, numbers // 10_000, numbers % 10_000 // 1000, batch_size, seed)


@pytest.mark.parametrize("step", [0, 1, 999])
def test_a_batch_of_32_is_4_clips_of_each_of_4_emotions_in_each_of_2_corpora(step: int) -> None:
    """METHODS FLAG 37: P × K is 4 classes × 2 corpora × 4."""
    numbers, emotions, corpora = batches(EVEN).draw(step)
    assert Counter(zip(emotions.tolist(), corpora.tolist(), strict=True)) == dict.fromkeys(EVEN, 4)
    assert len(set(numbers.tolist())) == 32


def test_what_is_told_of_each_clip_is_its_own() -> None:
    numbers, emotions, corpora = batches(EVEN | {(5, 1): 3}).draw(4)
    assert torch.equal(emotions, numbers // 10_000)
    assert torch.equal(corpora, numbers % 10_000 // 1000)


def test_a_further_emotion_has_one_clip_beside_the_four_and_takes_no_place_of_theirs() -> None:
    one, heard = batches(EVEN | {(4, 1): 6, (5, 0): 1, (5, 1): 4}), Counter()
    for step in range(12):
        numbers, emotions, _ = one.draw(step)
        assert Counter(emotions.tolist()) == {**dict.fromkeys(range(4), 8), 4: 1, 5: 1}
        heard.update(numbers.tolist())
    assert heard[50_000] == 6  # the only one of its corpus, in every second step


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 4)), st.integers(1, 40), min_size=4),
    st.integers(1, 16),
    st.integers(0, 50),
)
def test_corpora_that_have_an_emotion_share_it_evenly(sizes: Sizes, each: int, step: int) -> None:
    sizes = {**dict.fromkeys([(emotion, 0) for emotion in range(4)], 3), **sizes}
    one = batches(sizes, 4 * each)
    _, emotions, corpora = one.draw(step)
    assert len(emotions) == 4 * each
    for emotion in range(4):
        there = [corpus for known, corpus in sizes if known == emotion]
        counts = Counter(corpora[emotions == emotion].tolist())
        assert sum(counts.values()) == each
        assert set(counts) <= set(there)
        assert max(counts.values()) - min(counts[corpus] for corpus in there) <= 1


def test_the_clip_that_is_too_many_goes_to_each_corpus_in_turn() -> None:
    one, counts = batches({(emotion, corpus): 9 for emotion in range(4) for corpus in range(3)}, 16), Counter()
    for step in range(30):
        _, emotions, corpora = one.draw(step)
        counts.update(corpora[emotions == 2].tolist())
    assert counts == dict.fromkeys(range(3), 40)


def test_batches_are_told_by_seed_and_step_alone() -> None:
    forwards = [batches(EVEN).draw(step)[0].tolist() for step in range(5)]
    one, backwards = batches(EVEN), []
    for step in reversed(range(5)):
        torch.rand(3)
        backwards.append(one.draw(step)[0].tolist())
    assert backwards[::-1] == forwards
    assert len({tuple(batches(EVEN, seed=seed).draw(0)[0].tolist()) for seed in range(8)}) == 8


@pytest.mark.parametrize("emotion", range(4))
def test_an_emotion_without_clips_is_named(emotion: int) -> None:
    with pytest.raises(UserError, match=f"no labelled clip to contrast is {EMOTIONS[emotion]}"):
        batches({place: size for place, size in EVEN.items() if place[0] != emotion})
