"""How much of a transformer trains, and hearing through one that does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trainers.errors import require


def train_last(
    encoder: nn.Module, layers: nn.ModuleList, trainable_layers: int | None, final_norm: nn.Module | None
) -> None:
    """Freeze an encoder but for its last `trainable_layers` transformer layers and the LayerNorm after all of them.

    None leaves everything as it is, 0 freezes everything, the LayerNorm too. `final_norm` is None where each layer
    ends in a LayerNorm of its own. None is the papers' setting; the rest is ours. UserError where there are fewer
    layers.
    """
    if trainable_layers is None:
        return
    rule = f"0 to {len(layers)}, the encoder's layers, or none for all"
    require(0 <= trainable_layers <= len(layers), "trainable_layers", trainable_layers, rule)
    encoder.requires_grad_(False)
    for layer in layers[len(layers) - trainable_layers :]:
        layer.requires_grad_(True)
    if trainable_layers and final_norm is not None:
        final_norm.requires_grad_(True)


@contextmanager
def as_if_frozen(module: nn.Module) -> Iterator[None]:
    """Neither gradient nor dropout in here, whether the module is in training or not; its mode comes back after."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
