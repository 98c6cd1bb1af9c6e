"""HuBERT, WavLM and wav2vec 2.0: encoders that hear waveforms (Xiang 2024; Pepino et al. 2021)."""

import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainers.encoder_files import WAVEFORM_KINDS, configuration, fill, normalises
from trainers.errors import UserError
from trainers.freezing import as_if_frozen, train_last

VARIANCE_FLOOR = 1e-7
"""Added to the variance before the division, as in transformers' feature extractor; silence stays silence."""

OURS = {
    "dtype": "float32",
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "add_adapter": False,
}
"""What we set in every checkpoint's configuration. Layers that are skipped and features that are masked at random while
training are off: transformers draws the masks from numpy's global state, which no seed of ours reaches, and it keeps
the strength of augmentation in one place. Without masks there is no `masked_spec_embed`, a weight that nothing would
train. No adapter follows the encoder. Dropout stays as the checkpoint has it."""


def load_waveform_backbone(folder: Path) -> nn.Module:
    """A HuBERT, WavLM or wav2vec 2.0 with the file's weights in fp32, and `config.do_normalize` from its preprocessor.

    Checkpoints of the bare model and of those with a head (`hubert.encoder…`) are read, weight norm under its old
    names (`weight_g`, `weight_v`) too. UserError names what the files lack.
    """
    values = configuration(folder, WAVEFORM_KINDS)
    try:
        model = _built(values)
    except Exception as error:  # transformers checks configurations in many ways
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{folder / 'config.json'} describes no encoder that can be built: {reason[-1]}") from error
    fill(model, folder, lambda name: _current(name.removeprefix(f"{values['model_type']}.")))
    model.config.do_normalize = normalises(folder)
    backbone: nn.Module = model
    return backbone


def _built(values: dict[str, Any]) -> Any:
    from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

    classes = {
        "hubert": (HubertConfig, HubertModel),
        "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
        "wavlm": (WavLMConfig, WavLMModel),
    }
    config, model = classes[values["model_type"]]
    return model(config(**{**values, **OURS}))


def _current(name: str) -> str:
    """Magnitude and direction of a weight-normed weight under the names that torch gives them since 2.0."""
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        if name.endswith(f".{old}"):
            return f"{name.removesuffix(old)}parametrizations.weight.{new}"
    return name


class WaveformEncoder(nn.Module):
    """A HuBERT, WavLM or wav2vec 2.0 whose transformer trains; CNN and feature projection are frozen (Xiang 2024).

    `trainable_layers`: how many of the last transformer layers train, with the final LayerNorm where the model has one
    after them (the large ones); None is the whole transformer, its convolutional positions included. With `bf16` the
    encoder computes in bfloat16; its weights stay in fp32.
    """

    hears: ClassVar[str] = "waveform"

    def __init__(self, backbone: Any, *, bf16: bool = False, trainable_layers: int | None = None) -> None:
        super().__init__()
        self.bf16 = bf16
        self.backbone = copy.deepcopy(backbone)
        self.dimensions = int(backbone.config.hidden_size)
        self.normalise = bool(getattr(backbone.config, "do_normalize", True))
        self.backbone.feature_extractor._freeze_parameters()  # also keeps it from recording a graph while training
        self.backbone.feature_projection.requires_grad_(False)
        transformer = self.backbone.encoder
        final_norm = transformer.layer_norm if backbone.config.do_stable_layer_norm else None
        train_last(self.backbone, transformer.layers, trainable_layers, final_norm)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz to (batch, d), the mean over time of `hidden`, in fp32.

        The zeros after a short clip count in the mean, as they do for Whisper (METHODS FLAG 1).
        """
        return self.hidden(waveform).mean(dim=1)

    def hidden(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to the last hidden states (batch, T, d) in fp32; T is 49 or 50 per second."""
        heard = self._heard(waveform)
        with torch.autocast(waveform.device.type, torch.bfloat16, enabled=self.bf16):
            states: Tensor = self.backbone(heard).last_hidden_state
        return states.float()

    def layers(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to all hidden states (batch, layers + 1, T, d) in fp32, without gradient and dropout.

        The first is the transformer's input, the last what `hidden` gives: after the final LayerNorm where there is
        one.
        """
        heard = self._heard(waveform)
        with as_if_frozen(self), torch.autocast(waveform.device.type, torch.bfloat16, enabled=self.bf16):
            found = self.backbone(heard, output_hidden_states=True)
        return torch.stack([*found.hidden_states[:-1], found.last_hidden_state], dim=1).float()

    def _heard(self, waveform: Tensor) -> Tensor:
        """Each clip at mean 0 and variance 1 over its whole window, trailing zeros included, if normalised at all."""
        if not self.normalise:
            return waveform
        centred = waveform - waveform.mean(dim=1, keepdim=True)
        return centred / torch.sqrt(centred.square().mean(dim=1, keepdim=True) + VARIANCE_FLOOR)


def shortest_input(backbone: Any) -> int:
    """Samples that the CNN needs for one hidden state: 400, which are 25 ms, in the published models."""
    samples = 1
    convolutions = zip(backbone.config.conv_kernel, backbone.config.conv_stride, strict=True)
    for kernel, stride in reversed([*convolutions]):
        samples = (samples - 1) * stride + kernel
    return int(samples)
