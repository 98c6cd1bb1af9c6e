"""Clips that are longer than the window: their scores are those of windows that cover them, averaged."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import small_world
from tests.small_world import Tones
from trainers.audio.front_end import FrontEnd, hear
from trainers.building import build
from trainers.evaluation import Evaluation
from trainers.speech import Speech

RAW = FrontEnd(length_s=0.2, crop="chunks", trim_db=None, rms_db=None)
"""The clips last .5 s, so three windows of .2 s cover one."""


def speech(front_end: FrontEnd = RAW) -> Speech:
    return Speech(Tones(), front_end, torch.device("cpu"))


class Hears:
    """Classifies by the sum of what it hears, as a linear head would; keeps what it was given."""

    def __init__(self, of: Speech) -> None:
        self.of = of
        torch.manual_seed(0)
        self.weights = torch.randn(of.front_end.n_samples, 4)

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        return self.of.heard("waveform", numbers, starts)

    def inference(self) -> tuple[nn.Module, Any]:
        return nn.Identity(), lambda heard: heard @ self.weights

    def eval(self) -> None: ...


def test_windows_cover_a_clip_from_its_first_sample_to_its_last() -> None:
    heard = speech()
    places, starts = heard.windows(torch.tensor([3, 40]))
    assert places.tolist() == [0, 0, 0, 1, 1, 1]
    given = heard.heard("waveform", torch.tensor([3, 40])[places], starts)
    whole = torch.from_numpy(heard.prepared.samples(3))
    for window, first in zip(given[:3], (0, 2400, 4800), strict=True):
        assert torch.equal(window, whole[first : first + 3200])


def test_a_clip_that_fits_has_one_window_and_is_heard_whole() -> None:
    heard = speech(replace(RAW, length_s=0.6))
    places, starts = heard.windows(torch.tensor([5]))
    assert places.tolist() == [0]
    alone = heard.heard("waveform", torch.tensor([5]), starts)
    assert torch.equal(alone[0], torch.from_numpy(hear(heard.prepared.samples(5), replace(RAW, length_s=0.6))))


def test_a_prediction_is_that_of_the_mean_logits_of_the_windows() -> None:
    """The oracle hears each window by itself, in a loop."""
    heard = speech()
    split = small_world.split(Tones())
    method = Hears(heard)
    found, embedded = Evaluation(heard, split).predict_embedded(method)
    assert list(embedded) == [part for part in found if not part.startswith("valid/")]
    wanted = []
    for place, name in enumerate(split.test["away"]):
        whole = torch.from_numpy(heard.prepared.samples(heard.prepared.index[name]))
        logits = [whole[first : first + 3200] @ method.weights for first in (0, 2400, 4800)]
        wanted.append(int(torch.stack(logits).mean(0).argmax()))
        windows = [whole[first : first + 3200] for first in (0, 2400, 4800)]
        torch.testing.assert_close(embedded["test/away"][place], torch.stack(windows).mean(0))
    assert found["test/away"].tolist() == wanted


def test_a_cell_trains_and_is_scored_on_chunks() -> None:
    cell = replace(small_world.spec(), front_end=replace(small_world.FRONT_END, crop="chunks", length_s=0.2))
    prepared = Tones()
    method = build(
        cell,
        small_world.split(prepared),
        Speech(prepared, cell.front_end, torch.device("cpu")),
        small_world.whisper(),
    )
    assert torch.isfinite(method.losses(0)["total"])


@pytest.mark.parametrize("crop", ["head", "centre"])
def test_other_crops_hear_one_window(crop: str) -> None:
    heard = speech(replace(RAW, crop=crop))
    method = Hears(heard)
    found = Evaluation(heard, small_world.split(Tones())).predict(method, only=["test/home"])["test/home"]
    ids = heard.numbers(small_world.split(Tones()).test["home"])
    assert found.tolist() == (heard.heard("waveform", ids) @ method.weights).argmax(1).tolist()
