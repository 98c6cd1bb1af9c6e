"""Pretrained speech encoders, pooling and the classification head."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

CONV_STRIDE = 2
"""Whisper's second convolution halves the frame rate: two mel frames are one position."""


class SpeechEncoder(nn.Module):
    """Whisper's encoder heard for a fixed time, averaged over time (Gong et al. 2025 §3.2).

    The table of positions is cut to its first `frames / 2` rows; convolutions and positions are frozen. With
    `bf16` the encoder computes in bfloat16; its weights stay in fp32.
    """

    def __init__(self, whisper: Any, frames: int, *, bf16: bool = False) -> None:
        super().__init__()
        self.bf16 = bf16
        self.whisper = _cropped(copy.deepcopy(whisper), frames // CONV_STRIDE)
        self.dimensions = int(whisper.config.d_model)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, 80, frames) log-mel to (batch, d_model) in fp32."""
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=self.bf16):
            hidden: Tensor = self.whisper(mel).last_hidden_state
        return hidden.float().mean(dim=1)


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


def locate(encoder: str) -> Path:
    """The folder of an encoder given as a folder or as a Hugging Face name (`openai/whisper-small.en`)."""
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return _checked(folder.resolve())
    if encoder.count("/") > 1 or encoder.startswith((".", "/", "~")):
        raise UserError(f"encoder folder {encoder!r} does not exist")
    return _checked(_from_hub(encoder))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=["config.json", "*.safetensors", "*.safetensors.index.json"])
        )
    except Exception as error:  # the hub's client raises many kinds: offline, unknown name, gated, no permission
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"encoder {name!r} is no folder here and the Hugging Face hub did not give it: {reason}"
        ) from error


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UserError(f"encoder folder {str(folder)!r} has no config.json")
    if not _weight_files(folder):
        raise UserError(f"encoder folder {str(folder)!r} has no weights (*.safetensors)")
    return folder


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def fingerprint(folder: Path) -> str:
    """SHA-256 over the encoder's configuration and weight files, wherever the folder lies."""
    digest = hashlib.sha256(json.dumps(_configuration(folder), sort_keys=True).encode())
    for file in _weight_files(folder):
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _configuration(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if not isinstance(values, dict) or values.get("model_type") != "whisper":
        kind = values.get("model_type") if isinstance(values, dict) else values
        raise UserError(f"encoder {str(folder)!r} is of type {kind!r}; there are: whisper")
    return values


def load_whisper(folder: Path) -> nn.Module:
    """Whisper's encoder with the file's weights in fp32; UserError names what the file lacks.

    The weights are read by name and every one must be there: `WhisperEncoder.from_pretrained` looks for other names
    and silently leaves an encoder random.
    """
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(**{**_configuration(folder), "dtype": "float32"})
    encoder: nn.Module = WhisperEncoder(config)
    weights = _encoder_weights(folder)
    lacking = sorted(set(encoder.state_dict()) - set(weights))
    if lacking:
        raise UserError(f"encoder {str(folder)!r} lacks {len(lacking)} of its weights, {lacking[0]!r} first")
    try:
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    except RuntimeError as error:
        raise UserError(
            f"encoder {str(folder)!r} does not fit its config.json: {str(error).splitlines()[-1]}"
        ) from error
    return encoder.float()


def _encoder_weights(folder: Path) -> dict[str, Tensor]:
    """The encoder's tensors by their names below `encoder.`; those of a decoder beside it are not read."""
    weights = {}
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (a safetensors file is no mapping)
                    if name.removeprefix("model.").startswith("encoder."):
                        weights[name.removeprefix("model.").removeprefix("encoder.")] = tensors.get_tensor(name).float()
        except Exception as error:  # safetensors raises its own kind, without a public name
            raise UserError(f"weights {str(file)!r} cannot be read: {error}") from error
    return weights


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
    torch._foreach_lerp_(moving, source, 1 - tau)


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches."""
    return copy.deepcopy(module).requires_grad_(False)
