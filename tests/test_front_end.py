"""Trimming, level and crop, each against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trainers.audio.front_end import FrontEnd, bounds, hear, known_of

Clip = NDArray[np.float32]
FRAME, HOP = 400, 160


def noise(n: int, level: float = 0.1, seed: int = 0) -> Clip:
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def db(samples: Clip) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    """Noise in pieces of very different levels, silence among them."""
    levels = draw(arrays(np.float64, st.integers(1, 12), elements=st.sampled_from([0.0, 1e-5, 1e-3, 0.1, 1.0])))
    lengths = draw(st.lists(st.integers(1, 900), min_size=len(levels), max_size=len(levels)))
    pieces = [noise(n, level, seed) for seed, (n, level) in enumerate(zip(lengths, levels, strict=True))]
    return np.concatenate(pieces)


def frame_energies(samples: Clip) -> list[float]:
    """Frame by frame, the last one filled up with zeros."""
    count = 1 + max(0, -(-(len(samples) - FRAME) // HOP))
    return [sum(float(v) ** 2 for v in samples[i * HOP : i * HOP + FRAME]) for i in range(count)]


@given(clips(), st.sampled_from([20.0, 40.0, 60.0]))
def test_bounds_are_those_of_a_loop_over_frames(samples: Clip, trim_db: float) -> None:
    energies = frame_energies(samples)
    loud = [i for i, energy in enumerate(energies) if energy >= max(energies) * 10 ** (-trim_db / 10)]
    assert bounds(samples, trim_db) == (loud[0] * HOP, min(loud[-1] * HOP + FRAME, len(samples)))


@given(clips())
def test_trimming_twice_is_trimming_once(samples: Clip) -> None:
    begin, end = bounds(samples, 40.0)
    assert bounds(samples[begin:end], 40.0) == (0, end - begin)


@given(clips(), st.sampled_from([0.25, 4.0]))
def test_bounds_do_not_depend_on_the_level(samples: Clip, gain: float) -> None:
    assert bounds(samples * np.float32(gain), 40.0) == bounds(samples, 40.0)


def test_silence_around_speech_goes_and_speech_stays() -> None:
    samples = np.concatenate([noise(8000, 1e-5), noise(16000), noise(4000, 1e-5)])
    begin, end = bounds(samples, 40.0)
    assert 8000 - FRAME < begin <= 8000
    assert 24000 <= end < 24000 + FRAME


@pytest.mark.parametrize("n", [0, 1, 399, 400, 401, 5000])
def test_without_trimming_all_is_kept(n: int) -> None:
    assert bounds(noise(n), None) == (0, n)


@given(clips(), st.sampled_from(["head", "centre", "random"]), st.none() | st.floats(0, 1, exclude_max=True))
def test_every_clip_comes_out_finite_and_in_length(samples: Clip, crop: str, start: float | None) -> None:
    heard = hear(samples, FrontEnd(crop=crop, length_s=0.1), start=start)
    assert heard.shape == (1600,)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()


def test_level_is_that_of_the_trimmed_clip() -> None:
    samples = np.concatenate([np.zeros(16000, np.float32), noise(20000, 0.003), np.zeros(16000, np.float32)])
    begin, end = bounds(samples, 40.0)
    heard = hear(samples, FrontEnd(rms_db=-26.0))[: end - begin]
    assert db(heard) == pytest.approx(-26.0, abs=1e-4)


def test_level_is_taken_before_the_crop() -> None:
    samples = np.concatenate([noise(16000, 0.01), noise(16000, 0.1)])
    heard = hear(samples, FrontEnd(trim_db=None, rms_db=-26.0, crop="head", length_s=1.0))
    expected = samples[:16000].astype(np.float64) * 10 ** (-26 / 20) / np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    np.testing.assert_allclose(heard, expected, rtol=1e-6)


@pytest.mark.parametrize("n", [0, 10, 400, 70000])
def test_silence_stays_silence(n: int) -> None:
    assert not hear(np.zeros(n, np.float32), FrontEnd()).any()


def test_the_quietest_float_is_brought_to_level_without_overflow() -> None:
    heard = hear(np.full(48000, 1e-40, np.float32), FrontEnd())
    assert db(heard) == pytest.approx(-26.0, abs=1e-3)


RAW = {"trim_db": None, "rms_db": None, "length_s": 0.02}


@pytest.mark.parametrize(
    ("crop", "start", "first"),
    [
        ("head", None, 0),
        ("head", 0.9, 0),
        ("centre", None, 340),
        ("random", None, 340),
        ("random", 0.0, 0),
        ("random", 0.5, 340),
        ("random", 1 - 2**-53, 680),
    ],
)
def test_crop_begins_where_it_says(crop: str, start: float | None, first: int) -> None:
    samples = np.arange(1000, dtype=np.float32)
    heard = hear(samples, FrontEnd(crop=crop, **RAW), start=start)
    np.testing.assert_array_equal(heard, np.arange(first, first + 320))


@pytest.mark.parametrize("crop", ["head", "centre", "random"])
def test_short_clips_are_followed_by_zeros(crop: str) -> None:
    samples = np.arange(1, 101, dtype=np.float32)
    heard = hear(samples, FrontEnd(crop=crop, **RAW), start=0.7)
    np.testing.assert_array_equal(heard, np.pad(samples, (0, 220)))


def test_random_crops_begin_anywhere_equally_often() -> None:
    samples = np.arange(323, dtype=np.float32)
    firsts = [hear(samples, FrontEnd(crop="random", **RAW), start=start)[0] for start in np.linspace(0, 0.999, 400)]
    assert np.bincount(np.array(firsts, int)).tolist() == [100, 100, 100, 100]


def test_what_is_known_of_a_clip_changes_nothing() -> None:
    samples = np.concatenate([noise(3000, 1e-6), noise(60000), noise(3000, 1e-6)])
    front_end = FrontEnd(crop="random")
    cached = hear(samples, front_end, known=known_of(samples, front_end), start=0.3)
    np.testing.assert_array_equal(cached, hear(samples, front_end, start=0.3))
