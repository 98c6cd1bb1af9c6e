"""HuBERT, WavLM and wav2vec 2.0 against transformers' own models and feature extractor, on small random checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    HubertConfig,
    HubertForCTC,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from trainers.encoders import WaveformEncoder, encoder_of, fingerprint, frozen_copy, load_backbone, locate, move_towards
from trainers.errors import UserError

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "codevector_dim": 8,
    "vocab_size": 8,
    # what our settings must overrule
    "layerdrop": 0.5,
    "mask_time_prob": 0.5,
    "mask_time_length": 4,
    "mask_feature_prob": 0.5,
    "mask_feature_length": 4,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
"""What sets the large published models apart from the base ones."""

MODELS = {
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
}
NO_DROPOUT = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0)


def written(folder: Path, kind: str, **settings: object) -> Path:
    """A checkpoint as transformers writes it, with every weight random and none at its initial value."""
    torch.manual_seed(0)
    config, model = MODELS[kind]
    _saved(model(config(**{**SMALL, **settings})), folder)
    return folder


def _saved(model: nn.Module, folder: Path) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.save_pretrained(folder)


@pytest.fixture(params=[(kind, size) for kind in MODELS for size in ("base", "large")], ids=lambda p: "-".join(p))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Kind and folder of a checkpoint that hears waveforms as they are."""
    kind, size = request.param
    written(tmp_path, kind, **(LARGE if size == "large" else {}))
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    return kind, tmp_path


@pytest.fixture
def clips() -> Tensor:
    """Two clips with an offset and a level of their own, the second ending in zeros."""
    made = 0.1 * torch.randn(2, 800, generator=torch.Generator().manual_seed(1)) + torch.tensor([[0.3], [-0.02]])
    made[1, 500:] = 0
    return made


def reference(kind: str, folder: Path) -> nn.Module:
    return MODELS[kind][1].from_pretrained(folder).eval()


def test_every_weight_is_that_of_the_file(checkpoint: tuple[str, Path]) -> None:
    _, folder = checkpoint
    file, loaded = load_file(folder / "model.safetensors"), load_backbone(folder).state_dict()
    assert set(file) - set(loaded) == {"masked_spec_embed"}
    assert all(torch.equal(loaded[name], file[name]) for name in loaded)


def test_hidden_states_are_those_of_the_reference_model(checkpoint: tuple[str, Path], clips: Tensor) -> None:
    kind, folder = checkpoint
    with torch.no_grad():
        expected = reference(kind, folder)(clips).last_hidden_state
        encoder = WaveformEncoder(load_backbone(folder)).eval()
        assert torch.allclose(encoder.hidden(clips), expected, atol=1e-6)
        assert torch.allclose(encoder(clips), expected.mean(1), atol=1e-6)
    assert (encoder.hears, encoder.dimensions) == ("waveform", 16)


def test_layers_are_the_states_before_between_and_after_the_transformer_layers(
    checkpoint: tuple[str, Path], clips: Tensor
) -> None:
    kind, folder = checkpoint
    model, seen = reference(kind, folder), []
    model.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.encoder.layers[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        seen.append(model(clips).last_hidden_state)
    encoder = WaveformEncoder(load_backbone(folder)).train()
    found = encoder.layers(clips)
    assert torch.allclose(found, torch.stack(seen, dim=1), atol=1e-6)
    assert not found.requires_grad
    assert encoder.training
    assert encoder.backbone.encoder.training


@pytest.mark.parametrize("absent", [True, False])
def test_normalisation_follows_the_preprocessor_and_is_on_where_that_says_nothing(
    tmp_path: Path, clips: Tensor, absent: bool
) -> None:
    folder = written(tmp_path, "wavlm")
    if not absent:
        (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    extractor = Wav2Vec2FeatureExtractor(do_normalize=absent)
    heard = extractor(list(clips.numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = reference("wavlm", folder)(heard).last_hidden_state
        found = WaveformEncoder(load_backbone(folder)).eval().hidden(clips)
    assert torch.allclose(found, expected, atol=1e-5)


def test_normalised_speech_is_heard_alike_at_any_level_and_silence_stays_finite(tmp_path: Path, clips: Tensor) -> None:
    encoder = WaveformEncoder(load_backbone(written(tmp_path, "hubert"))).eval()
    with torch.no_grad():
        assert torch.allclose(encoder(clips[:1]), encoder(8 * clips[:1] - 3), atol=1e-4)
        assert encoder(torch.zeros(1, 800)).isfinite().all()


def test_training_draws_from_torch_alone_and_neither_masks_nor_skips(
    checkpoint: tuple[str, Path], clips: Tensor
) -> None:
    _, folder = checkpoint
    encoder = WaveformEncoder(load_backbone(folder)).train()
    found = []
    for numpy_seed in (1, 2):
        np.random.seed(numpy_seed)
        torch.manual_seed(0)
        found.append(encoder.hidden(clips))
    assert torch.equal(*found)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    assert torch.allclose(encoder.hidden(clips), encoder.eval().hidden(clips), atol=1e-6)


def test_all_of_the_transformer_trains_and_nothing_before_it(checkpoint: tuple[str, Path], clips: Tensor) -> None:
    encoder = WaveformEncoder(load_backbone(checkpoint[1])).train()
    encoder(clips).square().sum().backward()
    for name, parameter in encoder.backbone.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None) == name.startswith("encoder."), name


@pytest.mark.parametrize("count", [0, 1, 2])
def test_trainable_layers_are_the_last_ones_and_a_norm_that_follows_them(
    checkpoint: tuple[str, Path], clips: Tensor, count: int
) -> None:
    encoder = WaveformEncoder(load_backbone(checkpoint[1]), trainable_layers=count)
    parts = tuple(f"encoder.layers.{layer}." for layer in (0, 1)[2 - count :])
    if count and encoder.backbone.config.do_stable_layer_norm:
        parts = (*parts, "encoder.layer_norm.")
    expected = {name for name, _ in encoder.backbone.named_parameters() if name.startswith(parts)}
    assert {name for name, p in encoder.backbone.named_parameters() if p.requires_grad} == expected
    assert encoder.train()(clips).requires_grad == (count > 0)


def test_more_trainable_layers_than_there_are_is_refused(tmp_path: Path) -> None:
    backbone = load_backbone(written(tmp_path, "hubert"))
    with pytest.raises(UserError, match="trainable_layers is 3; it must be 0 to 2"):
        WaveformEncoder(backbone, trainable_layers=3)


def test_the_loaded_backbone_is_copied_and_stays_as_it_was(tmp_path: Path) -> None:
    backbone = load_backbone(written(tmp_path, "wavlm"))
    encoder = WaveformEncoder(backbone, trainable_layers=0)
    with torch.no_grad():
        encoder.backbone.encoder.layer_norm.weight += 1
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert not torch.equal(backbone.encoder.layer_norm.weight, encoder.backbone.encoder.layer_norm.weight)


def test_moving_average_reaches_the_weight_normed_positions(tmp_path: Path) -> None:
    online = WaveformEncoder(load_backbone(written(tmp_path, "hubert")))
    average = frozen_copy(online)
    magnitude = "backbone.encoder.pos_conv_embed.conv.parametrizations.weight.original0"
    start = average.get_parameter(magnitude).clone()
    with torch.no_grad():
        online.get_parameter(magnitude).add_(1.0)
    move_towards(average, online, 0.75)
    assert torch.allclose(average.get_parameter(magnitude), start + 0.25)
    move_towards(average, WaveformEncoder(load_backbone(tmp_path), trainable_layers=0), 0.0)
    assert torch.allclose(average.get_parameter(magnitude), start + 0.25)


def in_old_format(folder: Path) -> None:
    """The checkpoint as fairseq's conversions of 2021 are: torch's format, weight norm by its old names."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, name in old.items():
        weights = {key.replace(new, name): tensor for key, tensor in weights.items()}
    assert any(key.endswith("weight_g") for key in weights)
    torch.save(weights, folder / "pytorch_model.bin")


def test_old_checkpoints_give_the_same_weights(checkpoint: tuple[str, Path]) -> None:
    _, folder = checkpoint
    new, before = load_backbone(folder), fingerprint(folder)
    in_old_format(folder)
    old = load_backbone(locate(str(folder)))
    assert all(torch.equal(tensor, old.state_dict()[name]) for name, tensor in new.state_dict().items())
    assert fingerprint(folder) != before


def test_weight_norm_is_magnitude_times_direction(tmp_path: Path) -> None:
    folder = written(tmp_path, "wav2vec2")
    in_old_format(folder)
    file = torch.load(folder / "pytorch_model.bin", weights_only=True)
    g, v = (file[f"encoder.pos_conv_embed.conv.weight_{part}"] for part in "gv")
    expected = g * v / v.square().sum((0, 1), keepdim=True).sqrt()
    assert torch.allclose(load_backbone(folder).encoder.pos_conv_embed.conv.weight, expected, atol=1e-6)


@pytest.mark.parametrize(("with_head", "inner"), [(HubertForCTC, "hubert"), (Wav2Vec2ForPreTraining, "wav2vec2")])
def test_a_checkpoint_with_a_head_gives_its_encoder(tmp_path: Path, with_head: type, inner: str) -> None:
    torch.manual_seed(0)
    whole = with_head(MODELS[inner][0](**SMALL))
    _saved(whole, tmp_path)
    loaded = load_backbone(tmp_path).state_dict()
    expected = getattr(whole, inner).state_dict()
    assert set(expected) - set(loaded) == {"masked_spec_embed"}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())


def _without(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors")


def _configured(folder: Path, **changed: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changed}))


class _Program:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("a checkpoint must not run",))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"encoder.layer_norm.weight": _Program()}, folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda f: _without(f, "encoder.layers.1.final_layer_norm.bias"),
            "lacks 1 of its weights, 'encoder.layers.1.f",
        ),
        (lambda f: _configured(f, num_hidden_layers=3), "lacks 16 of its weights, 'encoder.layers.2.attention"),
        (lambda f: _configured(f, intermediate_size=48), "does not fit its config.json"),
        (lambda f: _configured(f, conv_kernel=[10, 3]), "describes no encoder that can be built"),
        (lambda f: _configured(f, model_type="data2vec-audio"), "there are: hubert, wav2vec2, wavlm, whisper"),
        (lambda f: (f / "preprocessor_config.json").write_text('{"do_normalize": "yes"}'), "must be true or false"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "cannot be read"),
        (_pickled, "cannot be read"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], break_it: Callable[[Path], None], message: str
) -> None:
    break_it(written(tmp_path, "hubert"))
    with pytest.raises(UserError, match=message) as raised:
        load_backbone(locate(str(tmp_path)))
    assert "\n" not in str(raised.value)
    assert "must not run" not in capsys.readouterr().out


def test_fingerprint_follows_whether_waveforms_are_normalised(tmp_path: Path) -> None:
    folder = written(tmp_path, "wavlm")
    before = fingerprint(folder)
    (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')
    assert fingerprint(folder) == before
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert fingerprint(folder) != before


def test_a_window_too_short_for_one_hidden_state_is_refused(tmp_path: Path) -> None:
    published = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
    folder = written(tmp_path, "hubert", conv_dim=(4,) * 7, num_feat_extract_layers=7, **published)
    backbone = load_backbone(folder)
    with pytest.raises(UserError, match=r"length_s is 0\.02; it must be at least 0\.025, what this encoder needs"):
        encoder_of(backbone, 2)
    encoder = encoder_of(backbone, 4)
    assert isinstance(encoder, WaveformEncoder)
    assert encoder.hidden(torch.randn(1, 400)).shape[1] == 1


def test_bfloat16_stays_near_fp32_and_comes_back_as_fp32(tmp_path: Path, clips: Tensor) -> None:
    """Without oneDNN, whose bfloat16 products are off by 40 % here on one kind of CPU (docs/LOG.md)."""
    backbone = load_backbone(written(tmp_path, "wav2vec2", **NO_DROPOUT))
    with torch.backends.mkldnn.flags(enabled=False):
        exact, coarse = (WaveformEncoder(backbone, bf16=bf16).eval()(clips) for bf16 in (False, True))
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    assert torch.allclose(exact, coarse, atol=0.1)


def test_the_hub_is_asked_for_torch_files_only_where_there_are_no_safetensors(tmp_path: Path) -> None:
    new, old = written(tmp_path / "new", "hubert"), written(tmp_path / "old", "hubert")
    in_old_format(old)
    asked: list[tuple[str, bool]] = []

    def hub(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, "pytorch_model*.bin" in allow_patterns))
        if name == "lab/old" and not asked[-1][1]:
            return str(_only_config(old, tmp_path / "partial"))
        return str({"lab/new": new, "lab/old": old}[name])

    assert locate("lab/new", hub) == new
    assert locate("lab/old", hub) == old
    assert asked == [("lab/new", False), ("lab/old", False), ("lab/old", True)]


def _only_config(source: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return folder
