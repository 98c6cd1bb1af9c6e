"""Source-filter voices for the demo corpus: invented languages, invented speakers, four manners of speaking.

A glottal pulse (Klatt & Klatt 1990, the KLGLOTT88 polynomial) and aspiration noise pass a cascade of formant
resonators (Klatt 1980) whose centres move from vowel to vowel; consonants are closures, bursts, hisses and murmurs
between the vowels. Nothing is recorded, nothing is downloaded, and nothing about real emotions is claimed.
"""

from dataclasses import dataclass

import numpy as np

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.corpora.vocal_tract import FRAME, Array, band, glottis, per_sample, resonate, scaled

_FRAME_S = FRAME / SAMPLE_RATE_HZ
_WIDTHS_HZ = np.array([70.0, 100.0, 160.0, 260.0, 350.0])
_UPPER_FORMANTS_HZ = (3500.0, 4500.0)
_MURMUR_HZ = (280.0, 1100.0, 2300.0)
_SHORTEST_S, _LONGEST_S = 0.92, 1.58
_EDGE_S = (0.04, 0.11)


@dataclass(frozen=True)
class Language:
    """What all speakers of an invented language share.

    `vowels_hz`: first three formants of each vowel, for a man. `pitch_hz`: a man's baseline. `syllable_s`: length of
    an unstressed syllable; `stress`: how much longer a stressed one is (1 is syllable-timed). `syllables`: fewest
    and most in a sentence. `onsets`: shares of plosives, fricatives and murmurs. `hiss_hz`: where fricatives lie.
    `accent_at`: place of the pitch accent in its vowel, 0 to 1. `tilt_db`: dB per octave beside other languages.
    """

    vowels_hz: tuple[tuple[float, float, float], ...]
    pitch_hz: float
    syllable_s: float
    stress: float
    syllables: tuple[int, int]
    onsets: tuple[float, float, float]
    hiss_hz: float
    accent_at: float
    tilt_db: float


@dataclass(frozen=True)
class Speaker:
    """A voice: habitual pitch, pitch range, formant scale, tilt (dB per octave), breath (dB), tempo and jitter."""

    pitch_hz: float
    pitch_range: float
    formants: float
    tilt_db: float
    breath_db: float
    tempo: float
    jitter: float


@dataclass(frozen=True)
class Manner:
    """How an emotion, or one rendering of it, departs from plain speech; a `Manner()` is plain speech itself.

    `pitch_st` in semitones; `log_range`, `log_length`, `log_formants`, `log_jitter`, `log_attack` as natural
    logarithms of a factor on pitch range, syllable length, formants, jitter and the time a vowel takes to swell;
    `level_db`, `breath_db` in dB; `tilt_db` in dB per octave (positive is brighter).
    """

    pitch_st: float = 0.0
    log_range: float = 0.0
    level_db: float = 0.0
    log_length: float = 0.0
    tilt_db: float = 0.0
    breath_db: float = 0.0
    log_jitter: float = 0.0
    log_formants: float = 0.0
    log_attack: float = 0.0


@dataclass(frozen=True)
class Syllable:
    """Onset `plosive`, `fricative` or `murmur`, then the vowel with this number."""

    onset: str
    vowel: int
    stressed: bool


@dataclass(frozen=True)
class _Timing:
    """Start of each syllable, start of its vowel and its end, all in seconds from the start of the clip."""

    start_s: Array
    vowel_s: Array
    end_s: Array
    total_s: float


def sentence(language: Language, rng: np.random.Generator) -> tuple[Syllable, ...]:
    """A sentence of the language: every other syllable is stressed, no vowel follows itself."""
    count = int(rng.integers(language.syllables[0], language.syllables[1] + 1))
    onsets = rng.choice(["plosive", "fricative", "murmur"], size=count, p=language.onsets)
    kinds = len(language.vowels_hz)
    steps = rng.integers(1, kinds, size=count)
    vowels = np.cumsum(steps) % kinds
    beat = int(rng.integers(2))
    return tuple(Syllable(str(o), int(v), i % 2 == beat) for i, (o, v) in enumerate(zip(onsets, vowels, strict=True)))


def speak(
    language: Language, speaker: Speaker, words: tuple[Syllable, ...], manner: Manner, rng: np.random.Generator
) -> Array:
    """Samples at 16 kHz of one rendering, 1.0 to 1.8 s, within ±1 (a loud one is scaled down to 0.95)."""
    timing = _timing(language, speaker, words, manner, rng)
    times_s = np.arange(2 * round(timing.total_s / _FRAME_S / 2), dtype=np.float64) * _FRAME_S
    pitch_hz = _pitch(language, speaker, words, manner, timing, times_s, rng)
    voiced, hissed = _loudness(words, timing, times_s, 0.03 * float(np.exp(manner.log_attack)), rng)
    tract_hz = _formants(language, words, timing, times_s) * speaker.formants * np.exp(manner.log_formants)
    source = glottis(pitch_hz, language.tilt_db + speaker.tilt_db + manner.tilt_db, _jitter(speaker, manner), rng)
    breath = 10 ** ((speaker.breath_db + manner.breath_db) / 20)
    noise = rng.standard_normal(source.size)
    voice = resonate(per_sample(voiced) * (source + breath * noise), tract_hz[::2], _WIDTHS_HZ)
    hiss = scaled(band(rng.standard_normal(source.size), language.hiss_hz * speaker.formants), 0.35)
    return _finished(scaled(voice, 1.0) + per_sample(hissed) * hiss, manner.level_db, rng)


def _jitter(speaker: Speaker, manner: Manner) -> float:
    return speaker.jitter * float(np.exp(manner.log_jitter))


def _timing(
    language: Language, speaker: Speaker, words: tuple[Syllable, ...], manner: Manner, rng: np.random.Generator
) -> _Timing:
    """Syllable lengths: stress, tempo, 8 % jitter, the last syllable half as long again; then where each begins."""
    stress = np.array([language.stress if s.stressed else 1.0 for s in words])
    lengths_s = language.syllable_s * stress * rng.normal(1, 0.08, len(words)).clip(0.75, 1.25)
    lengths_s[-1] *= 1.5
    lengths_s *= np.exp(manner.log_length) / speaker.tempo
    lengths_s *= np.clip(lengths_s.sum(), _SHORTEST_S, _LONGEST_S) / lengths_s.sum()
    before_s, after_s = rng.uniform(*_EDGE_S, 2)
    end_s = before_s + np.cumsum(lengths_s)
    onset_s = np.minimum(0.38 * lengths_s, 0.09)
    return _Timing(end_s - lengths_s, end_s - lengths_s + onset_s, end_s, float(end_s[-1] + after_s))


def _pitch(
    language: Language,
    speaker: Speaker,
    words: tuple[Syllable, ...],
    manner: Manner,
    timing: _Timing,
    times_s: Array,
    rng: np.random.Generator,
) -> Array:
    """Hz per frame: declination, an accent on each stressed vowel, slow wander; all but the level scale with range."""
    through = (times_s - timing.start_s[0]) / (timing.end_s[-1] - timing.start_s[0])
    shape_st = 2.0 - 4.0 * through.clip(0, 1)
    for syllable, start_s, end_s in zip(words, timing.vowel_s, timing.end_s, strict=True):
        peak_s = start_s + language.accent_at * (end_s - start_s)
        height_st = rng.uniform(2.0, 4.5) if syllable.stressed else rng.uniform(-0.8, 0.8)
        shape_st = shape_st + height_st * np.exp(-0.5 * ((times_s - peak_s) / 0.06) ** 2)
    shape_st = shape_st + _smooth(rng.standard_normal(times_s.size), 15)
    pitch_range = speaker.pitch_range * np.exp(manner.log_range)
    hz: Array = speaker.pitch_hz * 2 ** ((manner.pitch_st + pitch_range * shape_st) / 12)
    return hz.clip(60, 480)


def _loudness(
    words: tuple[Syllable, ...], timing: _Timing, times_s: Array, attack_s: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Amplitude per frame of voice and of hiss: each vowel swells and fades, each onset has its own noise."""
    voiced, hissed = np.zeros(times_s.size), np.zeros(times_s.size)
    for syllable, start_s, vowel_s, end_s in zip(words, timing.start_s, timing.vowel_s, timing.end_s, strict=True):
        peak = (1.0 if syllable.stressed else 0.7) * rng.uniform(0.85, 1.15)
        swell = (times_s - vowel_s) / attack_s
        fade = (end_s - times_s) / (0.35 * (end_s - vowel_s))
        voiced = np.maximum(voiced, peak * np.minimum(swell, fade).clip(0, 1))
        onset = (times_s >= start_s) & (times_s < vowel_s)
        if syllable.onset == "murmur":
            voiced[onset] = np.maximum(voiced[onset], 0.35)
        else:  # a plosive is a closure and then a short burst
            burst = onset & (times_s >= vowel_s - 0.025) if syllable.onset == "plosive" else onset
            hissed[burst] = 1.3 if syllable.onset == "plosive" else 1.0
    return _smooth(voiced, 5), _smooth(hissed, 3)


def _formants(language: Language, words: tuple[Syllable, ...], timing: _Timing, times_s: Array) -> Array:
    """(frames, 5) centres in Hz: each vowel's held over its middle, gliding between; murmurs pull them down."""
    at_s: list[float] = []
    targets: list[tuple[float, ...]] = []
    for syllable, start_s, vowel_s, end_s in zip(words, timing.start_s, timing.vowel_s, timing.end_s, strict=True):
        if syllable.onset == "murmur":
            at_s.append((start_s + vowel_s) / 2)
            targets.append(_MURMUR_HZ)
        at_s += [vowel_s + 0.3 * (end_s - vowel_s), vowel_s + 0.75 * (end_s - vowel_s)]
        targets += [language.vowels_hz[syllable.vowel]] * 2
    moving = [np.interp(times_s, at_s, column) for column in np.array(targets).T]
    fixed = [np.full(times_s.size, hz) for hz in _UPPER_FORMANTS_HZ]
    return np.stack([*moving, *fixed], axis=1)


def _finished(samples: Array, level_db: float, rng: np.random.Generator) -> Array:
    """Speech at −24 dB plus the manner's level, over a room whose noise lies 48 to 56 dB below the speech."""
    room = 10 ** (rng.uniform(-56, -48) / 20) * rng.standard_normal(samples.size)
    loud = (scaled(samples, 1.0) + room) * 10 ** ((level_db - 24) / 20)
    return loud * min(1.0, 0.95 / float(np.max(np.abs(loud))))


def _smooth(values: Array, width: int) -> Array:
    """Moving Hann average over `width` frames; the length stays."""
    kernel = np.hanning(width + 2)[1:-1]
    return np.convolve(values, kernel / kernel.sum(), mode="same")
