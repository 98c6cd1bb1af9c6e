"""CL: what a batch holds, what its loss is of its own embeddings, what moves, and what the second stage begins with."""

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.small_world import Tones, whisper
from tests.staged_world import method, spec, speech, split, stage
from trainers.audio.draws import stable_seed
from trainers.batches import SpeakerBatches
from trainers.building import build_stage
from trainers.loop import train
from trainers.methods.cl import SpeakerContrast
from trainers.methods.configs import ClConfig
from trainers.pooling import PooledEncoder
from trainers.stages import stage_training

CONFIG = ClConfig(clips_per_speaker=2)


def contrast(config: ClConfig = CONFIG, **training: object) -> SpeakerContrast:
    made = stage(config, **training)
    assert isinstance(made, SpeakerContrast)
    return made


def papers_batch() -> SpeakerContrast:
    """16 speakers of five clips each, in the paper's batches of 64."""
    prepared = Tones()
    speakers = [replace(clip, speaker=f"s{place % 16}") for place, clip in enumerate(prepared.utterances)]
    prepared.utterances = tuple(speakers)
    numbers = torch.arange(64)
    heard = speech(prepared)
    owners = heard.numbered(numbers, lambda clip: clip.speaker)
    encoder = contrast().online
    batches = SpeakerBatches(numbers, owners, torch.zeros(64), 64, 4, 0)
    return SpeakerContrast(ClConfig(), encoder, heard, batches, 0)


# --- what a batch offers


def test_sixteen_speakers_with_four_clips_in_two_views_are_128_embeddings_with_7_positives_and_120_negatives() -> None:
    made = papers_batch()
    facts = made.facts(10)
    assert facts == {
        "embeddings": 128,
        "positives_mean": 7,
        "positives_min": 7,
        "negatives_mean": 120,
        "negatives_min": 120,
        "speakers": 16,
        "clips": 64,
        "passes": 10,
    }
    heard: list[int] = []
    made.online.register_forward_hook(lambda *call: heard.append(len(call[2])))
    made.losses(0)
    assert heard == [128]


def test_the_papers_settings_are_the_defaults() -> None:
    """And ours where it gives none: temperature .07 (FLAG 13), no projection (FLAG 11), uniform speakers (FLAG 14)."""
    plain = ClConfig()
    assert (plain.clips_per_speaker, plain.denominator, plain.adapt_strength) == (4, "negatives", 1.0)
    assert (plain.temperature, plain.adapt_projection, plain.balance, plain.permuted_speakers) == (
        *(0.07, 0, "uniform"),
        False,
    )


# --- the loss


def by_loops(z: Tensor, speakers: list[int], temperature: float, denominator: str) -> float:
    """Eq. 1 as it is printed, pair by pair: neither the positive nor the other positives stand below."""
    units = [row / row.norm() for row in z.double()]
    terms = []
    for i, own in enumerate(speakers):
        negatives = [math.exp(float(units[i] @ units[k]) / temperature) for k in range(len(z)) if speakers[k] != own]
        for j in range(len(z)):
            if j != i and speakers[j] == own:
                top = math.exp(float(units[i] @ units[j]) / temperature)
                below = sum(negatives) + (top if denominator == "negatives+positive" else 0)
                terms.append(-math.log(top / below))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("denominator", ["negatives", "negatives+positive"])
@pytest.mark.parametrize("projection", [0, 5])
def test_the_loss_of_a_step_is_nt_xent_of_the_clean_and_the_augmented_views(denominator: str, projection: int) -> None:
    config = replace(CONFIG, temperature=0.3, denominator=denominator, adapt_projection=projection)
    made = contrast(config)
    numbers, speakers = made.batches.draw(3)
    with torch.no_grad():
        clean = made.speech.mels(numbers)
        augmented = made.augmentation.view(numbers, 3, 0)
        assert not torch.allclose(clean, augmented)
        z = torch.cat([made.online(clean), made.online(augmented)])
        if projection:
            first, _, second = made.projection
            z = torch.relu(z @ first.weight.T + first.bias) @ second.weight.T + second.bias
            assert z.shape[1] == 5
        losses = made.losses(3)
    wanted = by_loops(z, speakers.tolist() * 2, 0.3, denominator)
    assert float(losses["total"]) == pytest.approx(wanted, abs=1e-5)
    assert losses["nt_xent"] is losses["total"]


def test_the_augmentation_of_adaptation_has_its_own_strength_and_none_at_strength_0() -> None:
    made = contrast(replace(CONFIG, adapt_strength=0.0, strength=1.5))
    numbers, _ = made.batches.draw(0)
    assert torch.allclose(made.augmentation.view(numbers, 0, 0), made.speech.mels(numbers), atol=1e-6)


def test_no_emotion_is_looked_at() -> None:
    """All emotions of the speech dealt anew: the same batches, the same loss."""
    prepared = Tones()
    relabelled = Tones()
    relabelled.samples = prepared.samples
    relabelled.utterances = tuple(replace(clip, emotion="sad") for clip in relabelled.utterances)
    losses = []
    for tones in (prepared, relabelled):
        heard = speech(tones)
        made = build_stage(spec(CONFIG), split(cast(Tones, prepared), CONFIG), heard, whisper())
        losses.append(float(made.losses(1)["total"].detach()))
    assert losses[0] == losses[1]


def test_a_speech_that_nobody_labelled_can_be_adapted_to() -> None:
    prepared = Tones()
    plain = prepared.samples
    bare = Tones()
    bare.samples = plain
    bare.utterances = tuple(replace(clip, emotion="") for clip in prepared.utterances)
    made = build_stage(spec(CONFIG), split(prepared, CONFIG), speech(bare), whisper())
    assert torch.isfinite(made.losses(0)["total"])


# --- what moves


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_convolutions_and_positions_stay_and_everything_else_moves(pooling: str) -> None:
    config = replace(CONFIG, pooling=pooling, adapt_projection=8)
    made = contrast(config)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    train(made, stage_training(spec(config)), 0, validate=None)
    moved = {name for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {name for name in before if any(part in name for part in ("conv1", "conv2", "embed_positions"))}
    assert len(frozen) == 5
    assert set(before) - moved == frozen
    if pooling == "attention":
        assert "online.pool.weight" in moved


class Voices(Tones):
    """Each speaker has a pitch of its own instead of each emotion."""

    def samples(self, number: int) -> NDArray[np.float32]:
        clip, noise = self.utterances[number], np.random.default_rng(number)
        pitch_hz = 150 * 1.35 ** int(clip.speaker[-1])
        tone = np.sin(2 * np.pi * pitch_hz * np.arange(8000) / 16_000)
        return (0.1 * tone + 0.01 * noise.normal(size=8000)).astype(np.float32)


def mean_loss(rows: list[dict[str, float]]) -> float:
    return sum(row["loss/total"] for row in rows) / len(rows)


def test_speakers_are_told_apart_the_better_the_longer_it_adapts_but_not_permuted_ones() -> None:
    fallen = {}
    for permuted in (False, True):
        config = replace(CONFIG, denominator="negatives+positive", temperature=0.3, permuted_speakers=permuted)
        prepared = Voices()
        made = build_stage(spec(config, steps=40), split(prepared, config), speech(prepared), whisper())
        rows = train(made, stage_training(spec(config, steps=40)), 0, validate=None).history
        fallen[permuted] = mean_loss(rows[:5]) - mean_loss(rows[-10:])
    assert fallen[False] > 0.3
    assert fallen[True] < fallen[False] / 3


# --- the second stage


@pytest.mark.parametrize("pooling", ["mean", "attention", "sounding"])
def test_the_second_stage_begins_with_the_weights_that_the_first_one_left(pooling: str) -> None:
    config = replace(CONFIG, pooling=pooling, trainable_layers=1)
    first = contrast(config)
    train(first, stage_training(spec(config)), 0, validate=None)
    second = method(config)
    assert isinstance(first.online, PooledEncoder) == (pooling != "mean")
    second.online.load_state_dict(first.product().state_dict())
    mel = second.speech.mels(torch.arange(4))
    with torch.no_grad():
        assert torch.equal(second.online.eval()(mel), first.online.eval()(mel))


def test_the_stage_draws_nothing_of_the_cells_own() -> None:
    """Two cells that share a stage: other views, strength, dropout, few trainable layers."""
    plain = contrast()
    other = contrast(replace(CONFIG, views=3, strength=0.5, dropout=0.4, trainable_layers=1))
    torch.manual_seed(stable_seed(0, "dropout", 0))
    assert torch.equal(plain.losses(2)["total"], other.losses(2)["total"])
    named = dict(other.named_parameters())
    assert all(parameter.requires_grad == named[name].requires_grad for name, parameter in plain.named_parameters())


def test_the_head_is_the_baselines_own_whatever_the_stage_was() -> None:
    """The same initial head for CL, for SupCon and without any stage: what differs is the encoder."""
    heads = [method(config).head for config in (CONFIG, replace(CONFIG, adapt_share=0.0))]
    for one, other in zip(*(cast(nn.Module, head).parameters() for head in heads), strict=True):
        assert torch.equal(one, other)
