"""Augmented views of clips as supervised and contrastive training hear them (Gong et al. 2025 §2.1)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers import loaders
from trainers.audio import spectrogram, waveform
from trainers.audio.draws import generator
from trainers.audio.front_end import FrontEnd
from trainers.audio.log_mel import log_mel
from trainers.corpora.prepared import open_prepared
from trainers.moving import onto
from trainers.speech import Speech

REACH = 1.5
"""Times the window that is heard before the augmentation: at its fastest (speed 1.15, stretch 1.4 at strength 1.5) the
clip still fills most of the window, and at strength 1 (1.1 · 1.25) all of it; it is cut afterwards (METHODS §3.2)."""


@dataclass(frozen=True)
class Clip:
    """A clip to be heard and augmented: its `start` in [0, 1) places a random crop, `seed` (seed, step, view, place)
    names its random streams."""

    number: int
    start: float
    strength: float
    seed: tuple[int, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Augmentation:
    """Which kinds of augmentation are on, how strong, and what the encoder hears ("mel" or "waveform").

    Masks and vocal tract length are changes of a mel, so an encoder of waveforms goes without them.
    """

    speech: Speech
    hears: str
    kinds: Sequence[str]
    strength: float
    seed: int
    _begun: dict[tuple[int, int], Callable[[], NDArray[np.float32]]] = field(default_factory=dict, compare=False)

    def views(self, draw: Callable[[int], Tensor], step: int, count: int) -> list[Tensor]:
        """So many views of the clips that `draw` gives for this step; those of the next step are begun, where the
        speech has loaders."""
        waiting = [self._begun.pop((step, view), None) for view in range(count)]
        self._begun.clear()
        numbers = draw(step)
        made = [wait() if wait else None for wait in waiting]
        if self.speech.loaders:
            following = draw(step + 1)
            self._begun.update({(step + 1, view): self._begin(following, step + 1, view) for view in range(count)})
        return [self.view(numbers, step, view, waveforms) for view, waveforms in enumerate(made)]

    def view(self, numbers: Tensor, step: int, view: int, waveforms: NDArray[np.float32] | None = None) -> Tensor:
        """(batch, 80, frames) log-mels or (batch, samples) waveforms, the same for the same step and view.

        `waveforms`: where they are there already.
        """
        source, clips = self._drawn(numbers, step, view)
        if waveforms is None:
            waveforms = augmented(self.speech, clips)
        heard = onto(self.speech.device, torch.from_numpy(waveforms))
        if self.hears == "waveform":
            return heard
        mel = log_mel(heard, n_samples=self.speech.front_end.n_samples)
        if "vtlp" in self.kinds:
            lengths = generator(self.seed, "vtlp", step, view)
            mel = spectrogram.vtlp(mel, strength=self.strength, generator=lengths)
        return self._masked(mel, source)

    def _drawn(self, numbers: Tensor, step: int, view: int) -> tuple[torch.Generator, list[Clip]]:
        """The clips of a view, and the random stream after where they begin was drawn from it."""
        source = generator(self.seed, "view", step, view)
        starts = torch.rand(len(numbers), generator=source).tolist()
        chosen = tuple(kind for kind in self.kinds if kind in waveform.ALL_KINDS)
        clips = [
            Clip(number, start, self.strength, (self.seed, step, view, place), chosen)
            for place, (number, start) in enumerate(zip(numbers.tolist(), starts, strict=True))
        ]
        return source, clips

    def _begin(self, numbers: Tensor, step: int, view: int) -> Callable[[], NDArray[np.float32]]:
        """Have a view's waveforms made, each loader a part of the clips; the answer waits for all of them."""
        _, clips = self._drawn(numbers, step, view)
        crew = loaders.shared(self.speech.loaders)
        room = np.empty((len(clips), self.speech.front_end.n_samples), np.float32)
        told, each = self.speech.told, -(-len(clips) // crew.count)
        waits = [
            crew.begin(
                room[first : first + each],
                augmented_there,
                told,
                [astuple(clip) for clip in clips[first : first + each]],
            )
            for first in range(0, len(clips), each)
        ]

        def wait() -> NDArray[np.float32]:
            for done in waits:
                done()
            return room

        return wait

    def _masked(self, mel: Tensor, source: torch.Generator) -> Tensor:
        if "mask" not in self.kinds:
            return mel
        bands, frames = int(27 * self.strength), int(100 * self.strength)
        return spectrogram.mask(mel, bands=bands, frames=frames, generator=source)


def augmented(speech: Speech, clips: Sequence[Clip]) -> NDArray[np.float32]:
    """(clips, n_samples): each heard for half as long again as the window, augmented, and cut."""
    numbers, starts = torch.tensor([clip.number for clip in clips]), torch.tensor([clip.start for clip in clips])
    clean = speech.waveforms(numbers, starts, reach=REACH)
    heard = [
        waveform.augment(samples, strength=clip.strength, seed=clip.seed, kinds=clip.kinds)
        for samples, clip in zip(clean, clips, strict=True)
    ]
    return np.stack([samples[: speech.front_end.n_samples] for samples in heard])


def augmented_there(told: str, clips: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
    """As `augmented`, in a loader's process: speech and clips as JSON tells them."""
    listed = [
        Clip(number, start, strength, tuple(seed), tuple(kinds)) for number, start, strength, seed, kinds in clips
    ]
    return augmented(_opened(told), listed)


@lru_cache(maxsize=1)
def _opened(told: str) -> Speech:
    """The speech of the training that a loader works for."""
    paths, front_end = json.loads(told)
    return Speech(open_prepared([Path(path) for path in paths]), FrontEnd(**front_end), torch.device("cpu"))
