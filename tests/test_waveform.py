"""What the waveform augmentation does to a tone, measured: one clip tells speed, stretch, gain, noise and polarity."""

import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from audiomentations import AddGaussianSNR, Compose, Gain, PolarityInversion, TimeStretch
from numpy.typing import NDArray

from trainers.audio.draws import numpy_generator, stable_seed
from trainers.audio.waveform import ALL_KINDS, KINDS, at_speed, augment
from trainers.errors import UserError

RATE_HZ = 16_000
N = 2 * RATE_HZ
TONE_HZ, LEVEL, OFFSET = 1000, 0.3, 0.1
BEGIN_S, END_S = 0.1, 1.1
WINDOW = np.hanning(7200)
STRENGTHS = (0.5, 1.0, 1.5)

Clip = NDArray[np.float32]


def time_s(n: int = N) -> NDArray[np.float64]:
    return np.arange(n) / RATE_HZ


def noise(n: int = N, seed: int = 0) -> Clip:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone() -> Clip:
    """A tone on a constant, both from 0.1 s to 1.1 s: the tone tells pitch, tempo and gain, the constant polarity."""
    heard = (time_s() >= BEGIN_S) & (time_s() < END_S)
    return ((LEVEL * np.sin(2 * np.pi * TONE_HZ * time_s()) + OFFSET) * heard).astype(np.float32)


@dataclass(frozen=True)
class Heard:
    """What a view of `tone` tells: pitch and tempo relative to the tone's, gain, SNR, and the constant's sign."""

    pitch: float
    tempo: float
    gain_db: float
    snr_db: float
    upright: bool


def hear(view: Clip) -> Heard:
    """Each operation leaves its own trace; between 0.2 and 0.65 s every view has both tone and constant."""
    middle = view[3200:10_400].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * WINDOW, RATE_HZ)) * 2 / WINDOW.sum()
    hz = 500 + int(spectrum[500:1500].argmax())
    frames = 2 * np.abs((view * np.exp(-2j * np.pi * hz * time_s())).reshape(-1, 80).mean(1))
    loud = np.nonzero(frames > spectrum[hz] / 2)[0]
    lasting_s = (loud[-1] + 1 - loud[0]) * 0.005
    return Heard(
        pitch=hz / TONE_HZ,
        tempo=(END_S - BEGIN_S) / lasting_s,
        gain_db=20 * np.log10(spectrum[hz] / LEVEL),
        snr_db=10 * np.log10(np.mean(np.square(view, dtype=np.float64)) / noise_power(middle) - 1),
        upright=bool(middle.mean() > 0),
    )


def noise_power(middle: NDArray[np.float64]) -> float:
    """Power of white noise, told by the half of the spectrum above 4 kHz, in which there is nothing else."""
    spectrum = np.fft.rfft(middle * WINDOW)
    above = np.square(np.abs(spectrum[len(spectrum) // 2 :])).mean()
    return float(above / np.square(WINDOW).sum())


@lru_cache
def heard(strength: float) -> tuple[Heard, ...]:
    return tuple(hear(augment(tone(), strength=strength, seed=(0, 1, place))) for place in range(120))


@contextmanager
def global_streams_kept() -> Iterator[None]:
    def states() -> tuple[object, ...]:
        return random.getstate(), repr(np.random.get_state()), torch.random.get_rng_state().numpy().tobytes()

    before = states()
    yield
    assert states() == before


def test_the_measuring_is_right_on_the_tone_itself() -> None:
    itself = hear(tone())
    assert (itself.pitch, itself.tempo, itself.upright) == (1.0, pytest.approx(1.0, abs=0.01), True)
    assert itself.gain_db == pytest.approx(0, abs=0.01)
    assert itself.snr_db > 60
    noisy = hear(-2 * tone() + noise() * 0.3)
    assert noisy.gain_db == pytest.approx(6.02, abs=0.1)
    assert noisy.snr_db == pytest.approx(10 * np.log10(4 * np.mean(tone() ** 2) / 0.03**2), abs=0.3)
    assert not noisy.upright


@pytest.mark.parametrize("rate", [0.85, 0.9, 0.95, 1.05, 1.1, 1.15])
def test_speed_moves_pitch_and_tempo_by_its_rate(rate: float) -> None:
    played = at_speed(tone(), rate)
    assert played.shape == (N,)
    assert hear(played).pitch == pytest.approx(rate, abs=0.001)
    assert hear(played).tempo == pytest.approx(rate, rel=0.015)
    assert hear(played).gain_db == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_pitch_moves_by_speed_alone_and_each_speed_is_a_third_of_the_cases(strength: float) -> None:
    pitches, speeds = np.array([view.pitch for view in heard(strength)]), 1 + 0.1 * strength * np.array([-1, 0, 1])
    nearest = np.abs(pitches[:, None] - speeds).argmin(1)
    np.testing.assert_allclose(pitches, speeds[nearest], atol=0.002)
    assert all(0.22 < share < 0.45 for share in np.bincount(nearest, minlength=3) / len(pitches))


@pytest.mark.parametrize("strength", STRENGTHS)
def test_half_are_stretched_within_their_range(strength: float) -> None:
    stretched = np.array([view.tempo / view.pitch for view in heard(strength)])
    least, most = 1.25**-strength, 1.25**strength
    assert stretched.min() == pytest.approx(least, rel=0.03)
    assert stretched.max() == pytest.approx(most, rel=0.03)
    untouched = 0.04 / (most - least)
    assert np.mean(np.abs(stretched - 1) > 0.02) == pytest.approx(0.5 * (1 - untouched), abs=0.11)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_half_have_a_gain_within_its_range(strength: float) -> None:
    gains_db = np.array([view.gain_db for view in heard(strength)])
    assert gains_db.min() == pytest.approx(-12 * strength, abs=strength)
    assert gains_db.max() == pytest.approx(12 * strength, abs=strength)
    assert np.mean(np.abs(gains_db) > 0.1) == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize(("strength", "least_db", "most_db"), [(0.5, 15, 25), (1.0, 10, 20), (1.5, 5, 15)])
def test_half_have_noise_at_an_snr_of_its_range(strength: float, least_db: float, most_db: float) -> None:
    snrs_db = np.array([view.snr_db for view in heard(strength)])
    noisy = snrs_db < 30
    assert noisy.mean() == pytest.approx(0.5, abs=0.11)
    assert snrs_db[~noisy].min() > 40
    assert snrs_db[noisy].min() == pytest.approx(least_db, abs=0.5)
    assert snrs_db[noisy].max() == pytest.approx(most_db, abs=0.5)


def test_half_are_inverted_whatever_else_befalls_them() -> None:
    views = heard(1.0)
    upright = np.array([view.upright for view in views])
    louder = np.array([view.gain_db for view in views]) > 0.1
    noisy = np.array([view.snr_db for view in views]) < 30
    assert upright.mean() == pytest.approx(0.5, abs=0.11)
    assert abs(np.corrcoef(upright, louder)[0, 1]) < 0.2
    assert abs(np.corrcoef(upright, noisy)[0, 1]) < 0.2


@pytest.mark.parametrize("kinds", [KINDS, ALL_KINDS, *((kind,) for kind in ALL_KINDS)], ids="+".join)
def test_no_strength_is_no_change(kinds: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(augment(noise(), strength=0.0, seed=(0, 1, 2), kinds=kinds), noise())


# a choice of kinds


def traces(view: Heard) -> dict[str, float]:
    """What each kind left behind, in units in which 1 is clearly another draw; all 0 where nothing happened."""
    return {
        "speed": (view.pitch - 1) / 0.002,
        "stretch": (view.tempo / view.pitch - 1) / 0.03,
        "gain": view.gain_db / 0.15,
        "noise": (min(view.snr_db, 30) - 30) / 1.0,
        "polarity": 0.0 if view.upright else 10.0,
    }


@lru_cache
def traced(kinds: tuple[str, ...], views: int = 24) -> tuple[dict[str, float], ...]:
    clips = (augment(tone(), strength=1.0, seed=(0, 1, place), kinds=kinds) for place in range(views))
    return tuple(traces(hear(clip)) for clip in clips)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alone", [False, True], ids=["left out", "alone"])
def test_a_choice_of_kinds_changes_nothing_about_those_that_stay(kind: str, alone: bool) -> None:
    kinds = (kind,) if alone else tuple(each for each in KINDS if each != kind)
    for every, chosen in zip(traced(KINDS), traced(kinds), strict=True):
        expected = {each: every[each] if each in kinds else 0.0 for each in KINDS}
        assert chosen == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_does_something_in_some_of_the_cases_and_nothing_in_others(kind: str) -> None:
    moved = [abs(trace[kind]) > 1 for trace in traced((kind,))]
    assert 4 < sum(moved) < 20


def test_without_inversion_a_view_is_the_same_up_to_its_sign() -> None:
    for place in range(12):
        view = augment(noise(), strength=1.0, seed=(0, place))
        upright = augment(noise(), strength=1.0, seed=(0, place), kinds=("speed", "stretch", "gain", "noise"))
        assert np.array_equal(view, upright) or np.array_equal(view, -upright)


def test_no_kinds_are_no_change() -> None:
    np.testing.assert_array_equal(augment(noise(), strength=1.5, seed=(0,), kinds=()), noise())


def test_the_order_in_which_kinds_are_named_does_not_matter() -> None:
    first, second = (augment(noise(), strength=1.0, seed=(0, 1), kinds=kinds) for kinds in (KINDS, KINDS[::-1]))
    np.testing.assert_array_equal(first, second)


def test_an_unknown_kind_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="unknown augmentation 'echo'; there are: gain, noise, pitch, polarity, speed,"):
        augment(noise(), strength=1.0, seed=(0,), kinds=("gain", "echo"))


@pytest.mark.parametrize("strength", STRENGTHS)
def test_all_default_kinds_are_what_audiomentations_own_chain_makes_of_the_seed(strength: float) -> None:
    chain = Compose(
        [
            TimeStretch(1.25**-strength, 1.25**strength, leave_length_unchanged=True, p=0.5),
            Gain(-12 * strength, 12 * strength, p=0.5),
            AddGaussianSNR(20 - 10 * strength, 30 - 10 * strength, p=0.5),
            PolarityInversion(p=0.5),
        ]
    )
    for place in range(16):
        played = at_speed(noise(), 1 + 0.1 * strength * int(numpy_generator(0, place, "speed").integers(-1, 2)))
        random.seed(stable_seed(0, place, "waveform"))
        np.random.seed(stable_seed(0, place, "waveform") % 2**32)
        expected = chain(played, sample_rate=RATE_HZ)
        np.testing.assert_array_equal(augment(noise(), strength=strength, seed=(0, place)), expected)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_pitch_moves_half_by_at_most_two_semitones_and_leaves_their_tempo_and_level(strength: float) -> None:
    views = [hear(augment(tone(), strength=strength, seed=(0, 1, place), kinds=("pitch",))) for place in range(80)]
    semitones = 12 * np.log2([view.pitch for view in views])
    assert semitones.min() == pytest.approx(-2 * strength, abs=0.25 * strength)
    assert semitones.max() == pytest.approx(2 * strength, abs=0.25 * strength)
    assert np.mean(np.abs(semitones) > 0.01) == pytest.approx(0.5, abs=0.14)
    assert [view.tempo for view in views] == pytest.approx([1.0] * 80, abs=0.02)
    assert [view.gain_db for view in views] == pytest.approx([0.0] * 80, abs=0.6)


def test_pitch_beside_the_others_changes_half_of_the_views_and_no_other_draw() -> None:
    def views(kinds: tuple[str, ...]) -> list[Clip]:
        return [augment(tone(), strength=1.0, seed=(0, 1, place), kinds=kinds) for place in range(24)]

    pairs = list(zip(views(KINDS), views(ALL_KINDS), strict=True))
    moved = [(hear(without), hear(beside)) for without, beside in pairs if not np.array_equal(without, beside)]
    assert 6 <= len(moved) <= 18
    for without, beside in moved:
        assert beside.tempo / without.tempo == pytest.approx(1, abs=0.03)
        assert beside.gain_db == pytest.approx(without.gain_db, abs=0.6)
        assert min(beside.snr_db, 30) == pytest.approx(min(without.snr_db, 30), abs=0.6)


def test_one_clip_follows_from_its_seed_and_leaves_input_and_global_streams_alone() -> None:
    clip = noise()
    with global_streams_kept():
        first, again = (augment(clip, strength=1.0, seed=(0, 7, 3)) for _ in range(2))
        others = [augment(clip, strength=1.0, seed=(0, 7, place)) for place in range(4, 8)]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(clip, noise())
    assert len({view.tobytes() for view in [first, *others]}) == 5


def test_threads_at_once_hear_what_one_hears_after_the_other() -> None:
    def view(place: int) -> Clip:
        return augment(noise(), strength=STRENGTHS[place % 3], seed=(0, place))

    alone = [view(place) for place in range(48)]
    with global_streams_kept(), ThreadPoolExecutor(8) as threads:
        together = list(threads.map(view, range(48)))
    np.testing.assert_array_equal(together, alone)


def digest() -> str:
    """Hash of eight views, among them all operations."""
    views = [augment(noise(), strength=1.5, seed=(0, place)) for place in range(8)]
    return sha256(np.stack(views).tobytes()).hexdigest()


@pytest.mark.slow
def test_another_process_hears_the_same() -> None:
    command = [sys.executable, "-c", "from tests.test_waveform import digest; print(digest())"]
    root = Path(__file__).resolve().parents[1]
    theirs = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    assert theirs == digest()


@pytest.mark.parametrize("n", [1, 100, 511, 5000])
def test_clips_of_any_length_keep_it_and_stay_finite(n: int) -> None:
    for place in range(12):
        augmented = augment(noise(n), strength=1.5, seed=(place,))
        assert augmented.shape == (n,)
        assert augmented.dtype == np.float32
        assert np.isfinite(augmented).all()


def test_silence_stays_silence() -> None:
    silence = np.zeros(N, np.float32)
    assert not any(augment(silence, strength=1.5, seed=(place,)).any() for place in range(12))
