"""A trained model at work: audio in, probabilities of the emotions out. Its folder is all that it needs.

Recordings of any length and rate are brought to 16 kHz as preparation does it, then trimmed, levelled and cropped by
the spec's front end as validation and test were; clips longer than its window are heard in part (`head`, `centre`) or,
with `crop=chunks`, whole, by the mean logits of the windows that cover them. A probability is a softmax of logits that
nobody has calibrated.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from trainers import model_files
from trainers.audio.log_mel import HOP
from trainers.building import encoder_for
from trainers.corpora.prepared import Prepared
from trainers.corpora.recordings import UnreadableError, at_16_khz, decode
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.encoders import Head
from trainers.errors import UserError
from trainers.evaluation import BATCH
from trainers.methods.configs import PairwiseConfig, require_packages
from trainers.methods.view_inputs import ViewInputs
from trainers.methods.views import DIMENSIONS, Views
from trainers.model_files import parts_of
from trainers.spec import CellSpec
from trainers.speech import Speech
from trainers.waveform_encoders import _built as waveform_model

Samples = NDArray[np.float32]
Recording = str | Path | tuple[ArrayLike, float]
"""An audio file, or its samples with their rate in Hz: (samples,), or (samples, channels), which are averaged."""

MOST_CHANNELS = 32
"""More are samples that were taken for channels."""


@dataclass(frozen=True)
class Clips:
    """In place of prepared corpora: clips in memory, without any label."""

    waveforms: Sequence[Samples]

    @property
    def utterances(self) -> list[Utterance]:
        named = (f"clip {number}" for number in range(len(self.waveforms)))
        return [Utterance(name, "", "", "", "", "", 0.0) for name in named]

    def samples(self, which: int) -> Samples:
        return self.waveforms[which]


class Predictor:
    """The model in `folder` on a device, the GPU where there is one. UserError where the folder holds no sound model,
    or a package is missing that the model needs.

    `spec`: what it was trained with; on a CPU it computes in fp32 whatever that was. `told`: all of model.json.
    """

    emotions = EMOTIONS

    def __init__(self, folder: Path | str, device: torch.device | None = None) -> None:
        self.told, weights = model_files.read(Path(folder))
        if self.told["emotions"] != list(EMOTIONS):
            raise UserError(f"model {folder} knows {self.told['emotions']!r}; this version knows {list(EMOTIONS)}")
        self.spec = CellSpec.from_dict(self.told["spec"])
        require_packages(self.spec.config)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        told = self.spec.training
        precision = "fp32" if self.device.type == "cpu" else told.precision  # a CPU's bf16 is slow, and on some wrong
        self._computed = replace(self.spec, training=replace(told, precision=precision))
        with torch.random.fork_rng(devices=[]):  # who predicts has random numbers of their own
            parts = _described(self._computed, self.told["encoder"], Path(folder))
        for name in parts_of(self.spec.config):
            _fill(parts[name], name, weights, Path(folder))
        self.encoder, self.head = parts["encoder"].to(self.device), parts["head"].to(self.device)
        self.backbone = parts.get("backbone")

    def predict(self, recordings: Sequence[Recording]) -> NDArray[np.float64]:
        """(n, 4) probabilities in the order of `emotions`; rows sum to 1. UserError names the first bad recording."""
        return self.probabilities([listen(one, place) for place, one in enumerate(recordings)])

    @torch.no_grad()
    def probabilities(self, clips: Sequence[Samples]) -> NDArray[np.float64]:
        """(n, 4) of clips as `listen` gives them."""
        found = [self._logits(clips[first : first + BATCH]) for first in range(0, len(clips), BATCH)]
        if not found:
            return np.zeros((0, len(EMOTIONS)))
        probabilities: NDArray[np.float64] = torch.cat(found).double().softmax(1).numpy()
        return probabilities

    def _logits(self, clips: Sequence[Samples]) -> Tensor:
        """(n, 4), as evaluation has them: of several windows of a clip the mean."""
        speech = Speech(cast(Prepared, Clips(clips)), self.spec.front_end, self.device)
        numbers = torch.arange(len(clips))
        if self.spec.front_end.crop != "chunks":
            return self._heard(speech, numbers, None)
        places, starts = speech.windows(numbers)
        windows = zip(places.split(BATCH), starts.split(BATCH), strict=True)
        logits = torch.cat([self._heard(speech, numbers[own], where) for own, where in windows])
        summed = logits.new_zeros(len(clips), logits.shape[1]).index_add_(0, places, logits)
        return summed / torch.bincount(places, minlength=len(clips))[:, None]

    def _heard(self, speech: Speech, numbers: Tensor, starts: Tensor | None) -> Tensor:
        logits: Tensor = self.head(self.encoder(self._inputs(speech, numbers, starts)))
        return logits.float().cpu()

    def _inputs(self, speech: Speech, numbers: Tensor, starts: Tensor | None) -> Any:
        config = self.spec.config
        if not isinstance(config, PairwiseConfig):
            return speech.heard(self.encoder.hears, numbers, starts)
        assert self.backbone is not None
        inputs = ViewInputs(speech, self.backbone, bf16=self._computed.training.precision == "bf16")
        return {name: inputs.of(name, numbers) for name in config.classified}


def listen(recording: Recording, place: int = 0) -> Samples:
    """(samples,) at 16 kHz, as preparation stores a clip.

    UserError names the file, or the waveform by its `place`, and what is wrong: not audio, cut short, empty, NaN,
    silence alone (of which a model would tell an emotion all the same), a shape or rate that is none.
    """
    if isinstance(recording, tuple):
        name, samples = f"waveform {place}", _mono(f"waveform {place}", *recording)
    else:
        name, samples = str(recording), _decoded(Path(recording))
    if not samples.size:
        raise UserError(f"{name}: it holds no samples")
    if not samples.any():
        raise UserError(f"{name}: it holds silence alone")
    return samples


def _decoded(path: Path) -> Samples:
    try:
        return decode(path)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from error


def _mono(name: str, waveform: ArrayLike, rate_hz: float) -> Samples:
    samples = np.asarray(waveform)
    if samples.dtype.kind == "i":  # as soundfile reads them
        samples = samples / -float(np.iinfo(samples.dtype).min)
    if samples.dtype.kind != "f":
        raise UserError(f"{name}: its samples are of type {samples.dtype}; they must be floats or signed integers")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MOST_CHANNELS):
        raise UserError(f"{name}: its shape is {samples.shape}; it must be (samples,) or (samples, channels)")
    if not (isinstance(rate_hz, int | float | np.number) and math.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(f"{name}: its rate is {rate_hz!r} Hz; it must be above 0")
    if not np.isfinite(samples).all():
        raise UserError(f"{name}: it holds NaN or infinite samples")
    mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    return at_16_khz(np.ascontiguousarray(mono, dtype=np.float32), float(rate_hz))


def _described(spec: CellSpec, encoder: Any, folder: Path) -> dict[str, Any]:
    """`_parts`; UserError where what is told of the encoder describes none."""
    try:
        return _parts(spec, encoder)
    except UserError:
        raise
    except Exception as error:  # transformers checks a configuration nowhere in particular, and by many kinds
        said = str(error).partition("\n")[0]
        raise UserError(f"model {folder} describes no encoder: {type(error).__name__} {said}") from error


def _parts(spec: CellSpec, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Networks whose weights are still to be read."""
    backbone, frames = _backbone(encoder), spec.front_end.n_samples // HOP
    config = spec.config
    if isinstance(config, PairwiseConfig):
        values = backbone.config
        views = Views(config.view_names, int(values.num_hidden_layers) + 1, int(values.hidden_size))
        head = Head(DIMENSIONS * len(config.classified), config.dropout)
        return {"encoder": views, "head": head, "backbone": backbone}
    own = encoder_for(spec, frames, backbone, None)
    return {"encoder": own, "head": Head(own.dimensions, getattr(config, "dropout", 0.0))}


def _backbone(encoder: Mapping[str, Any]) -> Any:
    """The architecture that a configuration describes, with random weights."""
    values = dict(encoder["config"])
    if values["model_type"] != "whisper":
        model = waveform_model(values)
        model.config.do_normalize = encoder["do_normalize"]
        return model
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder(WhisperConfig(**{**values, "dtype": "float32"}))


def _fill(module: nn.Module, name: str, weights: Mapping[str, Tensor], folder: Path) -> None:
    own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"model {folder} does not fit its description: {reason}") from error
    module.eval().requires_grad_(False)
