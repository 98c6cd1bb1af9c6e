"""What happens to a waveform before its log-mel: trimming, level, and which seconds are heard (VALIDITY §2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.errors import require
from trainers.settings import require_types

SAMPLE_RATE_HZ = 16_000
_FRAME = 400
_HOP = 160


CROPS = ("head", "centre", "random", "chunks")


@dataclass(frozen=True)
class FrontEnd:
    """Settings of the front end; the same for every method of a protocol.

    `trim_db`: leading and trailing frames this far below the loudest are cut; None is off.
    `rms_db`: level that the clip is scaled to, in dB of full scale; None is off.
    `crop`: which part of a longer clip is heard: head, centre, random (in training; centre in evaluation), or chunks
    (random in training; in evaluation the logits of windows that cover the clip are averaged).
    `length_s`: what every clip is cut or zero-padded to.
    """

    trim_db: float | None = 40.0
    rms_db: float | None = -26.0
    crop: str = "head"
    length_s: float = 3.0

    def __post_init__(self) -> None:
        require_types(self)
        require(self.trim_db is None or self.trim_db > 0, "trim_db", self.trim_db, "above 0, or none")
        require(self.rms_db is None or self.rms_db < 0, "rms_db", self.rms_db, "below 0, or none")
        require(self.crop in CROPS, "crop", self.crop, "head, centre, random or chunks")
        frames = self.length_s * 100
        whole = 0 < self.length_s <= 30 and abs(frames - round(frames)) < 1e-9 and round(frames) % 2 == 0
        require(whole, "length_s", self.length_s, "a multiple of 0.02 up to 30")

    @property
    def n_samples(self) -> int:
        return round(self.length_s * SAMPLE_RATE_HZ)


def bounds(samples: NDArray[np.float32], trim_db: float | None) -> tuple[int, int]:
    """First sample, and the one after the last, that trimming keeps of a whole clip (n,).

    Frames of 25 ms every 10 ms; kept is all from the first to the last frame whose energy is at most `trim_db`
    below the loudest frame's. A silent clip is kept whole, and so is every clip if `trim_db` is None.
    """
    if trim_db is None or len(samples) <= _FRAME:
        return 0, len(samples)
    starts = np.arange(0, len(samples) - _FRAME + _HOP, _HOP)
    energy_until = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    energies = energy_until[np.minimum(starts + _FRAME, len(samples))] - energy_until[starts]
    kept = starts[energies >= energies.max() * 10 ** (-trim_db / 10)]
    return int(kept[0]), min(int(kept[-1]) + _FRAME, len(samples))


def hear(
    samples: NDArray[np.float32],
    front_end: FrontEnd,
    *,
    known: "Known | None" = None,
    start: float | None = None,
    reach: float = 1.0,
) -> NDArray[np.float32]:
    """A whole clip (n,) to the (n_samples,) float32 that a model hears: trim, level, crop, zeros at the end.

    `known`: what `known_of` gave for this clip. `start`: a number in [0, 1) that places a random crop; without it
    (in evaluation) a random crop is the centre. The level is that of the whole trimmed clip, not of the crop.
    `reach` above 1 hears on beyond the window, for what is sped up before it is cut: `reach` times n_samples, in steps
    of 20 ms and up to 30 s, that begin where the window does.
    """
    known = known or known_of(samples, front_end)
    speech = samples[known.begin : known.end]
    first = _crop_start(len(speech) - front_end.n_samples, front_end.crop, start)
    length = round(min(30.0, round(front_end.length_s * reach * 50) / 50) * SAMPLE_RATE_HZ)
    crop = speech[first : first + length]
    heard = np.zeros(length, dtype=np.float32)
    np.multiply(crop, known.gain, out=heard[: len(crop)], casting="same_kind")  # in float64, without an array of it
    return heard


@dataclass(frozen=True, slots=True)
class Known:
    """What does not change from crop to crop of a clip: the samples that trimming keeps, and their gain."""

    begin: int
    end: int
    gain: np.float64


def known_of(samples: NDArray[np.float32], front_end: FrontEnd) -> Known:
    """Of a whole clip (n,); worth caching."""
    begin, end = bounds(samples, front_end.trim_db)
    return Known(begin, end, _gain(samples[begin:end], front_end.rms_db))


def _crop_start(spare: int, crop: str, start: float | None) -> int:
    if spare <= 0 or crop == "head":
        return 0
    if crop == "centre" or start is None:
        return spare // 2
    return min(int(start * (spare + 1)), spare)


def _gain(speech: NDArray[np.float32], rms_db: float | None) -> np.float64:
    """The factor that brings a clip to `rms_db`; 1 where there is nothing to scale."""
    power = np.mean(np.square(speech, dtype=np.float64)) if len(speech) else 0.0
    if rms_db is None or power == 0:
        return np.float64(1)
    return np.float64(10 ** (rms_db / 20) / np.sqrt(power))
