"""A world small enough to train in a second: tones for emotions, two languages, a Whisper of two tiny layers."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from trainers.audio.front_end import FrontEnd
from trainers.building import build
from trainers.corpora.copies import Copy
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.methods.baseline import Baseline
from trainers.methods.byol import Byol
from trainers.methods.configs import BaselineConfig, ByolConfig, MethodConfig
from trainers.spec import CellSpec, Training
from trainers.speech import Speech
from trainers.split import Split

FRONT_END = FrontEnd(length_s=0.5)


@dataclass
class Tones:
    """In place of prepared corpora: 64 clips of noise and a tone whose pitch tells the emotion."""

    utterances: tuple[Utterance, ...] = field(init=False)
    index: dict[str, int] = field(init=False)
    fingerprints: dict[str, str] = field(init=False)
    copies: tuple[Copy, ...] = ()

    def __post_init__(self) -> None:
        made = [
            Utterance(
                f"{language}/s{speaker}_{emotion}.wav",
                language,
                language,
                f"{language}:{speaker}",
                gender,
                emotion,
                0.5,
            )
            for language in ("home", "away")
            for speaker in range(8)
            for gender in (("female", "male")[speaker % 2],)
            for emotion in EMOTIONS
        ]
        self.utterances = tuple(made)
        self.index = {clip.id: number for number, clip in enumerate(made)}
        self.fingerprints = {clip.id: clip.id for clip in made}

    def samples(self, number: int) -> NDArray[np.float32]:
        clip, noise = self.utterances[number], np.random.default_rng(number)
        pitch_hz = 200 * 1.6 ** EMOTIONS.index(clip.emotion) * noise.uniform(0.95, 1.05)
        tone = np.sin(2 * np.pi * pitch_hz * np.arange(8000) / 16_000)
        return (0.1 * tone + 0.01 * noise.normal(size=8000)).astype(np.float32)


def whisper() -> WhisperEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, init_std=0.2)
    return WhisperEncoder(config)


def split(prepared: Tones) -> Split:
    ids = {name: [clip.id for clip in prepared.utterances if clip.language == name] for name in ("home", "away")}
    return Split(
        labelled=tuple(ids["home"][:16]),
        unlabelled={"away": tuple(ids["away"][:16])},
        valid={"hrl": tuple(ids["home"][16:24])},
        test={"away": tuple(ids["away"][16:]), "home": tuple(ids["home"][24:])},
        whole={},
    )


def spec(config: MethodConfig | None = None, **training: object) -> CellSpec:
    """A BYOL cell (or that of another config) of 12 steps in batches of 8."""
    config = config or ByolConfig(projector_hidden=32, projection=8, tau_horizon="paper")
    method = "baseline" if isinstance(config, BaselineConfig) else "byol"
    asked = {"steps": 12, "epoch_steps": 4, "batch_size": 8, "encoder_lr": 1e-3, "warmup_steps": 2, **training}
    return CellSpec(method, config, Training(**asked), FRONT_END, "demo", "speaker", "away", 0, 0, "e", "d")


def method(cell: CellSpec | None = None) -> Baseline | Byol:
    prepared = Tones()
    return build(cell or spec(), split(prepared), Speech(prepared, FRONT_END, torch.device("cpu")), whisper())
