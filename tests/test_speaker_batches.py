"""Batches of speakers: whole groups of clips of one speaker, evenly over languages or genders where these allow."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.staged_world import speech, stage
from tests.unheard import Unheard
from trainers.batches import SpeakerBatches
from trainers.building import _speaker_batches
from trainers.corpora.utterance import Utterance
from trainers.errors import UserError
from trainers.methods.cl import SpeakerContrast
from trainers.methods.configs import ClConfig


def batches(
    clips_of: Sequence[int], groups: Sequence[int] | None = None, batch_size: int = 64, each: int = 4, seed: int = 0
) -> SpeakerBatches:
    """Speaker s has `clips_of[s]` clips, numbered 1000 · s and on, and is of group `groups[s]`."""
    numbers = [1000 * speaker + clip for speaker, count in enumerate(clips_of) for clip in range(count)]
    speakers = [number // 1000 for number in numbers]
    of = [groups[speaker] if groups else 0 for speaker in speakers]
    return SpeakerBatches(torch.tensor(numbers), torch.tensor(speakers), torch.tensor(of), batch_size, each, seed)


@pytest.mark.parametrize("step", [0, 1, 4999])
def test_a_batch_of_64_is_16_speakers_with_4_different_clips_each(step: int) -> None:
    numbers, speakers = batches([9] * 40).draw(step)
    assert Counter(speakers.tolist()) == dict.fromkeys(set(speakers.tolist()), 4)
    assert len(set(speakers.tolist())) == 16
    assert len(set(numbers.tolist())) == 64
    assert torch.equal(numbers // 1000, speakers)


def test_of_fewer_speakers_all_are_heard_and_of_those_with_too_few_clips_none() -> None:
    few = batches([4, 3, 5, 1, 4])
    for step in range(20):
        assert set(few.draw(step)[1].tolist()) == {0, 2, 4}
    assert (few.count, few.clips) == (3, 13)


@pytest.mark.parametrize("clips_of", [[], [4], [3, 3, 3], [9, 3, 2]])
def test_fewer_than_two_speakers_are_refused(clips_of: list[int]) -> None:
    there_are = sum(count >= 4 for count in clips_of)
    with pytest.raises(UserError, match=f"{there_are} speakers have 4 clips or more; speaker contrast needs two"):
        batches(clips_of)


def test_a_batch_too_small_for_two_speakers_has_two() -> None:
    numbers, speakers = batches([9] * 5, batch_size=4).draw(0)
    assert (len(numbers), len(set(speakers.tolist()))) == (8, 2)


def test_batches_are_told_by_seed_and_step_alone() -> None:
    forwards = [[drawn.tolist() for drawn in batches([9] * 40).draw(step)] for step in range(5)]
    one, backwards = batches([9] * 40), []
    for step in reversed(range(5)):
        torch.rand(3)
        backwards.append([drawn.tolist() for drawn in one.draw(step)])
    assert backwards[::-1] == forwards
    drawn = {tuple(batches([9] * 40, seed=seed).draw(step)[0].tolist()) for seed in range(4) for step in range(4)}
    assert len(drawn) == 16


def test_every_speaker_and_each_of_its_clips_is_drawn_about_equally_often() -> None:
    one, heard = batches([5] * 32), Counter()
    for step in range(400):
        heard.update(one.draw(step)[0].tolist())
    assert len(heard) == 160
    expected, share = 400 * 64 / 160, 64 / 160  # binomial over steps: sd √(400 · p · (1 − p))
    assert all(abs(count - expected) < 5 * (400 * share * (1 - share)) ** 0.5 for count in heard.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=2, max_size=4), st.integers(0, 30))
def test_groups_have_as_many_speakers_as_one_another_or_all_that_they_have(sizes: list[int], step: int) -> None:
    """The fair shares: one place at a time goes round the groups that still have someone."""
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    one = batches([4] * len(groups), groups)
    drawn = Counter(groups[speaker] for speaker in set(one.draw(step)[1].tolist()))
    assert sum(drawn.values()) == min(16, len(groups))
    most = max(drawn.values())
    for group, size in enumerate(sizes):
        assert drawn[group] == size or drawn[group] >= most - 1


def test_who_has_one_speaker_more_changes_from_step_to_step() -> None:
    groups = [0] * 20 + [1] * 20 + [2] * 20
    one = batches([4] * 60, groups)
    most = Counter()
    for step in range(300):
        drawn = Counter(groups[speaker] for speaker in set(one.draw(step)[1].tolist()))
        most[next(group for group, count in drawn.items() if count == 6)] += 1
    assert all(abs(count - 100) < 5 * (300 * 2 / 9) ** 0.5 for count in most.values())


def test_clean_views_begin_anywhere_and_elsewhere_at_each_step() -> None:
    one = batches([9] * 40)
    starts = torch.stack([one.starts(step) for step in range(50)])
    assert starts.shape == (50, 64)
    assert float(starts.min()) >= 0
    assert float(starts.max()) < 1
    assert len(starts.unique()) > 3000
    assert torch.equal(one.starts(3), batches([9] * 40).starts(3))


# --- as CL builds them

CAST = [
    Utterance(f"{language}/{speaker}_{take}.wav", language, language, f"{language}:{speaker}", gender, "", 1.0)
    for language, count in (("de", 30), ("ur", 6))
    for speaker in range(count)
    for gender in (("female" if speaker % 5 == 0 else "male"),)
    for take in range(5)
]


def drawn(config: ClConfig, steps: int = 8) -> tuple[SpeakerBatches, list[list[Utterance]]]:
    """What CL's batches are of these readers, speaker by speaker."""
    heard = speech(Unheard(tuple(CAST)))
    numbers = heard.numbers([clip.id for clip in CAST])
    made = _speaker_batches(config, numbers, heard, 64, 0)
    return made, [[CAST[number] for number in made.draw(step)[0].tolist()] for step in range(steps)]


@pytest.mark.parametrize(
    ("balance", "least"), [("uniform", {}), ("language", {"de": 10, "ur": 6}), ("gender", {"female": 8, "male": 8})]
)
def test_languages_and_genders_take_turns_where_asked_for(balance: str, least: dict[str, int]) -> None:
    """Six Urdu speakers are all there are; of women there are eight."""
    _, steps = drawn(ClConfig(balance=balance))
    for clips in steps:
        speakers = {clip.speaker: getattr(clip, balance, "") for clip in clips}
        assert len(speakers) == 16
        counts = Counter(speakers.values())
        assert all(counts[group] == count for group, count in least.items())


def test_uniformly_drawn_speakers_are_as_uneven_as_the_corpora() -> None:
    _, steps = drawn(ClConfig(), steps=100)
    urdu = [clip.language == "ur" for clips in steps for clip in clips]
    assert abs(sum(urdu) / len(urdu) - 6 / 36) < 0.03


def test_permuted_speakers_are_the_same_clips_and_as_many_of_each_label_with_other_owners() -> None:
    plain, _ = drawn(ClConfig())
    permuted, steps = drawn(ClConfig(permuted_speakers=True))
    sizes = [sorted(len(pool) for pool in one.pools.values()) for one in (plain, permuted)]
    assert sizes[0] == sizes[1]
    clips = [sorted(int(n) for pool in one.pools.values() for n in pool) for one in (plain, permuted)]
    assert clips[0] == clips[1]
    owners = [len({clip.speaker for clip in clips[place : place + 4]}) for clips in steps for place in range(0, 64, 4)]
    assert sum(owners) / len(owners) > 3.5


def test_permuted_labels_are_the_same_at_every_step_and_others_with_another_seed() -> None:
    made = [stage(ClConfig(clips_per_speaker=2, permuted_speakers=True), seed=seed) for seed in (0, 0, 1)]
    pools = []
    for one in made:
        assert isinstance(one, SpeakerContrast)
        pools.append({speaker: pool.tolist() for speaker, pool in one.batches.pools.items()})
    assert pools[0] == pools[1] != pools[2]


def test_a_clips_gender_that_is_not_known_is_a_group_of_its_own() -> None:
    unknown = [replace(clip, gender="" if clip.speaker.endswith(("1", "2")) else clip.gender) for clip in CAST]
    heard = speech(Unheard(tuple(unknown)))
    made = _speaker_batches(ClConfig(balance="gender"), heard.numbers([c.id for c in unknown]), heard, 64, 0)
    assert len(made.groups) == 3
