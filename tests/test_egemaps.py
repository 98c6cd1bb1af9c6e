"""eGeMAPS functionals by the real openSMILE on sounds whose pitch, level and voicing are known; z-scores by numpy."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.audio import egemaps
from trainers.audio.egemaps import FEATURES, Functionals, ZScore, functionals
from trainers.audio.front_end import FrontEnd, hear
from trainers.errors import UserError

RATE_HZ = 16_000
F0 = "F0semitoneFrom27.5Hz_sma3nz_amean"
LEVEL_DB = "equivalentSoundLevel_dBp"

needs_opensmile = pytest.mark.usefixtures("opensmile")


@pytest.fixture
def opensmile() -> None:
    pytest.importorskip("opensmile", reason="the extra egemaps is not installed")


def voice(hz: float, n: int = 2 * RATE_HZ, level: float = 0.1) -> NDArray[np.float32]:
    """A tone with nineteen overtones, each 1/k of the first, as a vowel without formants."""
    time_s = np.arange(n) / RATE_HZ
    overtones = (np.sin(2 * np.pi * hz * k * time_s) / k for k in range(1, 20))
    return (level * np.sum(list(overtones), axis=0)).astype(np.float32)


def noise(n: int = 2 * RATE_HZ) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def feature(samples: NDArray[np.float32], name: str) -> float:
    return float(functionals(samples)[egemaps.names().index(name)])


@needs_opensmile
@pytest.mark.parametrize("hz", [100, 140, 200, 280])
def test_pitch_is_in_semitones_above_27_5_hz(hz: float) -> None:
    assert feature(voice(hz), F0) == pytest.approx(12 * np.log2(hz / 27.5), abs=0.1)


@needs_opensmile
@pytest.mark.parametrize("level", [0.02, 0.2])
def test_level_is_that_of_the_clips_power(level: float) -> None:
    samples = voice(150, level=level)
    assert feature(samples, LEVEL_DB) == pytest.approx(10 * np.log10(np.mean(samples.astype(float) ** 2)), abs=0.2)


@needs_opensmile
def test_a_voice_of_half_a_second_is_one_voiced_segment_of_half_a_second() -> None:
    samples = np.concatenate([noise(RATE_HZ), voice(150, RATE_HZ // 2), noise(RATE_HZ)])
    assert feature(samples, "MeanVoicedSegmentLengthSec") == pytest.approx(0.5, abs=0.06)
    assert feature(samples, "VoicedSegmentsPerSec") == pytest.approx(1 / 2.5, rel=0.05)


@needs_opensmile
def test_names_are_those_of_the_columns_that_opensmile_itself_gives() -> None:
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    row = smile.process_signal(voice(180), RATE_HZ).iloc[0]
    assert len(set(egemaps.names())) == len(egemaps.names()) == FEATURES
    assert dict(zip(egemaps.names(), functionals(voice(180)), strict=True)) == row.to_dict()


@needs_opensmile
def test_the_same_clip_has_the_same_features() -> None:
    first, second = functionals(noise()), functionals(noise())
    assert (first.shape, first.dtype) == ((FEATURES,), np.float32)
    np.testing.assert_array_equal(first, second)


@needs_opensmile
def test_the_front_ends_zeros_at_the_end_are_not_heard() -> None:
    heard = hear(voice(150, RATE_HZ), FrontEnd(length_s=3.0))
    assert not heard[RATE_HZ:].any()
    np.testing.assert_array_equal(functionals(heard), functionals(heard[: np.flatnonzero(heard)[-1] + 1]))


@needs_opensmile
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1, 400, 959, 960, 961, 5000])
@pytest.mark.parametrize("make", [np.zeros, noise], ids=["silence", "noise"])
def test_features_of_any_clip_are_finite(make: Callable[[int], NDArray[np.float64]], n: int) -> None:
    assert np.isfinite(functionals(make(n).astype(np.float32))).all()


@needs_opensmile
def test_utterances_are_computed_once_and_come_in_the_order_asked_for() -> None:
    asked: list[int] = []

    def waveforms(numbers: Tensor) -> NDArray[np.float32]:
        asked.extend(numbers.tolist())
        return np.stack([voice(100 + 20 * number) for number in numbers.tolist()])

    features = Functionals(waveforms)
    first, second = features.of(torch.tensor([3, 0, 3])), features.of(torch.tensor([5, 0]))
    assert sorted(asked) == [0, 3, 5]
    for rows, numbers in ((first, [3, 0, 3]), (second, [5, 0])):
        expected = np.stack([functionals(voice(100 + 20 * number)) for number in numbers])
        np.testing.assert_array_equal(rows.numpy(), expected)


@needs_opensmile
def test_women_of_emodb_speak_higher_than_its_men(data_root: Path) -> None:
    def pitch(speaker: str) -> float:
        files = sorted((data_root / "emodb").rglob(f"{speaker}a0*N*.wav"))[:3]
        return float(np.mean([feature(soundfile.read(file, dtype="float32")[0], F0) for file in files]))

    women, men = [pitch(speaker) for speaker in ("08", "09", "13")], [pitch(speaker) for speaker in ("03", "10", "15")]
    assert min(women) > max(men) + 3


# z-scores


def rows(clips: int, level: float = 0.0, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return level + torch.randn(clips, FEATURES, generator=source) * torch.logspace(-3, 3, FEATURES)


def test_z_scores_are_those_of_the_training_clips() -> None:
    training, others = rows(40, level=5.0), rows(7, seed=1)
    mean, deviation = training.double().numpy().mean(0), training.double().numpy().std(0)
    ours = ZScore(training)(others).numpy()
    np.testing.assert_allclose(ours, (others.double().numpy() - mean) / deviation, rtol=1e-3, atol=1e-3)
    scored = ZScore(training)(training).double()
    np.testing.assert_allclose(scored.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scored.std(0, correction=0), 1, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e-6, 22.376303, -6e4])
def test_a_feature_that_training_clips_share_is_zero_for_all_even_where_rounding_varies(value: float) -> None:
    training = rows(33)
    training[:, 4] = value
    training[::2, 4] = float(np.nextafter(np.float32(value), np.float32(np.inf))) if value else 0.0
    scored = ZScore(training)(rows(5, seed=1))
    assert torch.equal(scored[:, 4], torch.zeros(5))
    assert scored.isfinite().all()


def test_one_training_clip_makes_all_zero_not_nan() -> None:
    assert torch.equal(ZScore(rows(1))(rows(3, seed=1)), torch.zeros(3, FEATURES))


def test_the_statistics_are_kept_with_the_weights() -> None:
    trained, restored = ZScore(rows(40)), ZScore(rows(40, seed=2))
    restored.load_state_dict(trained.state_dict())
    others = rows(5, seed=1)
    assert torch.equal(restored(others), trained(others))
    assert not list(trained.parameters())


# without the package


def test_without_opensmile_the_error_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    egemaps._smile.cache_clear()
    asks = (egemaps.require_installed, egemaps.names, lambda: functionals(noise()))
    for ask in (*asks, lambda: Functionals(lambda _: noise()[None]).of(torch.tensor([0]))):
        with pytest.raises(UserError, match=r"opensmile.*pip install -c constraints.txt -e '\.\[egemaps\]'$") as caught:
            ask()
        assert "\n" not in str(caught.value)
