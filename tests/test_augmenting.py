"""Augmented views: put together once more from their parts; strength 0 is none; no kind disturbs another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.small_world import Tones
from trainers.audio import spectrogram, waveform
from trainers.audio.draws import generator
from trainers.audio.front_end import FrontEnd
from trainers.audio.log_mel import log_mel
from trainers.augmenting import Augmentation
from trainers.methods.configs import MEL_KINDS, PAPERS_KINDS, WAVEFORM_KINDS
from trainers.speech import Speech

NUMBERS = torch.tensor([3, 40, 3, 17])
SHORT = FrontEnd(length_s=0.3)
"""The clips are .5 s long: a view has more to hear than its window."""

EVERYTHING = (*WAVEFORM_KINDS, *MEL_KINDS)


def augmentation(
    kinds: tuple[str, ...] = PAPERS_KINDS, strength: float = 1.0, hears: str = "mel", front_end: FrontEnd = SHORT
) -> Augmentation:
    return Augmentation(Speech(Tones(), front_end, torch.device("cpu")), hears, kinds, strength, seed=5)


def clean(starts: Tensor) -> Tensor:
    """About half as much again as the window (a multiple of .02 s), from the head."""
    longer = Speech(Tones(), replace(SHORT, length_s=0.44), torch.device("cpu"))
    return torch.from_numpy(longer.waveforms(NUMBERS, starts))


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5])
def test_the_papers_kinds_are_waveform_augmentation_then_log_mel_then_masks_each_from_its_own_stream(
    strength: float,
) -> None:
    """As the baseline had it before other methods came to share it."""
    source = generator(5, "view", 7, 2)
    starts = torch.rand(4, generator=source)
    waveforms = [
        waveform.augment(clip.numpy(), strength=strength, seed=(5, 7, 2, place))
        for place, clip in enumerate(clean(starts))
    ]
    mel = log_mel(torch.from_numpy(np.stack(waveforms)), n_samples=4800)
    wanted = spectrogram.mask(mel, bands=int(27 * strength), frames=int(100 * strength), generator=source)
    assert torch.equal(augmentation(strength=strength).view(NUMBERS, 7, 2), wanted)


@pytest.mark.parametrize("crop", ["head", "centre", "random"])
@pytest.mark.parametrize("hears", ["mel", "waveform"])
def test_at_strength_0_a_view_is_the_clip_itself_wherever_its_window_lies(hears: str, crop: str) -> None:
    made = augmentation(EVERYTHING, 0.0, hears, replace(SHORT, crop=crop))
    starts = torch.rand(4, generator=generator(5, "view", 7, 2))
    assert torch.equal(made.view(NUMBERS, 7, 2), made.speech.heard(hears, NUMBERS, starts))


def test_without_any_kind_a_view_is_the_clip_itself() -> None:
    made = augmentation((), 1.0)
    assert torch.equal(made.view(NUMBERS, 0, 0), made.speech.mels(NUMBERS))


def test_the_same_step_and_view_are_the_same_and_others_are_others() -> None:
    made = augmentation(EVERYTHING)
    views = [made.view(NUMBERS, step, view) for step in range(2) for view in range(2)]
    torch.manual_seed(3)
    assert torch.equal(augmentation(EVERYTHING).view(NUMBERS, 0, 1), views[1])
    assert all(not torch.equal(one, other) for i, one in enumerate(views) for other in views[:i])
    assert not torch.equal(views[0][0], views[0][2])  # the same clip in two places


def test_masks_fall_on_the_same_places_whatever_else_is_on() -> None:
    """A masked place has the mean of its clip in every band or frame of the mask."""
    source = generator(5, "view", 1, 0)
    torch.rand(4, generator=source)
    where = spectrogram.mask(
        torch.arange(2400.0).view(1, 80, 30).expand(4, 80, 30), bands=27, frames=100, generator=source
    )
    masked = where == where.new_tensor(1199.5)
    for kinds in (("mask",), ("mask", "vtlp"), PAPERS_KINDS, EVERYTHING):
        view = augmentation(kinds).view(NUMBERS, 1, 0)
        unmasked = augmentation(tuple(kind for kind in kinds if kind != "mask")).view(NUMBERS, 1, 0)
        assert torch.equal(view[~masked], unmasked[~masked])
        assert (
            float((view[masked] - unmasked.mean(dim=(1, 2), keepdim=True).expand_as(view)[masked]).abs().max()) < 1e-6
        )


def test_vocal_tract_lengths_are_drawn_from_a_stream_of_their_own() -> None:
    made = augmentation(("vtlp",))
    plain = made.speech.mels(NUMBERS)
    wanted = spectrogram.vtlp(plain, strength=1.0, generator=generator(5, "vtlp", 1, 0))
    assert torch.allclose(made.view(NUMBERS, 1, 0), wanted, atol=1e-6)
    assert not torch.allclose(wanted, plain, atol=1e-3)


def test_an_encoder_of_waveforms_hears_the_waveform_kinds_alone_cut_to_the_window() -> None:
    heard = augmentation(EVERYTHING, hears="waveform").view(NUMBERS, 1, 0)
    assert heard.shape == (4, 4800)
    assert torch.equal(heard, augmentation(WAVEFORM_KINDS, hears="waveform").view(NUMBERS, 1, 0))
    polar = augmentation(("polarity",), hears="waveform").view(NUMBERS, 1, 0)
    plain = augmentation((), hears="waveform").view(NUMBERS, 1, 0)
    assert torch.equal(polar.abs(), plain.abs())
    assert {float(sign) for sign in torch.sign(polar * plain).sum(1).sign()} <= {-1.0, 1.0}


def test_a_clip_that_is_sped_up_still_fills_its_window() -> None:
    """.5 s at 1.1 times the speed are .45 s: the window of .3 s ends in sound."""
    made = augmentation(("speed",), hears="waveform")
    views = torch.cat([made.view(NUMBERS, step, 0) for step in range(20)])
    assert float(views[:, -200:].abs().amax(1).min()) > 0.01
