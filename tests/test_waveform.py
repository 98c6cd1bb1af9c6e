"""What each waveform augmentation does to a tone or to noise, measured."""

import random

import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from trainers.audio.draws import generator
from trainers.audio.waveform import add_noise, at_speeds, augment, augment_batch, stretch

RATE_HZ = 16_000
N = 48_000


def tone(hz: float, begin_s: float = 0.0, end_s: float = 3.0) -> Tensor:
    time_s = torch.arange(N, dtype=torch.float64) / RATE_HZ
    heard = (time_s >= begin_s) & (time_s < end_s)
    return (0.3 * torch.sin(2 * torch.pi * hz * time_s) * heard).float()[None]


def noise(batch: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(batch, N, generator=generator(seed, "test"))


def peak_hz(clip: Tensor) -> float:
    """Frequency of the highest peak of the middle second, to 1 Hz."""
    middle = clip[RATE_HZ : 2 * RATE_HZ] * torch.hann_window(RATE_HZ)
    return float(torch.fft.rfft(middle).abs().argmax())


def edges_s(clip: Tensor) -> tuple[float, float]:
    """When the tone begins and ends, by its envelope in frames of 5 ms."""
    loud = (clip.reshape(-1, 80).square().mean(1).sqrt() > 0.1).nonzero()[:, 0]
    return float(loud[0]) * 0.005, float(loud[-1] + 1) * 0.005


def db(ratio: Tensor) -> Tensor:
    return 10 * torch.log10(ratio)


@pytest.mark.parametrize(
    ("faster", "step", "factor"), [(1, 0.1, 1.1), (-1, 0.1, 0.9), (1, 0.05, 1.05), (-1, 0.15, 0.85)]
)
def test_speed_moves_pitch_and_tempo_by_its_factor(faster: int, step: float, factor: float) -> None:
    played = at_speeds(tone(1000, 0.3, 2.4), torch.tensor([faster]), step=step)[0]
    assert played.shape == (N,)
    assert peak_hz(played) == pytest.approx(1000 * factor, abs=1)
    assert edges_s(played) == pytest.approx((0.3 / factor, 2.4 / factor), abs=0.01)


def test_speed_changes_only_the_clips_it_is_told_to() -> None:
    clips = noise(3)
    played = at_speeds(clips, torch.tensor([0, 1, 0]), step=0.1)
    assert torch.equal(played[[0, 2]], clips[[0, 2]])
    assert not torch.equal(played[1], clips[1])


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.1, 1.25])
def test_stretch_moves_tempo_and_keeps_pitch(rate: float) -> None:
    stretched = stretch(tone(1000, 0.4, 2.2), torch.tensor([rate]))[0]
    assert stretched.shape == (N,)
    assert peak_hz(stretched) == 1000
    assert edges_s(stretched) == pytest.approx((0.4 / rate, 2.2 / rate), abs=0.02)


def test_stretch_is_torchaudios_phase_vocoder_clip_by_clip() -> None:
    """Theirs takes one rate at a time; it reads the frames at 0, rate, 2 · rate … as long as there are any."""
    clips, rates = torch.cat([noise(2), tone(300, 0.5, 1.5), tone(440)]), torch.tensor([0.8, 1.25, 1.1, 0.93])
    window = torch.hann_window(512)
    spectra = torch.stft(clips, 512, 128, window=window, pad_mode="constant", return_complex=True)
    advance = torch.linspace(0, torch.pi * 128, 257)[:, None]
    for clip, spectrum, rate in zip(stretch(clips, rates), spectra, rates.tolist(), strict=True):
        theirs = torchaudio.functional.phase_vocoder(spectrum, rate, advance)
        expected = torch.istft(theirs, 512, 128, window=window)
        whole = min(N, int(N / rate)) - 1024
        torch.testing.assert_close(clip[:whole], expected[:whole], atol=2e-3, rtol=0)


def test_stretch_leaves_clips_at_rate_one_and_the_input_alone() -> None:
    clips = noise(3)
    kept = clips.clone()
    stretched = stretch(clips, torch.tensor([1.0, 1.2, 1.0]))
    assert torch.equal(stretched[[0, 2]], clips[[0, 2]])
    assert torch.equal(clips, kept)


def test_stretch_by_almost_nothing_is_almost_nothing() -> None:
    clips = noise(2)
    torch.testing.assert_close(stretch(clips, torch.full((2,), 1 + 1e-7)), clips, atol=1e-3, rtol=0)


def test_noise_lies_as_far_below_the_clip_as_asked() -> None:
    clips, asked = noise(5) * torch.logspace(-3, 0, 5)[:, None], torch.tensor([5.0, 10.0, 15.0, 20.0, 25.0])
    added = add_noise(clips, asked, generator(0)) - clips
    measured = db(clips.square().mean(1) / added.square().mean(1))
    torch.testing.assert_close(measured, asked, atol=0.1, rtol=0)


def test_no_noise_at_infinity_and_none_on_silence() -> None:
    clips = torch.cat([noise(1), torch.zeros(1, N)])
    assert torch.equal(add_noise(clips, torch.tensor([torch.inf, 10.0]), generator(0)), clips)


@pytest.mark.parametrize(("strength", "snr_db"), [(0.5, (15, 25)), (1.0, (10, 20)), (1.5, (5, 15))])
def test_gain_noise_and_polarity_have_their_ranges_and_odds(strength: float, snr_db: tuple[float, float]) -> None:
    """A constant stays one at any speed: its height in the middle tells gain and polarity, its scatter the noise."""
    views = augment_batch(torch.full((300, RATE_HZ), 0.1), strength=strength, generator=generator(1, "odds"))
    middle = views[:, 3_000:9_000]
    height, scatter = middle.mean(1) / 0.1, middle.var(1)
    gain_db, snr = 2 * db(height.abs()), db(views.square().mean(1) / scatter - 1)
    noisy = snr < 40
    assert gain_db.abs().max() == pytest.approx(12 * strength, rel=0.1)
    assert snr[noisy].min() == pytest.approx(snr_db[0], abs=0.5)
    assert snr[noisy].max() == pytest.approx(snr_db[1], abs=0.5)
    shares = torch.stack([noisy, height > 0, gain_db.abs() > 0.2]).float().mean(1)
    torch.testing.assert_close(shares, torch.full((3,), 0.5), atol=0.12, rtol=0)


def test_no_strength_is_no_change() -> None:
    clips = noise(2)
    assert torch.equal(augment_batch(clips, strength=0.0, generator=generator(0)), clips)
    np.testing.assert_array_equal(augment(clips[0].numpy(), strength=0.0, seed=(0, 1, 2)), clips[0].numpy())


def test_one_clip_follows_from_its_seed_and_leaves_all_global_streams_alone() -> None:
    clip = noise(1)[0].numpy()
    states = random.getstate(), repr(np.random.get_state()), torch.random.get_rng_state()
    first, again = (augment(clip, strength=1.0, seed=(0, 7, 3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    others = [augment(clip, strength=1.0, seed=(0, 7, place)) for place in range(4, 8)]
    assert len({other.tobytes() for other in [first, *others]}) == 5
    assert (random.getstate(), repr(np.random.get_state())) == states[:2]
    assert torch.equal(torch.random.get_rng_state(), states[2])


def test_speeds_and_rates_of_strength_one_are_the_published_ones() -> None:
    """Of a tone in a batch a third keeps its pitch, a third each is heard a tenth lower and higher."""
    views = augment_batch(tone(1000).expand(90, N), strength=1.0, generator=generator(2, "speeds"))
    heard = np.array([peak_hz(view) for view in views])
    nearest = np.array([900, 1000, 1100])[np.abs(heard[:, None] - [900, 1000, 1100]).argmin(1)]
    assert np.abs(heard - nearest).max() <= 2
    assert all(0.2 < share < 0.47 for share in np.bincount(nearest)[[900, 1000, 1100]] / 90)


@pytest.mark.parametrize("n", [1, 100, 511, 5000])
def test_clips_of_any_length_keep_it_and_stay_finite(n: int) -> None:
    for seed in range(12):
        augmented = augment(noise(1)[0, :n].numpy(), strength=1.5, seed=(seed,))
        assert augmented.shape == (n,)
        assert augmented.dtype == np.float32
        assert np.isfinite(augmented).all()


def test_silence_stays_silence() -> None:
    assert not augment_batch(torch.zeros(8, N), strength=1.5, generator=generator(0)).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_cuda_hears_the_same_augmentation() -> None:
    clips = noise(8)
    on_gpu = augment_batch(clips.cuda(), strength=1.0, generator=generator(0)).cpu()
    torch.testing.assert_close(on_gpu, augment_batch(clips, strength=1.0, generator=generator(0)), atol=1e-3, rtol=0)
