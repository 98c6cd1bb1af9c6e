"""What Pairwise-CL's views of a clip are computed from: frozen states, log-mel, functionals. None of it ever changes,
so a process computes it once. Clips are heard as validation hears them: no augmentation, no random crop."""

from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.audio.egemaps import Functionals
from trainers.encoders import encoder_of
from trainers.moving import onto
from trainers.speech import Speech

CLIP_BYTES = 640_000
"""At most so much is kept of one clip's states: 3 s of Whisper tiny fit as they are, those of a base model are averaged
over five positions (100 ms). Ours; it depends on nothing but encoder and length, so that all cells hear the same."""

CACHE_BYTES = 6 * 1024**3
"""States are kept up to this size (about 10,000 clips), then computed anew each time, to the same bits."""


class Inputs(Protocol):
    """What the views need to know of clips."""

    def of(self, view: str, numbers: Tensor) -> Tensor:
        """The inputs of one view of (k,) utterance numbers."""


class ViewInputs:
    """The inputs of all views through one front end and one frozen encoder."""

    def __init__(self, speech: Speech, backbone: nn.Module, *, bf16: bool = False) -> None:
        self.speech = speech
        self.encoder = encoder_of(backbone, speech.frames, bf16=bf16, trainable_layers=0).to(speech.device)
        self.layers = int(getattr(backbone.config, "num_hidden_layers")) + 1  # noqa: B009  (mypy sees a Module)
        self._functionals = Functionals(speech.waveforms)
        self._states: dict[int, Tensor] = {}
        self._kept_bytes = 0

    def of(self, view: str, numbers: Tensor) -> Tensor:
        """On the device: `layers` (k, layers + 1, T, d) in half precision, `mel` (k, 80, frames), `egemaps` (k, 88).

        UserError for `egemaps` without openSMILE.
        """
        if view == "mel":
            return self.speech.mels(numbers)
        if view == "egemaps":
            return onto(self.speech.device, self._functionals.of(numbers))
        return onto(self.speech.device, torch.stack([self._states_of(number) for number in numbers.tolist()]))

    def _states_of(self, number: int) -> Tensor:
        """Computed clip by clip: in a batch the last bits would depend on which other clips are missing."""
        if number in self._states:
            return self._states[number]
        heard = self.speech.heard(self.encoder.hears, torch.tensor([number]))
        states = halved(coarser(self.encoder.layers(heard)[0])).cpu()
        if self._kept_bytes + states.nbytes <= CACHE_BYTES:
            self._kept_bytes += states.nbytes
            self._states[number] = states
        return states


def coarser(states: Tensor) -> Tensor:
    """(layers, T, d) averaged over so many neighbouring positions that CLIP_BYTES hold it in half precision."""
    together = -(-2 * states.numel() // CLIP_BYTES)
    if together == 1:
        return states
    return functional.avg_pool1d(states.transpose(1, 2), together, ceil_mode=True).transpose(1, 2)


def halved(states: Tensor) -> Tensor:
    """In half precision; what is too large for it is as large as can be."""
    most = torch.finfo(torch.half).max
    return states.clamp(-most, most).half()


_KEPT: WeakKeyDictionary[nn.Module, ViewInputs] = WeakKeyDictionary()


def inputs_of(speech: Speech, backbone: nn.Module, *, bf16: bool = False) -> ViewInputs:
    """The inputs through this front end and encoder, with all that earlier cells of this process computed of them."""
    kept = _KEPT.get(backbone)
    if kept is None or kept.speech is not speech or kept.encoder.bf16 != bf16:
        kept = _KEPT[backbone] = ViewInputs(speech, backbone, bf16=bf16)
    return kept
