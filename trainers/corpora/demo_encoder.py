"""The demo's encoder: Whisper's shape and Hugging Face's layout, 0.2 million random weights, nothing downloaded."""

import json
import math
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from trainers.audio.front_end import SAMPLE_RATE_HZ

SEED = 20_250_601
WIDTH, LAYERS, HEADS, HIDDEN, MELS, POSITIONS = 64, 2, 4, 256, 80, 1500

CONV_GAIN = 2.0
"""The convolutions stay frozen: at 1 the speech in their output would be lost beside the positions that follow."""

CONFIG = {
    "architectures": ["WhisperForConditionalGeneration"],
    "model_type": "whisper",
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "encoder_ffn_dim": HIDDEN,
    "num_mel_bins": MELS,
    "max_source_positions": POSITIONS,
    "dtype": "float32",
    # transformers insists on a decoder; this one is as small as can be and nobody uses it
    "decoder_layers": 1,
    "decoder_attention_heads": HEADS,
    "decoder_ffn_dim": WIDTH,
    "max_target_positions": 8,
    "vocab_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
}
PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": MELS,
    "sampling_rate": SAMPLE_RATE_HZ,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": 30,
    "n_samples": 30 * SAMPLE_RATE_HZ,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
}


def fill(folder: Path) -> None:
    """Write `config.json`, `preprocessor_config.json` and `model.safetensors` (0.9 MB) into an existing folder."""
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    tensors = {f"model.encoder.{name}": tensor.astype(np.float32) for name, tensor in weights().items()}
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def weights() -> dict[str, NDArray[np.float64]]:
    """The encoder's tensors by Whisper's names: LayerNorms 1 and 0, biases 0, matrices normal with sd 1/√fan-in."""
    tensors = {"embed_positions.weight": positions(WIDTH)}
    for name, shape in _matrices().items():
        gain = CONV_GAIN if name.startswith("conv") else 1.0
        normal = np.random.default_rng([SEED, crc32(name.encode())]).standard_normal(shape)
        tensors[f"{name}.weight"] = normal * gain / math.sqrt(math.prod(shape[1:]))
        if not name.endswith("k_proj"):  # Whisper's keys have no bias
            tensors[f"{name}.bias"] = np.zeros(shape[0])
    per_layer = ("self_attn_layer_norm", "final_layer_norm")
    for norm in ("layer_norm", *(f"layers.{layer}.{name}" for layer in range(LAYERS) for name in per_layer)):
        tensors |= {f"{norm}.weight": np.ones(WIDTH), f"{norm}.bias": np.zeros(WIDTH)}
    return tensors


def _matrices() -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of convolutions and linear layers; the first axis is the output."""
    shapes: dict[str, tuple[int, ...]] = {"conv1": (WIDTH, MELS, 3), "conv2": (WIDTH, WIDTH, 3)}
    for layer in range(LAYERS):
        attention = ("q_proj", "k_proj", "v_proj", "out_proj")
        shapes |= {f"layers.{layer}.self_attn.{name}": (WIDTH, WIDTH) for name in attention}
        shapes |= {f"layers.{layer}.fc1": (HIDDEN, WIDTH), f"layers.{layer}.fc2": (WIDTH, HIDDEN)}
    return shapes


def positions(width: int) -> NDArray[np.float64]:
    """(1500, width), Whisper's fixed table: sines, then cosines, at rates from 1 down to 1/10,000 per position."""
    rates = np.exp(-math.log(10_000) * np.arange(width // 2) / (width // 2 - 1))
    angles = np.arange(POSITIONS)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
