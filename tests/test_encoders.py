"""The encoder against its file and against the untouched reference implementation."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperModel

from trainers.audio.log_mel import log_mel
from trainers.corpora.recordings import decode
from trainers.encoders import (
    SpeechEncoder,
    encoder_of,
    fingerprint,
    frozen_copy,
    load_backbone,
    load_whisper,
    locate,
    move_towards,
)
from trainers.errors import UserError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Whisper in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        vocab_size=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    WhisperModel(config).save_pretrained(folder)
    return folder


def test_a_full_whisper_model_gives_its_encoder_and_leaves_the_decoder(tiny: Path) -> None:
    reference = WhisperModel.from_pretrained(tiny).encoder.state_dict()
    loaded = load_whisper(locate(str(tiny))).state_dict()
    assert set(loaded) == set(reference)
    assert all(torch.equal(loaded[name], reference[name]) for name in reference)


def test_real_weights_are_those_of_the_file(encoder_dir: Path) -> None:
    file = load_file(encoder_dir / "model.safetensors")
    loaded = load_whisper(encoder_dir).state_dict()
    assert len(loaded) == 67
    for name, tensor in loaded.items():
        assert torch.equal(tensor, file[f"model.encoder.{name}"].float()), name


def test_cropped_positions_are_the_first_rows_of_the_original(tiny: Path) -> None:
    whole = load_whisper(tiny)
    for frames in (300, 400):
        cropped = SpeechEncoder(whole, frames).whisper.embed_positions.weight
        assert torch.equal(cropped, whole.embed_positions.weight[: frames // 2])
    assert whole.embed_positions.weight.shape[0] == 1500


def test_embedding_is_the_mean_over_time_of_the_reference_encoder(tiny: Path) -> None:
    mel = torch.randn(2, 80, 3000)
    reference = WhisperModel.from_pretrained(tiny).encoder.eval()(mel).last_hidden_state.mean(1)
    assert torch.allclose(SpeechEncoder(load_whisper(tiny), 3000).eval()(mel), reference, atol=1e-5)


def test_convolutions_and_positions_are_frozen_and_all_else_trains(tiny: Path) -> None:
    encoder = SpeechEncoder(load_whisper(tiny), 300)
    frozen = {name.split(".")[1] for name, p in encoder.named_parameters() if not p.requires_grad}
    trained = {name.split(".")[1] for name, p in encoder.named_parameters() if p.requires_grad}
    assert frozen == {"conv1", "conv2", "embed_positions"}
    assert trained == {"layers", "layer_norm"}


def test_longer_speech_than_the_encoder_has_positions_for_is_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match="needs 1600 positions; this encoder has 1500"):
        SpeechEncoder(load_whisper(tiny), 3200)


def test_real_speech_gives_the_hidden_states_of_the_reference_encoder(encoder_dir: Path, data_root: Path) -> None:
    clip = torch.from_numpy(decode(sorted((data_root / "emodb" / "wav").glob("*.wav"))[0]))
    heard = torch.zeros(1, 30 * 16_000)
    heard[0, : len(clip)] = clip
    mel = log_mel(heard, n_samples=30 * 16_000)
    reference, seen = WhisperModel.from_pretrained(encoder_dir, dtype=torch.float32).encoder.eval(), []
    for layer in reference.layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder = SpeechEncoder(load_backbone(encoder_dir), 3000)
    with torch.no_grad():
        seen.append(reference(mel).last_hidden_state)
        assert torch.allclose(encoder.hidden(mel), seen[-1], atol=1e-5)
    assert torch.allclose(encoder.layers(mel), torch.stack(seen, dim=1), atol=1e-4)
    assert encoder.layers(mel).shape == (1, 5, 1500, 384)


def test_layers_have_no_gradient_and_leave_the_encoder_training(tiny: Path) -> None:
    encoder = encoder_of(load_backbone(tiny), 300).train()
    mel = torch.randn(2, 80, 300)
    assert not encoder.layers(mel).requires_grad
    assert encoder.training
    assert torch.equal(encoder.layers(mel)[:, -1], encoder.hidden(mel))
    assert torch.equal(encoder.hidden(mel).mean(1), encoder(mel))
    assert encoder.hears == "mel"


@pytest.mark.parametrize(
    ("count", "trained"),
    [(None, ["layer_norm", "layers.0", "layers.1"]), (0, []), (1, ["layer_norm", "layers.1"])],
)
def test_trainable_layers_are_the_last_ones_and_the_final_norm(
    tiny: Path, count: int | None, trained: list[str]
) -> None:
    encoder = encoder_of(load_whisper(tiny), 300, trainable_layers=count).train()
    embedded = encoder(torch.randn(2, 80, 300))
    assert embedded.requires_grad == bool(trained)
    if trained:
        embedded.square().sum().backward()
    named = dict(encoder.whisper.named_parameters())
    expected = {name for name in named if name.startswith(tuple(f"{part}." for part in trained))}
    assert {name for name, parameter in named.items() if parameter.requires_grad} == expected
    assert {name for name, parameter in named.items() if parameter.grad is not None} == expected


def test_a_frozen_encoder_is_followed_without_moving(tiny: Path) -> None:
    online = encoder_of(load_whisper(tiny), 300, trainable_layers=0)
    average = frozen_copy(online)
    move_towards(average, online, 0.5)
    assert all(torch.equal(*pair) for pair in zip(average.parameters(), online.parameters(), strict=True))


def test_trainable_layers_beyond_the_encoder_are_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match="trainable_layers is 3; it must be 0 to 2, the encoder's layers, or none"):
        encoder_of(load_whisper(tiny), 300, trainable_layers=3)


def test_fingerprint_of_whisper_is_the_hash_of_configuration_and_weights(encoder_dir: Path) -> None:
    configuration = json.dumps(json.loads((encoder_dir / "config.json").read_text()), sort_keys=True)
    weights = hashlib.sha256((encoder_dir / "model.safetensors").read_bytes()).digest()
    assert fingerprint(encoder_dir) == hashlib.sha256(configuration.encode() + weights).hexdigest()


def test_moving_average_meets_its_closed_form_and_leaves_frozen_parts(tiny: Path) -> None:
    online = SpeechEncoder(load_whisper(tiny), 300)
    average = frozen_copy(online)
    start = average.whisper.layers[0].fc1.weight.clone()
    with torch.no_grad():
        online.whisper.layers[0].fc1.weight += 1.0
        online.whisper.conv1.weight += 1.0
    for _ in range(10):
        move_towards(average, online, 0.9)
    assert torch.allclose(average.whisper.layers[0].fc1.weight, start + (1 - 0.9**10), atol=1e-5)
    assert not torch.equal(average.whisper.conv1.weight, online.whisper.conv1.weight)


def test_a_small_update_survives_in_the_fp32_average_and_would_be_lost_in_bf16() -> None:
    average, online = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    with torch.no_grad():
        average.weight.fill_(1.0)
        online.weight.fill_(1.5)
    move_towards(average, online, 0.999)
    assert torch.allclose(average.weight, torch.tensor(1.0005), atol=1e-7)
    in_bf16 = torch.ones(4, dtype=torch.bfloat16).lerp_(torch.full((4,), 1.5, dtype=torch.bfloat16), 0.001)
    assert torch.equal(in_bf16, torch.ones(4, dtype=torch.bfloat16))


def test_fingerprint_follows_the_weights_and_not_the_place(tiny: Path, tmp_path: Path) -> None:
    weights = load_file(tiny / "model.safetensors")
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text((tiny / "config.json").read_text())
    save_file(weights, tmp_path / "same" / "model.safetensors")
    weights["encoder.conv1.bias"] = weights["encoder.conv1.bias"] + 1e-3
    save_file(weights, tmp_path / "other" / "model.safetensors")
    assert len({fingerprint(tmp_path / "same"), fingerprint(tmp_path / "other")}) == 2
    assert fingerprint(tmp_path / "same") == fingerprint(tmp_path / "same" / ".." / "same")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x08torn"), "cannot be read"),
        (lambda f: save_file({"encoder.x": torch.ones(1)}, f / "model.safetensors"), "lacks 37 of its weights"),
        (
            lambda f: (f / "config.json").write_text(json.dumps({"model_type": "bert"})),
            "there are: hubert, wav2vec2, wavlm, whisper",
        ),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    ],
)
def test_a_folder_without_a_usable_encoder_is_named_in_one_line(tiny: Path, tmp_path: Path, break_it, message) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    break_it(tmp_path)
    with pytest.raises(UserError, match=message) as raised:
        _opened(tmp_path)
    assert "\n" not in str(raised.value)


def _opened(folder: Path) -> None:
    fingerprint(locate(str(folder)))
    load_whisper(folder)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"encoder folder '\./nowhere' does not exist"):
        locate("./nowhere")
