"""Pretrained speech encoders as methods use them, and the classification head."""

import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.audio.log_mel import HOP
from trainers.corpora.utterance import EMOTIONS
from trainers.encoder_files import KINDS, configuration, fill, fingerprint, locate
from trainers.errors import UserError, require
from trainers.freezing import as_if_frozen, train_last
from trainers.waveform_encoders import WaveformEncoder, load_waveform_backbone, shortest_input

__all__ = [
    "KINDS",
    "Encoder",
    "Head",
    "SpeechEncoder",
    "WaveformEncoder",
    "encoder_of",
    "fingerprint",
    "frozen_copy",
    "load_backbone",
    "load_whisper",
    "locate",
    "move_towards",
    "trainable",
]

torch.backends.cudnn.allow_tf32 = False
"""fp32 is fp32 on a GPU, too: torch would round convolutions, and only these, to TF32."""

CONV_STRIDE = 2
"""Whisper's second convolution halves the frame rate: two mel frames are one position."""


class SpeechEncoder(nn.Module):
    """Whisper's encoder heard for a fixed time, averaged over time (Gong et al. 2025 §3.2).

    The table of positions is cut to its first `frames / 2` rows; convolutions and positions are frozen.
    `trainable_layers`: how many of the last transformer layers train, with the final LayerNorm; None is all, as in
    the paper. With `bf16` the encoder computes in bfloat16; its weights stay in fp32.
    """

    hears: ClassVar[str] = "mel"

    def __init__(self, whisper: Any, frames: int, *, bf16: bool = False, trainable_layers: int | None = None) -> None:
        super().__init__()
        self.bf16 = bf16
        self.whisper = _cropped(copy.deepcopy(whisper), frames // CONV_STRIDE)
        self.dimensions = int(whisper.config.d_model)
        train_last(self.whisper, self.whisper.layers, trainable_layers, self.whisper.layer_norm)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames) log-mel to (batch, d_model) in fp32, the mean over time of `hidden`."""
        return self.hidden(mel).mean(dim=1)

    def hidden(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames) to the last hidden states (batch, frames / 2, d_model) in fp32."""
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=self.bf16):
            states: Tensor = self.whisper(mel).last_hidden_state
        return states.float()

    def layers(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames) to all hidden states (batch, layers + 1, frames / 2, d_model) in fp32, without gradient.

        The first is the transformer's input, the last what `hidden` gives.
        """
        with as_if_frozen(self), torch.autocast(mel.device.type, torch.bfloat16, enabled=self.bf16):
            found = self.whisper(mel, output_hidden_states=True)
        return torch.stack([*found.hidden_states[:-1], found.last_hidden_state], dim=1).float()


def _cropped(whisper: Any, positions: int) -> Any:
    table = whisper.embed_positions
    if positions > table.num_embeddings:
        raise UserError(f"length_s needs {positions} positions; this encoder has {table.num_embeddings}")
    table.weight = nn.Parameter(table.weight[:positions].clone(), requires_grad=False)
    table.num_embeddings = positions
    whisper.config.max_source_positions = positions
    for frozen in (whisper.conv1, whisper.conv2, table):
        frozen.requires_grad_(False)
    return whisper


Encoder = SpeechEncoder | WaveformEncoder
"""What methods may ask of any encoder: `hears`, `dimensions`, a call for embeddings, `hidden` and `layers`."""


class Head(nn.Sequential):
    """Two fully connected layers with dropout: (batch, d_model) to (batch, 4) logits.

    The paper gives neither width nor activation; those of the authors' earlier code are used (METHODS FLAG 2).
    """

    def __init__(self, dimensions: int, dropout: float) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(dimensions, dimensions),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(dimensions, len(EMOTIONS)),
        )


def load_whisper(folder: Path) -> nn.Module:
    """Whisper's encoder with the file's weights in fp32; UserError names what the file lacks.

    The weights are read by name and every one must be there: `WhisperEncoder.from_pretrained` looks for other names
    and silently leaves an encoder random.
    """
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(**{**configuration(folder, ("whisper",)), "dtype": "float32"})
    encoder: nn.Module = WhisperEncoder(config)
    fill(encoder, folder, _below_encoder)
    return encoder.float()


def _below_encoder(name: str) -> str | None:
    """A tensor's name below `encoder.`; None for a decoder's."""
    inner = name.removeprefix("model.")
    return inner.removeprefix("encoder.") if inner.startswith("encoder.") else None


def load_backbone(folder: Path) -> nn.Module:
    """The encoder in a folder, whichever of `KINDS` its config.json names, with the file's weights in fp32.

    UserError names the kinds there are, or what the file lacks.
    """
    is_whisper = configuration(folder)["model_type"] == "whisper"
    return load_whisper(folder) if is_whisper else load_waveform_backbone(folder)


def encoder_of(backbone: Any, frames: int, *, bf16: bool = False, trainable_layers: int | None = None) -> Encoder:
    """A copy of a loaded backbone as methods use it, for windows of `frames` times 10 ms.

    Its `hears` says whether it takes log-mels or waveforms. UserError where the window does not suit it.
    """
    if backbone.config.model_type == "whisper":
        return SpeechEncoder(backbone, frames, bf16=bf16, trainable_layers=trainable_layers)
    needed = shortest_input(backbone)
    rule = f"at least {needed / SAMPLE_RATE_HZ:g}, what this encoder needs"
    require(frames * HOP >= needed, "length_s", frames * HOP / SAMPLE_RATE_HZ, rule)
    return WaveformEncoder(backbone, bf16=bf16, trainable_layers=trainable_layers)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@torch.no_grad()
def move_towards(averages: nn.Module, online: nn.Module, tau: float) -> None:
    """Exponential moving average ξ ← τ ξ + (1 − τ) θ of all parameters that train, in fp32; buffers stay."""
    moving: list[Tensor] = []
    source: list[Tensor] = []
    for average, parameter in zip(averages.parameters(), online.parameters(), strict=True):
        if parameter.requires_grad:
            moving.append(average)
            source.append(parameter)
    if moving:  # nothing moves where the encoder is frozen whole
        torch._foreach_lerp_(moving, source, 1 - tau)


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches."""
    return copy.deepcopy(module).requires_grad_(False)
