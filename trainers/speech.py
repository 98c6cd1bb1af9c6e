"""Prepared clips as a method sees them: utterance numbers in, waveforms or log-mels on the device out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from trainers.audio.front_end import SAMPLE_RATE_HZ, FrontEnd, Known, bounds, hear, known_of
from trainers.audio.log_mel import HOP, log_mel
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError
from trainers.moving import onto

CACHE_BYTES = 2 * 1024**3
"""Log-mels that never change (no random crop) are kept up to this size, then computed anew each time."""


@dataclass
class Speech:
    """The prepared corpora through one front end, on one device. `loaders`: processes that may augment ahead."""

    prepared: Prepared
    front_end: FrontEnd
    device: torch.device
    loaders: int = 0
    _known: dict[int, Known] = field(default_factory=dict)
    _mels: dict[int, Tensor] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return self.front_end.n_samples // HOP

    @property
    def told(self) -> str:
        """JSON by which another process opens the same speech."""
        return json.dumps([[str(path) for path in self.prepared.paths], asdict(self.front_end)])

    def numbers(self, ids: Sequence[str]) -> Tensor:
        """Utterance ids to their numbers in the prepared corpora: (n,) int64."""
        return torch.tensor([self.prepared.index[name] for name in ids], dtype=torch.int64)

    def labels(self, numbers: Tensor) -> Tensor:
        """(n,) class numbers."""
        emotions = [self.prepared.utterances[number].emotion for number in numbers.tolist()]
        return torch.tensor([EMOTIONS.index(emotion) for emotion in emotions], dtype=torch.int64)

    def emotions(self, numbers: Tensor) -> Tensor:
        """(n,) numbers of emotions, those beyond the four classes after them in the order of their names."""
        words = [self.prepared.utterances[number].emotion for number in numbers.tolist()]
        known = [*EMOTIONS, *sorted(set(words) - set(EMOTIONS))]
        return torch.tensor([known.index(word) for word in words], dtype=torch.int64)

    def numbered(self, numbers: Tensor, tell: Callable[[Utterance], str]) -> Tensor:
        """(n,) numbers of what is told of each clip (its speaker, its corpus), in the order of the words."""
        words = [tell(self.prepared.utterances[number]) for number in numbers.tolist()]
        known = {word: place for place, word in enumerate(sorted(set(words)))}
        return torch.tensor([known[word] for word in words], dtype=torch.int64)

    def waveforms(
        self, numbers: Tensor, starts: Tensor | None = None, *, reach: float = 1.0
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """(n, reach · n_samples) after the front end; `starts` (n,) in [0, 1) says where a random crop begins.

        `reach` above 1 hears more than the window, for what is sped up before it is cut.
        """
        where = starts.tolist() if starts is not None else [None] * len(numbers)
        clips = zip(numbers.tolist(), where, strict=True)
        return np.stack([self._heard(number, start, reach) for number, start in clips])

    def _heard(self, number: int, start: float | None, reach: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        samples = self.prepared.samples(number)
        return hear(samples, self.front_end, known=self._known_of(number), start=start, reach=reach)

    def _known_of(self, number: int) -> Known:
        """Where trimming begins and ends a clip, and its gain."""
        if number not in self._known:
            samples = self.prepared.samples(number)
            require_sound(self.prepared.utterances[number].id, samples)
            self._known[number] = known_of(samples, self.front_end)
        return self._known[number]

    def windows(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The fewest windows that cover each clip, evenly spread: (m,) places in `numbers`, (m,) starts in [0, 1).

        For `crop=chunks`; a clip that is no longer than the window has one.
        """
        places: list[int] = []
        starts: list[float] = []
        for place, number in enumerate(numbers.tolist()):
            known = self._known_of(number)
            spare = max(0, known.end - known.begin - self.front_end.n_samples)
            count = 1 + -(-spare // self.front_end.n_samples)
            firsts = [round(window * spare / max(1, count - 1)) for window in range(count)]
            places += [place] * count
            starts += [(first + 0.5) / (spare + 1) for first in firsts]
        return torch.tensor(places), torch.tensor(starts, dtype=torch.float64)

    def heard(self, hears: str, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """What an encoder that `hears` "mel" or "waveform" is given of these clips, on the device."""
        if hears == "mel":
            return self.mels(numbers, starts)
        return onto(self.device, torch.from_numpy(self.waveforms(numbers, starts)))

    def mels(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """(n, 80, frames) log-mels; those of fixed crops are computed once."""
        if starts is not None and self.front_end.crop in ("random", "chunks"):
            return self._log_mels(numbers, starts)
        missing = [number for number in dict.fromkeys(numbers.tolist()) if number not in self._mels]
        if not missing:
            return torch.stack([self._mels[number] for number in numbers.tolist()])
        if not self._fits(len(missing)):
            return self._log_mels(numbers, None)
        self._mels |= zip(missing, self._log_mels(torch.tensor(missing), None), strict=True)
        return self.mels(numbers)

    def _log_mels(self, numbers: Tensor, starts: Tensor | None) -> Tensor:
        waveforms = onto(self.device, torch.from_numpy(self.waveforms(numbers, starts)))
        return log_mel(waveforms, n_samples=self.front_end.n_samples)

    def _fits(self, more: int) -> bool:
        return (len(self._mels) + more) * 80 * self.frames * 4 <= CACHE_BYTES


def require_sound(name: str, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    """UserError where a prepared clip holds NaN: preparation lets none in, so the file was damaged since."""
    if not np.isfinite(samples).all():
        raise UserError(f"prepared audio of {name} is damaged (NaN); delete <store>/prepared, it is made anew")


def level_and_silence(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> list[float]:
    """What a recording tells without any speech being understood: level in dB, leading and trailing silence and
    duration in seconds (the nuisances of VALIDITY §2)."""
    begin, end = bounds(samples, 40.0)
    level_db = 10 * np.log10(float(np.mean(np.square(samples, dtype=np.float64))) + 1e-10)
    silence_s = (begin / SAMPLE_RATE_HZ, (len(samples) - end) / SAMPLE_RATE_HZ)
    return [level_db, *silence_s, len(samples) / SAMPLE_RATE_HZ]
