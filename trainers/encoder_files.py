"""Pretrained encoders as files: where they lie, what they are, and their weights, read strictly."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from trainers.errors import UserError, require

WAVEFORM_KINDS = ("hubert", "wav2vec2", "wavlm")
"""The values of `model_type` in config.json of encoders that hear waveforms."""

KINDS = (*WAVEFORM_KINDS, "whisper")
"""All encoders there are."""

PLAIN_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")

DEFAULT_ENCODER = "openai/whisper-small.en"
"""Gong et al. 2025's encoder."""


def locate(encoder: str, download: Callable[..., str] | None = None) -> Path:
    """The folder of an encoder given as a folder or as a Hugging Face name (`openai/whisper-small.en`).

    `download`: the hub's `snapshot_download`, or what stands in for it.
    """
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return _checked(folder.resolve())
    if encoder.count("/") > 1 or encoder.startswith((".", "/", "~")):
        raise UserError(f"encoder folder {encoder!r} does not exist")
    return _checked(_from_hub(encoder, download))


def _from_hub(name: str, download: Callable[..., str] | None) -> Path:
    from huggingface_hub import snapshot_download

    fetch = download or snapshot_download
    try:
        folder = Path(fetch(name, allow_patterns=[*PLAIN_FILES]))
        if not _weight_files(folder):  # older checkpoints have torch's own format only
            folder = Path(fetch(name, allow_patterns=[*PLAIN_FILES, "pytorch_model*.bin"]))
        return folder
    except Exception as error:  # the hub's client raises many kinds: offline, unknown name, gated, no permission
        reason = _first_line(error)
        raise UserError(
            f"encoder {name!r} is no folder here and the Hugging Face hub did not give it: {reason}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UserError(f"encoder folder {str(folder)!r} has no config.json")
    if not _weight_files(folder):
        raise UserError(f"encoder folder {str(folder)!r} has no weights (*.safetensors or pytorch_model*.bin)")
    return folder


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files, or torch's own where there are none."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def fingerprint(folder: Path) -> str:
    """SHA-256 over all that makes an encoder's numbers, wherever its folder lies: configuration, weight files, and
    for encoders of waveforms whether they hear them normalised."""
    values = configuration(folder)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for file in _weight_files(folder):
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    if values["model_type"] in WAVEFORM_KINDS:
        digest.update(f"do_normalize {normalises(folder)}".encode())
    return digest.hexdigest()


def configuration(folder: Path, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """config.json; UserError where it cannot be read or names another kind of model than `kinds`."""
    values = _object(folder / "config.json")
    kind = values.get("model_type")
    if kind not in kinds:
        raise UserError(f"encoder {str(folder)!r} is of type {kind!r}; there are: {', '.join(kinds)}")
    return values


def normalises(folder: Path) -> bool:
    """`do_normalize` of preprocessor_config.json: whether each waveform is brought to mean 0 and variance 1.

    True where the file or the entry is absent, as in transformers' own feature extractor.
    """
    file = folder / "preprocessor_config.json"
    value = _object(file).get("do_normalize", True) if file.is_file() else True
    require(isinstance(value, bool), f"do_normalize in {str(file)!r}", value, "true or false")
    return bool(value)


def _object(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds {values!r}; it must hold an object")
    return values


def fill(module: nn.Module, folder: Path, called: Callable[[str], str | None]) -> None:
    """Give a module each of its weights from the folder's files, in fp32; UserError names what these lack.

    `called`: a file's name of a tensor to the module's, None for what is no part of it (a decoder, another head).
    transformers' own loader leaves weights that it does not find random, with no more than a warning.
    """
    own = module.state_dict()
    weights: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        read = _tensors(file, lambda name: called(name) in own)
        weights |= {called(name) or name: tensor for name, tensor in read.items()}
    lacking = sorted(set(own) - set(weights))
    if lacking:
        raise UserError(f"encoder {str(folder)!r} lacks {len(lacking)} of its weights, {lacking[0]!r} first")
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"encoder {str(folder)!r} does not fit its config.json: {str(error).splitlines()[-1]}"
        ) from error


def _tensors(file: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of a file. Torch's format can hold programs; only tensors are let in."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                return {name: tensors.get_tensor(name).float() for name in tensors.keys() if wanted(name)}  # noqa: SIM118  (no mapping)
        every = torch.load(file, map_location="cpu", weights_only=True)
        return {name: tensor.float() for name, tensor in every.items() if wanted(name)}
    except Exception as error:  # safetensors and unpicklers raise many kinds, some without a public name
        raise UserError(f"weights {str(file)!r} cannot be read: {_first_line(error)}") from error
