"""The formula of an encoder's arithmetic against PyTorch's own counter, operation by operation."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tests.benchmarks.limit import backward_flops, forward_flops

CONFIGS = [
    WhisperConfig(d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=96),
    WhisperConfig(d_model=64, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=128),
]


def counted(config: WhisperConfig, frames: int) -> tuple[int, int]:
    """Forward and backward of one clip, as the counter has them; positions that a clip lacks are left out."""
    config._attn_implementation = "eager"
    config.max_source_positions = frames // 2
    encoder = WhisperEncoder(config)
    for frozen in (encoder.embed_positions, encoder.conv1, encoder.conv2):
        frozen.requires_grad_(False)
    with FlopCounterMode(display=False) as forward:
        heard = encoder(torch.randn(1, 80, frames)).last_hidden_state.sum()
    with FlopCounterMode(display=False) as backward:
        heard.backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("frames", [50, 300])
def test_the_formula_counts_what_pytorch_counts(config: WhisperConfig, frames: int) -> None:
    assert (forward_flops(config, frames), backward_flops(config, frames)) == counted(config, frames)
