"""Who speaks in the demo, how each emotion sounds there, and what is said: all of it invented."""

from dataclasses import astuple
from functools import cache
from zlib import crc32

import numpy as np

from trainers.corpora.vocal_tract import Array
from trainers.corpora.voices import Language, Manner, Speaker, Syllable, sentence, speak

SEED = 20_250_601

LANGUAGES = {
    "demo_home": Language(
        vowels_hz=((730, 1150, 2450), (530, 1800, 2500), (300, 2250, 2950), (520, 900, 2400), (320, 850, 2250)),
        pitch_hz=118,
        syllable_s=0.18,
        stress=1.45,
        syllables=(5, 6),
        onsets=(0.45, 0.35, 0.2),
        hiss_hz=4800,
        accent_at=0.4,
        tilt_db=0.0,
    ),
    "demo_arda": Language(
        vowels_hz=((690, 1300, 2500), (320, 2100, 2800), (350, 900, 2250), (500, 1450, 2450)),
        pitch_hz=112,
        syllable_s=0.17,
        stress=1.0,
        syllables=(6, 8),
        onsets=(0.55, 0.2, 0.25),
        hiss_hz=4500,
        accent_at=0.7,
        tilt_db=-0.3,
    ),
    "demo_bela": Language(
        vowels_hz=((700, 1250, 2450), (480, 1500, 2350), (300, 1850, 2400), (520, 1800, 2600), (400, 800, 2350)),
        pitch_hz=124,
        syllable_s=0.21,
        stress=1.7,
        syllables=(4, 5),
        onsets=(0.35, 0.45, 0.2),
        hiss_hz=5200,
        accent_at=0.25,
        tilt_db=0.3,
    ),
    "demo_cyra": Language(
        vowels_hz=((640, 1200, 2550), (450, 1700, 2550), (360, 2000, 2650), (450, 950, 2450)),
        pitch_hz=130,
        syllable_s=0.19,
        stress=1.2,
        syllables=(5, 7),
        onsets=(0.4, 0.25, 0.35),
        hiss_hz=4600,
        accent_at=0.55,
        tilt_db=0.1,
    ),
}

MANNERS = {
    "angry": Manner(
        pitch_st=2.5,
        log_range=0.2,
        level_db=7,
        log_length=-0.13,
        tilt_db=3.2,
        breath_db=-4,
        log_jitter=0.8,
        log_formants=-0.02,
        log_attack=-0.9,
    ),
    "happy": Manner(
        pitch_st=5.0,
        log_range=0.6,
        level_db=4,
        log_length=-0.08,
        tilt_db=1.2,
        breath_db=2,
        log_jitter=-0.3,
        log_formants=0.04,
        log_attack=-0.2,
    ),
    "neutral": Manner(),
    "sad": Manner(
        pitch_st=-2.5,
        log_range=-0.7,
        level_db=-6,
        log_length=0.16,
        tilt_db=-3.0,
        breath_db=8,
        log_jitter=0.4,
        log_formants=-0.02,
        log_attack=0.6,
    ),
}
SCATTER = Manner(
    pitch_st=1.0,
    log_range=0.15,
    level_db=2,
    log_length=0.05,
    tilt_db=0.6,
    breath_db=1.5,
    log_jitter=0.2,
    log_formants=0.01,
    log_attack=0.15,
)
"""Standard deviation of each cue from one rendering to the next, whatever the emotion."""


def synthesise(corpus: str, speaker: str, text: str, emotion: str, take: int) -> Array:
    """Samples at 16 kHz of one file, from a random stream of its own, so that no file depends on another."""
    rng = _stream(f"{corpus}/{speaker}_{text}_{emotion}_{take}")
    manner = _rendering(MANNERS[emotion], rng)
    return speak(LANGUAGES[corpus], _speaker(corpus, speaker), _sentence(corpus, text), manner, rng)


def _rendering(manner: Manner, rng: np.random.Generator) -> Manner:
    """The manner at 70 to 130 % of its strength, each cue with its own scatter: some renderings are ambiguous."""
    mean, scatter = np.array(astuple(manner)), np.array(astuple(SCATTER))
    return Manner(*(rng.uniform(0.7, 1.3) * mean + scatter * rng.standard_normal(mean.size)).tolist())


@cache
def _speaker(corpus: str, name: str) -> Speaker:
    """A voice whose habits overlap what the emotions do: ± 2.2 semitones, ± 1 dB per octave, ± 3 dB of breath."""
    woman = name.startswith("F")
    pitch, pitch_range, formants, tilt, breath, tempo, jitter = _stream(f"{corpus}/{name}").standard_normal(7)
    return Speaker(
        pitch_hz=LANGUAGES[corpus].pitch_hz * (1.75 if woman else 1.0) * 2 ** (2.2 * float(pitch.clip(-1.5, 1.5)) / 12),
        pitch_range=float(np.exp(0.15 * pitch_range)),
        formants=(1.15 if woman else 1.0) * float(np.exp(0.03 * formants)),
        tilt_db=1.0 * tilt + (-0.7 if woman else 0.0),
        breath_db=-18 + 3 * breath + (2 if woman else 0),
        tempo=float(np.exp(0.06 * tempo)),
        jitter=0.007 * float(np.exp(0.25 * jitter)),
    )


@cache
def _sentence(corpus: str, text: str) -> tuple[Syllable, ...]:
    return sentence(LANGUAGES[corpus], _stream(f"{corpus}/{text}"))


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, crc32(name.encode())])
