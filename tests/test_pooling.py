"""Pooling over time against closed forms and a loop."""

import math

import pytest
import torch
from transformers import HubertConfig, HubertModel

from trainers.audio.log_mel import log_mel
from trainers.encoders import WaveformEncoder
from trainers.errors import UserError
from trainers.pooling import AttentionPooling, MeanPooling, PooledEncoder, pooling, sounding

HIDDEN = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [False, True] + [False] * 5])


def attentive() -> AttentionPooling:
    pool = pooling("attention", 5)
    assert isinstance(pool, AttentionPooling)
    with torch.no_grad():
        pool.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0]))
    return pool


def test_attention_that_has_learned_nothing_is_the_mean() -> None:
    assert torch.allclose(AttentionPooling(5)(HIDDEN), HIDDEN.mean(1), atol=1e-6)
    assert torch.allclose(AttentionPooling(5)(HIDDEN, MASK), MeanPooling()(HIDDEN, MASK), atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_the_softmax_weighted_sum_of_a_loop(masked: bool) -> None:
    pool = attentive()
    found = pool(HIDDEN, MASK if masked else None)
    for clip, states in enumerate(HIDDEN):
        total, weighted = 0.0, torch.zeros(5)
        for t, state in enumerate(states):
            if not masked or MASK[clip, t]:
                score = sum(state[unit].item() * pool.weight[unit].item() for unit in range(5))
                total, weighted = total + math.exp(score), weighted + math.exp(score) * state
        assert torch.allclose(found[clip], weighted / total, atol=1e-5)


def test_the_masked_mean_is_that_of_the_positions_that_count() -> None:
    found = MeanPooling()(HIDDEN, MASK)
    assert torch.allclose(found, torch.stack([HIDDEN[0].mean(0), HIDDEN[1, :4].mean(0), HIDDEN[2, 1]]), atol=1e-6)
    assert torch.equal(MeanPooling()(HIDDEN), HIDDEN.mean(1))


def test_what_masked_positions_hold_does_not_matter() -> None:
    noisy = torch.where(MASK.unsqueeze(2), HIDDEN, 100.0)
    for pool in (attentive(), MeanPooling()):
        assert torch.allclose(pool(noisy, MASK), pool(HIDDEN, MASK), atol=1e-6)


def test_attention_weights_sum_to_one_and_one_constant_state_is_itself() -> None:
    assert torch.allclose(attentive().weights(HIDDEN, MASK).sum(1), torch.ones(3))
    constant = HIDDEN[:, :1].expand(-1, 7, -1)
    assert torch.allclose(attentive()(constant), HIDDEN[:, 0], atol=1e-6)


def test_the_order_of_time_does_not_matter() -> None:
    assert torch.allclose(attentive()(HIDDEN.flip(1)), attentive()(HIDDEN), atol=1e-6)


def test_attention_learns_from_its_start_and_draws_no_random_number() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(5)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    pool(HIDDEN)[:, 0].sum().backward()
    covariances = torch.stack([torch.cov(states.T, correction=0)[0] for states in HIDDEN]).sum(0)
    assert torch.allclose(pool.weight.grad, covariances, atol=1e-5)


def test_an_unknown_pooling_is_told_the_choices() -> None:
    with pytest.raises(UserError, match="unknown pooling 'max'; there are: attention, mean"):
        pooling("max", 5)


def test_an_encoder_pooled_by_the_mean_gives_its_own_embedding() -> None:
    config = HubertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4,),
        conv_kernel=(10,),
        conv_stride=(5,),
        num_feat_extract_layers=1,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.0,
    )
    encoder = WaveformEncoder(HubertModel(config)).eval()
    waveform = torch.randn(2, 100)
    assert torch.equal(PooledEncoder(encoder, pooling("mean", 8))(waveform), encoder(waveform))
    attended = PooledEncoder(encoder, pooling("attention", encoder.dimensions))
    assert torch.allclose(attended(waveform), encoder(waveform), atol=1e-6)
    assert (attended.hears, attended.dimensions) == ("waveform", 8)


@pytest.mark.parametrize("sounds", [1, 37, 60, 100])
def test_sounding_positions_end_where_a_clips_zeros_begin(sounds: int) -> None:
    """The oracle is the number of samples that are not zero; a mel frame of 25 ms reaches 12.5 ms beyond its centre."""
    waveform = torch.zeros(1, 16_000)
    waveform[:, : sounds * 160] = 0.1 * torch.randn(1, sounds * 160, generator=torch.Generator().manual_seed(0))
    ends = sounding(waveform, 50).sum().item()
    assert ends == -(-sounds // 2)
    from_mel = sounding(log_mel(waveform, n_samples=16_000), 50).sum().item()
    assert 0 <= from_mel - ends <= 1 + (ends < 50)


def test_sounding_pooling_is_the_mean_over_what_sounds_and_never_over_nothing() -> None:
    hidden = torch.arange(10.0).view(1, 10, 1)
    silent = torch.zeros(1, 1600)
    assert sounding(silent, 10).tolist() == [[True] + [False] * 9]
    half = silent.clone()
    half[:, :800] = 1
    assert pooling("sounding", 1)(hidden, sounding(half, 10)).item() == 2.0
