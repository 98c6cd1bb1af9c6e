"""One audio file: what its header tells, and its samples as 16 kHz mono."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from trainers.audio.front_end import SAMPLE_RATE_HZ

SUFFIXES = frozenset(
    (".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav", ".wma")
)
"""What counts as audio, readable by libsndfile or not: a file that cannot be read must be named, not passed over."""


_CUT_SHORT = re.compile(r"^data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's note where a WAV's header promises more bytes of sound than the file holds; it reads on regardless."""

_UNKNOWN_LENGTH = 0x7FFF_F000
"""Lengths from here on were written by programs that did not know the length yet (a stream); they promise nothing."""


class UnreadableError(Exception):
    """A file that is no usable recording; its text is the cause, without the file's name."""


@dataclass(frozen=True, slots=True)
class Header:
    """Length in seconds, and the format as it lies on disk."""

    duration_s: float
    sample_rate_hz: int
    channels: int


def header(path: Path) -> Header:
    """What the file says about itself, without decoding it. Raises UnreadableError: no audio, or no samples in it."""
    with _opened(path) as file:
        return _header(file)


def decode(path: Path) -> NDArray[np.float32]:
    """The whole clip, shape (samples,), 16 kHz, channels averaged, in −1 … 1 (float files may exceed it).

    Raises UnreadableError where it cannot be decoded to its end or holds NaN or infinite samples.
    """
    with _opened(path) as file:
        told = _header(file)
        try:
            samples = file.read(dtype="float32", always_2d=True)
        except (RuntimeError, OSError, MemoryError) as error:  # a header may promise a thousand GB
            raise UnreadableError(_first_line(error)) from error
        if len(samples) != file.frames:
            raise UnreadableError(f"it ends after {len(samples)} of {file.frames} samples")
    if not np.isfinite(samples).all():
        raise UnreadableError("it holds NaN or infinite samples")
    mono = samples[:, 0] if told.channels == 1 else samples.mean(axis=1, dtype=np.float32)
    return at_16_khz(mono, told.sample_rate_hz)


def at_16_khz(mono: NDArray[np.float32], rate_hz: float) -> NDArray[np.float32]:
    """(samples,) at any rate to (samples,) at 16 kHz; at 16 kHz they stay as they are, to the bit."""
    resampled = mono if rate_hz == SAMPLE_RATE_HZ else soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return np.ascontiguousarray(resampled, dtype=np.float32)


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        if not path.is_file():  # a pipe would block, a link to nothing has no cause of its own
            raise UnreadableError("it is no regular file")
        if path.stat().st_size == 0:
            raise UnreadableError("it is empty (0 bytes)")
        return soundfile.SoundFile(path)
    except (RuntimeError, OSError, TypeError) as error:
        raise UnreadableError(_first_line(error)) from error


def _header(file: soundfile.SoundFile) -> Header:
    if file.frames <= 0:
        raise UnreadableError("it holds no samples")
    short = _CUT_SHORT.search(file.extra_info)
    if short and int(short[2]) < int(short[1]) < _UNKNOWN_LENGTH:
        raise UnreadableError(f"it is cut short: {short[2]} of {short[1]} bytes of sound are there")
    return Header(file.frames / file.samplerate, file.samplerate, file.channels)


def _first_line(error: Exception) -> str:
    """libsndfile's own words without the path that the caller names anyway."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
