"""The views of BYOL, each operation against its formula, clip by clip."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from trainers.audio.draws import generator
from trainers.audio.log_mel import log_mel, mel_filters
from trainers.audio.spectrogram import (
    _rectangle_side,
    byol_view,
    mask,
    mixup,
    mixup_partners,
    random_resize_crop,
    resized_crop,
    stretched_bands,
    supervised_view,
    vtlp,
)

BANDS, FRAMES = 80, 300
EVERY = torch.ones(6, dtype=torch.bool)


def log_mels(batch: int = 6, frames: int = FRAMES, seed: int = 0) -> Tensor:
    """Numbers in the range of Whisper's log-mels; every clip with a level of its own."""
    source = generator(seed, "test")
    level = torch.rand(batch, 1, 1, generator=source)
    return level - 1 + torch.rand(batch, BANDS, frames, generator=source)


# mixup


def test_mixup_mixes_power() -> None:
    x, z, alpha = log_mels().double(), log_mels(seed=1).double(), torch.linspace(0, 0.9, 6).double()
    share = alpha[:, None, None]
    power = (1 - share) * 10 ** (4 * x - 4) + share * 10 ** (4 * z - 4)
    torch.testing.assert_close(mixup(x, z, alpha), (torch.log10(power) + 4) / 4)


def test_mixup_in_float32_is_as_good_as_in_float64() -> None:
    x, z, alpha = log_mels() * 3, log_mels(seed=1) * 3, torch.linspace(0, 0.6, 6)
    exact = mixup(x.double(), z.double(), alpha.double())
    torch.testing.assert_close(mixup(x, z, alpha).double(), exact, atol=2e-6, rtol=0)


def test_mixup_with_nothing_is_the_clip_itself() -> None:
    x = log_mels()
    assert torch.equal(mixup(x, log_mels(seed=1), torch.zeros(6)), x)


def test_mixup_of_silence_and_speech_lies_between_and_stays_finite() -> None:
    silence, speech = torch.full((2, BANDS, FRAMES), -1.5), torch.full((2, BANDS, FRAMES), 2.0)
    mixed = mixup(silence, speech, torch.tensor([1e-6, 0.6]))
    assert ((mixed >= silence) & (mixed <= speech)).all()


def test_clips_without_a_partner_go_unmixed() -> None:
    x, mixed = log_mels(), torch.tensor([True, False] * 3)
    views = [
        byol_view(x, z, mixed, strength=1.0, generator=generator(0, "view"))
        for z in (log_mels(seed=1), log_mels(seed=2))
    ]
    differs = (views[0] != views[1]).flatten(1).any(1)
    assert torch.equal(differs, mixed)


# random resize crop


def explicit_crop(clip: Tensor, canvas: int, top: int, height: int, left: int, width: int) -> Tensor:
    """Pad to the canvas, cut the rectangle out, let torch resize it."""
    before = (canvas - clip.shape[1]) // 2
    padded = functional.pad(clip, (before, canvas - clip.shape[1] - before), value=float(clip.mean()))
    rectangle = padded[None, None, top : top + height, left : left + width]
    return functional.interpolate(rectangle, size=clip.shape, mode="bicubic", align_corners=True)[0, 0]


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("frames", [300, 301, 97])
def test_crop_is_that_of_explicit_padding_cutting_and_interpolating(strength: float, frames: int) -> None:
    x, canvas = log_mels(32, frames), int(frames * (1 + 0.5 * strength))
    ours = random_resize_crop(x, strength=strength, generator=generator(3, "crop"))
    draws = torch.rand(4, 32, generator=generator(3, "crop"))
    sides = *_rectangle_side(BANDS, BANDS, strength, draws[:2]), *_rectangle_side(frames, canvas, strength, draws[2:])
    rectangles = torch.stack(sides, dim=1).tolist()
    expected = torch.stack([explicit_crop(clip, canvas, *sides) for clip, sides in zip(x, rectangles, strict=True)])
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_the_whole_clip_as_a_crop_is_the_clip() -> None:
    x = log_mels()
    none = torch.zeros(6, dtype=torch.int64)
    ours = resized_crop(x, none, torch.full((6,), BANDS), none, torch.full((6,), FRAMES))
    torch.testing.assert_close(ours, x, atol=1e-6, rtol=0)


def test_a_crop_of_one_pixel_fills_the_view_with_it() -> None:
    x = log_mels(2)
    place = (
        torch.tensor([7, 70]),
        torch.ones(2, dtype=torch.int64),
        torch.tensor([5, 299]),
        torch.ones(2, dtype=torch.int64),
    )
    expected = x[[0, 1], place[0], place[2]][:, None, None].expand_as(x)
    torch.testing.assert_close(resized_crop(x, *place), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.5, 0.8, 1.25), (1.0, 0.6, 1.5), (1.5, 0.4, 1.75)])
def test_rectangles_have_the_published_sizes_and_lie_on_the_canvas(strength: float, low: float, high: float) -> None:
    canvas = int(FRAMES * (1 + 0.5 * strength))
    first, length = _rectangle_side(FRAMES, canvas, strength, torch.rand(2, 20_000, generator=generator(0)))
    assert length.min() == pytest.approx(low * FRAMES, abs=1.5)
    assert length.max() == pytest.approx(min(int(high * FRAMES), canvas), abs=1.5)
    assert first.min() == 0
    assert (first + length).max() == canvas
    wide = torch.rand(2, 20_000, generator=generator(0))
    assert _rectangle_side(BANDS, BANDS, strength, wide)[1].max() == BANDS


# masks


def masked_intervals(view: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
    """Which bands and which frames of one clip are its mean throughout."""
    filled = view != clip
    torch.testing.assert_close(view[filled], clip.mean().expand(int(filled.sum())))
    return filled.all(1), filled.all(0)


def test_masks_are_one_interval_of_bands_and_one_of_frames_filled_with_the_clips_mean() -> None:
    x = log_mels(64)
    views = mask(x, bands=27, frames=90, generator=generator(1, "mask"))
    for view, clip in zip(views, x, strict=True):
        in_band, in_frame = masked_intervals(view, clip)
        assert torch.equal(view != clip, in_band[:, None] | in_frame[None, :])
        for masked, most in ((in_band, 27), (in_frame, 90)):
            assert masked.sum() <= most
            assert sum(a != b for a, b in pairwise([False, *masked.tolist(), False])) in (0, 2)


def test_widths_of_masks_are_uniform_up_to_the_most() -> None:
    x = torch.arange(6.0 * 7).reshape(1, 6, 7).expand(40_000, 6, 7) + 0.123
    filled = mask(x, bands=2, frames=3, generator=generator(2)) != x
    bands, frames = Counter(filled.all(2).sum(1).tolist()), Counter(filled.all(1).sum(1).tolist())
    assert {n: round(count / 40_000, 1) for n, count in bands.items()} == {0: 0.3, 1: 0.3, 2: 0.3}
    assert all(abs(frames[n] / 40_000 - 0.25) < 0.01 for n in range(4))


def test_a_mask_wider_than_the_clip_masks_at_most_all() -> None:
    assert mask(log_mels(frames=50), bands=27, frames=100, generator=generator(0)).isfinite().all()


# vocal tract length


def tones(hz: list[float]) -> Tensor:
    """Log-mels of half a second of each tone."""
    time_s = torch.arange(8000, dtype=torch.float64) / 16_000
    waves = torch.sin(2 * torch.pi * torch.tensor(hz, dtype=torch.float64)[:, None] * time_s)
    return log_mel(0.3 * waves.float(), n_samples=8000)


def peaks(x: Tensor) -> list[int]:
    """The loudest band of each clip, in the middle of it."""
    return x[:, :, 20:30].mean(2).argmax(1).tolist()


def warped_hz(hz: float, factor: float) -> float:
    """Jaitly & Hinton 2013 eq. 1 as printed: where a frequency goes."""
    high, half = 4800.0, 8000.0
    if hz <= high * min(factor, 1) / factor:
        return hz * factor
    return half - (half - high * min(factor, 1)) / (half - high * min(factor, 1) / factor) * (half - hz)


@pytest.mark.parametrize("factor", [0.87, 1 / 1.1, 0.95, 1.0, 1.05, 1.1, 1.15])
def test_a_stretched_tone_is_heard_in_the_band_of_the_stretched_frequency(factor: float) -> None:
    hz = [700.0, 1000.0, 1800.0, 2900.0, 4100.0, 5200.0, 6800.0]
    stretched = peaks(stretched_bands(tones(hz), torch.full((len(hz),), factor)))
    expected = peaks(tones([warped_hz(each, factor) for each in hz]))
    assert max(abs(ours - theirs) for ours, theirs in zip(stretched, expected, strict=True)) <= 1
    assert sum(ours == theirs for ours, theirs in zip(stretched, expected, strict=True)) >= 5


def test_a_stretched_ramp_over_frequency_is_the_ramp_at_the_warped_frequencies() -> None:
    filters = mel_filters()
    centres_hz = (filters * torch.linspace(0, 8000, 201, dtype=torch.float64)).sum(1) / filters.sum(1)
    ramp = torch.arange(80.0)[None, :, None].expand(1, 80, 4)
    for factor in (0.9, 1.1):
        stretched = stretched_bands(ramp, torch.tensor([factor]))[0, :, 0]
        goes_to = [warped_hz(float(hz), factor) for hz in centres_hz]
        expected = np.interp(centres_hz.numpy(), goes_to, np.arange(80))
        np.testing.assert_allclose(stretched[20:], expected[20:], atol=0.12)


def test_the_uppermost_and_the_lowest_band_stay_almost_where_they_are() -> None:
    ramp = torch.arange(80.0)[None, :, None].expand(2, 80, 4)
    stretched = stretched_bands(ramp, torch.tensor([0.9, 1.1]))
    assert (stretched[:, 0] - 0).abs().max() < 0.2
    assert (stretched[:, -1] - 79).abs().max() < 0.4


def test_each_clip_is_stretched_by_its_own_factor_and_not_at_all_by_one() -> None:
    x, factors = log_mels(3), torch.tensor([0.9, 1.0, 1.1])
    together = stretched_bands(x, factors)
    for place in range(3):
        alone = stretched_bands(x[place : place + 1], factors[place : place + 1])
        torch.testing.assert_close(together[place : place + 1], alone, atol=0, rtol=0)
    torch.testing.assert_close(together[1], x[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
def test_vocal_tracts_vary_uniformly_within_their_range(strength: float) -> None:
    ramp = torch.arange(80.0)[None, :, None].expand(4000, 80, 1)
    middle = vtlp(ramp, strength=strength, generator=generator(0, "vtlp"))[:, 40, 0]
    ends = stretched_bands(ramp[:2], torch.tensor([1.1**-strength, 1.1**strength]))[:, 40, 0]
    assert middle.max() == pytest.approx(float(ends[0]), abs=0.02)
    assert middle.min() == pytest.approx(float(ends[1]), abs=0.02)
    upwards = (1 - 1.1**-strength) / (1.1**strength - 1.1**-strength)
    assert float((middle > 40).float().mean()) == pytest.approx(upwards, abs=0.03)


def test_vocal_tracts_follow_from_the_generator_alone_and_leave_the_clip_alone() -> None:
    x = log_mels()
    kept, before = x.clone(), torch.random.get_rng_state()
    first, again = (vtlp(x, strength=1.0, generator=generator(0, "vtlp")) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(x, kept)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(first, vtlp(x, strength=1.0, generator=generator(1, "vtlp")))
    assert (first.shape, first.dtype) == (x.shape, x.dtype)


# views


def test_no_strength_is_no_change() -> None:
    x = log_mels()
    assert torch.equal(byol_view(x, log_mels(seed=1), EVERY, strength=0.0, generator=generator(0)), x)
    assert torch.equal(supervised_view(x, strength=0.0, generator=generator(0)), x)
    assert torch.equal(vtlp(x, strength=0.0, generator=generator(0)), x)


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
def test_views_follow_from_the_generator_alone(strength: float) -> None:
    x, z = log_mels(), log_mels(seed=1)
    before = torch.random.get_rng_state()
    first = byol_view(x, z, EVERY, strength=strength, generator=generator(0, "view"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, byol_view(x, z, EVERY, strength=strength, generator=generator(0, "view")))
    assert not torch.equal(first, byol_view(x, z, EVERY, strength=strength, generator=generator(1, "view")))


def test_views_keep_shape_and_leave_their_input_alone() -> None:
    x, z = log_mels(), log_mels(seed=1)
    kept = x.clone(), z.clone()
    view = byol_view(x, z, EVERY, strength=1.0, generator=generator(0))
    assert view.shape == x.shape
    assert torch.equal(x, kept[0])
    assert torch.equal(z, kept[1])


def test_equal_clips_get_different_views() -> None:
    x = log_mels(1).expand(6, BANDS, FRAMES)
    views = supervised_view(x, strength=0.5, generator=generator(0))
    assert len({view.numpy().tobytes() for view in views}) == 6


def test_autocast_does_not_coarsen_views() -> None:
    x = log_mels()
    plain = supervised_view(x, strength=1.0, generator=generator(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(supervised_view(x, strength=1.0, generator=generator(0)), plain)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_cuda_sees_the_same_views() -> None:
    x, z = log_mels(), log_mels(seed=1)
    on_gpu = byol_view(x.cuda(), z.cuda(), EVERY, strength=1.0, generator=generator(0)).cpu()
    torch.testing.assert_close(on_gpu, byol_view(x, z, EVERY, strength=1.0, generator=generator(0)), atol=1e-4, rtol=0)
    stretched = vtlp(x.cuda(), strength=1.0, generator=generator(0)).cpu()
    torch.testing.assert_close(stretched, vtlp(x, strength=1.0, generator=generator(0)), atol=1e-6, rtol=0)


# partners


def drawn(step: int) -> Tensor:
    """Step t draws clips 100t … 100t + 7; those from 4 on are the second source."""
    assert step >= 0
    return torch.arange(8) + 100 * step


def history(step: int, bank: int) -> list[int]:
    """The last `bank` clips before a step, kept the slow way."""
    fifo = [int(clip) for earlier in range(step) for clip in drawn(earlier)]
    return fifo[-bank:] if bank else []


@given(st.integers(0, 40), st.integers(0, 100), st.integers(0, 5))
def test_partners_come_from_the_bank(step: int, bank: int, seed: int) -> None:
    partners = mixup_partners(drawn, step, bank=bank, across=True, source=generator(seed)).tolist()
    assert set(partners) <= set(history(step, bank) or [-1])


def test_partners_are_uniform_over_the_whole_bank() -> None:
    partners = [mixup_partners(drawn, 9, bank=20, across=True, source=generator(seed)) for seed in range(4000)]
    counts = Counter(torch.cat(partners).tolist())
    assert sorted(counts) == sorted(history(9, 20))
    assert np.abs(np.array(list(counts.values())) / 32_000 - 1 / 20).max() < 0.006


def test_kept_apart_each_source_draws_from_its_own_half_of_the_bank() -> None:
    partners = torch.stack(
        [mixup_partners(drawn, 9, bank=24, across=False, source=generator(seed)) for seed in range(500)]
    )
    last = [600, 700, 800]
    assert set(partners[:, :4].flatten().tolist()) == {clip + i for clip in last for i in range(4)}
    assert set(partners[:, 4:].flatten().tolist()) == {clip + i for clip in last for i in range(4, 8)}


@pytest.mark.parametrize(("step", "bank"), [(0, 2048), (5, 0)])
def test_without_history_there_is_no_partner(step: int, bank: int) -> None:
    assert mixup_partners(drawn, step, bank=bank, across=True, source=generator(0)).tolist() == [-1] * 8


def test_partners_need_no_memory_of_earlier_steps() -> None:
    in_order = [mixup_partners(drawn, step, bank=30, across=True, source=generator(0, step)) for step in range(12)]
    resumed = mixup_partners(drawn, 11, bank=30, across=True, source=generator(0, 11))
    assert torch.equal(in_order[11], resumed)
