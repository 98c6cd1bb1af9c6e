"""Floors: against a scikit-learn pipeline, a waveform made by hand, and corpora of which the answer is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests import small_world
from tests.synthetic_results import floor_spec
from tests.unheard import Unheard, clips
from trainers import floors
from trainers.audio.front_end import FrontEnd
from trainers.corpora.utterance import EMOTIONS
from trainers.evaluation import Evaluation
from trainers.floors import Embedder, Nuisances
from trainers.methods.configs import ByolConfig, FloorConfig
from trainers.protocols import Protocol
from trainers.result import Result
from trainers.speech import Speech, level_and_silence
from trainers.splits import Splits

Samples = NDArray[np.float32]
Features = NDArray[np.float64]
RATE_HZ = 16_000
FRONT_END = FrontEnd(length_s=0.5)
SMALL = Protocol("small", ("demo_home",), ("demo_arda", "demo_bela"), front_end=FRONT_END)
FOLD = 1


@dataclass
class Built(Unheard):
    """Corpora that sound as `sound(emotion, number)` says."""

    sound: Callable[[str, int], Samples] = lambda _, __: np.zeros(8000, np.float32)

    def samples(self, number: int) -> Samples:
        return self.sound(self.utterances[number].emotion, number)


def built(sound: Callable[[str, int], Samples]) -> Built:
    return Built(clips(SMALL.corpora, takes="1"), sound=sound)


def silence(_emotion: str, _number: int) -> Samples:
    return np.zeros(8000, np.float32)


def noise_told_by_level(emotion: str, number: int) -> Samples:
    """Half a second of the same kind of noise for everyone; only its level tells the emotion, 10 dB a step."""
    gain = 10 ** (-(20 + 10 * EMOTIONS.index(emotion)) / 20)
    return (gain * np.random.default_rng(number).standard_normal(8000)).astype(np.float32)


@dataclass
class World:
    """A small protocol on built corpora."""

    speech: Built
    front_end: FrontEnd = FRONT_END

    def __post_init__(self) -> None:
        self.splits = Splits(SMALL, self.speech.prepared)
        self.heard = Speech(self.speech.prepared, self.front_end, torch.device("cpu"))
        self.split = self.splits.of(None, FOLD, FloorConfig())

    def run(self, floor: str, describe: floors.Describe) -> Result:
        return floors.run(floor_spec(floor, FOLD), self.splits, Evaluation(self.heard, self.split), describe)

    def labels(self, ids: Sequence[str]) -> list[int]:
        return [EMOTIONS.index(self.speech.utterances[self.speech.index[name]].emotion) for name in ids]


def drawn(world: World, shift: float = 0.0) -> dict[str, Features]:
    """Six features a clip: two that hint at the emotion, scales from .01 to 1000, each language shifted by `shift`."""
    languages = {"demo-home": 0.0, "demo-arda": shift, "demo-bela": -2 * shift}
    scales = np.array([0.01, 0.1, 1, 10, 100, 1000])
    features = {}
    for number, clip in enumerate(world.speech.utterances):
        place = EMOTIONS.index(clip.emotion)
        hint = np.array([place % 2, place // 2, 0, 0, 0, 0])
        told = hint + 0.5 * np.random.default_rng(number).standard_normal(6) + languages[clip.language]
        features[clip.id] = scales * told
    return features


def stacked(features: dict[str, Features], ids: Sequence[str]) -> Features:
    return np.stack([features[name] for name in ids])


def predicted(result: Result) -> dict[tuple[str, str], int]:
    return {(row["part"], row["id"]): row["predicted"] for row in result.predictions}


def by_hand(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000)


@pytest.mark.parametrize(("floor", "penalty"), [("nuisance_only", 1.0), ("frozen_probe", 0.01)])
def test_a_floor_is_scikit_learns_pipeline_on_the_labelled_clips(floor: str, penalty: float) -> None:
    world = World(built(silence))
    features = drawn(world)
    model = make_pipeline(StandardScaler(), by_hand(penalty))
    model.fit(stacked(features, world.split.labelled), world.labels(world.split.labelled))
    result = world.run(floor, lambda ids: stacked(features, ids))
    for name, ids in world.split.test.items():
        guesses = model.predict(stacked(features, ids))
        assert [predicted(result)[f"test/{name}", clip] for clip in ids] == guesses.tolist()
        assert result.test[name].accuracy == np.mean(guesses == world.labels(ids))
    valid = world.split.valid["hrl"]
    assert result.valid["hrl"].accuracy == model.score(stacked(features, valid), world.labels(valid))
    assert set(result.test) == {"demo-home", "demo-arda", "demo-bela"}
    assert set(result.whole) == {"demo-arda", "demo-bela"}
    assert result.valid["hrl"].accuracy > 0.5  # there was something to learn


def test_own_statistics_standardise_each_language_by_its_own_training_clips() -> None:
    world = World(built(silence))
    features = drawn(world, shift=3.0)
    high = StandardScaler().fit(stacked(features, world.split.labelled))
    model = by_hand(0.01).fit(
        high.transform(stacked(features, world.split.labelled)), world.labels(world.split.labelled)
    )
    result = world.run("own_statistics", lambda ids: stacked(features, ids))
    for group in ("test", "whole"):
        for name, ids in getattr(world.split, group).items():
            own = high
            if name != "demo-home":
                own = StandardScaler().fit(
                    stacked(features, world.splits.of(name, FOLD, ByolConfig()).unlabelled[name])
                )
            guesses = model.predict(own.transform(stacked(features, ids)))
            assert [predicted(result)[f"{group}/{name}", clip] for clip in ids] == guesses.tolist()


def test_own_statistics_undo_a_shift_between_languages_and_the_frozen_probe_does_not() -> None:
    world = World(built(silence))
    apart, together = drawn(world, shift=3.0), drawn(world)
    own = world.run("own_statistics", lambda ids: stacked(apart, ids))
    unshifted = world.run("own_statistics", lambda ids: stacked(together, ids))
    frozen = world.run("frozen_probe", lambda ids: stacked(apart, ids))
    for language in world.splits.languages:
        assert own.whole[language].uar == unshifted.whole[language].uar > 0.5
        assert frozen.whole[language].uar < 0.35


def test_own_statistics_never_look_at_the_fold_that_is_tested() -> None:
    """Wild features of the test fold change the other clips' predictions in nothing."""
    world = World(built(silence))
    calm = drawn(world)
    tested = {clip for ids in world.split.test.values() for clip in ids}
    wild = {name: value * 1e3 if name in tested else value for name, value in calm.items()}
    found = [predicted(world.run("own_statistics", lambda ids, f=f: stacked(f, ids))) for f in (calm, wild)]
    rest = [place for place in found[0] if place[1] not in tested]
    assert len(rest) > 100
    assert all(found[0][place] == found[1][place] for place in rest)
    assert found[0] != found[1]


# --- the nuisances


def tone(before: int, length: int, after: int, amplitude: float = 0.1) -> Samples:
    wave = amplitude * np.cos(2 * np.pi * 500 * np.arange(length) / RATE_HZ)
    return np.concatenate([np.zeros(before), wave, np.zeros(after)]).astype(np.float32)


def test_level_silence_and_duration_of_a_tone_between_zeros_are_those_by_hand() -> None:
    """Frames of 400 samples every 160: of those that touch the tone the first begins at 7680, the last at 23840."""
    level_db, leading_s, trailing_s, duration_s = level_and_silence(tone(8000, 16_000, 4000))
    assert duration_s == 28_000 / RATE_HZ
    assert level_db == pytest.approx(10 * np.log10(0.1**2 / 2 * 16_000 / 28_000), abs=1e-3)
    assert leading_s == 7680 / RATE_HZ
    assert trailing_s == (28_000 - (23_840 + 400)) / RATE_HZ


@pytest.mark.parametrize("gain", [0.01, 10.0])
def test_gain_moves_the_level_and_nothing_else(gain: float) -> None:
    one, other = level_and_silence(tone(4000, 9000, 100)), level_and_silence(tone(4000, 9000, 100, 0.1 * gain))
    assert other[0] - one[0] == pytest.approx(20 * np.log10(gain), abs=1e-2)
    assert other[1:] == one[1:]


def test_what_lies_more_than_40_db_below_the_tone_is_silence_and_what_lies_less_is_not() -> None:
    hiss = np.cos(2 * np.pi * 500 * np.arange(4000) / RATE_HZ)
    ends = {}
    for below_db in (45, 35):
        quiet = (0.1 * 10 ** (-below_db / 20) * hiss).astype(np.float32)
        ends[below_db] = level_and_silence(np.concatenate([quiet, tone(0, 16_000, 0)]))[1]
    assert ends[35] == 0
    assert ends[45] == pytest.approx(4000 / RATE_HZ, abs=400 / RATE_HZ)


def test_silence_has_a_floor_and_no_edges() -> None:
    assert level_and_silence(np.zeros(8000, np.float32)) == [-100.0, 0.0, 0.0, 0.5]


def test_nuisances_are_those_of_the_recording_before_any_front_end() -> None:
    world = World(built(lambda _, number: tone(400 * (number % 5), 8000, 160)), replace(FRONT_END, length_s=0.1))
    ids = [clip.id for clip in world.speech.utterances[:7]]
    described = Nuisances(world.speech.prepared).describe(ids)
    assert described.tolist() == [level_and_silence(world.speech.samples(number)) for number in range(7)]
    assert described[:, 3].tolist() == [(8160 + 400 * (number % 5)) / RATE_HZ for number in range(7)]


# --- corpora of which the answer is known


def test_where_only_the_level_tells_the_emotion_nuisances_are_perfect_and_a_normalised_probe_guesses() -> None:
    world = World(built(noise_told_by_level))
    nuisance = world.run("nuisance_only", Nuisances(world.speech.prepared).describe)
    probe = world.run("frozen_probe", Embedder(world.heard, small_world.whisper()).describe)
    raw = World(world.speech, replace(FRONT_END, rms_db=None))
    told = raw.run("frozen_probe", Embedder(raw.heard, small_world.whisper()).describe)
    for language in world.splits.languages:
        assert nuisance.whole[language].uar == 1.0
        assert told.whole[language].uar == 1.0  # at its recorded level the same probe hears nothing but the level
        assert probe.whole[language].uar < 0.45  # chance .25; 80 clips, sd .05: this is four of them


def test_an_embedder_describes_each_clip_alone_and_only_once() -> None:
    heard: list[int] = []

    def sound(emotion: str, number: int) -> Samples:
        heard.append(number)
        return noise_told_by_level(emotion, number)

    world = World(built(sound))
    ids = [clip.id for clip in world.speech.utterances]
    embedder = Embedder(world.heard, small_world.whisper())
    together = embedder.describe(ids[:70])
    assert together.shape == (70, 16)
    count = len(heard)
    assert np.array_equal(embedder.describe(ids[:70][::-1]), together[::-1])
    assert len(heard) == count
    alone = Embedder(world.heard, small_world.whisper()).describe([ids[66]])
    assert np.allclose(alone[0], together[66], atol=1e-5)
