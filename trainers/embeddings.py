"""Utterance embeddings as a result keeps them: few numbers a clip, for pictures and for how far classes lie apart."""

from base64 import b64decode, b64encode
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COMPONENTS = 32
"""Of a cell's embeddings: distances within them are those of all dimensions but for a few per cent."""

Parts = dict[str, str]
"""Part ("test/urdu") -> its clips' embeddings, packed."""


def packed(embedded: Mapping[str, Tensor]) -> Parts:
    """The first principal components of all parts' clips together, at most 32, as 16-bit numbers in base64.

    `embedded`: part -> (n, d), in the order of its clips. Components are counted from the mean of all clips; signs are
    such that the largest entry of each direction is positive. FloatingPointError where they are no numbers.
    """
    everything = torch.cat([rows.double().cpu() for rows in embedded.values()])
    if not torch.isfinite(everything).all():
        raise FloatingPointError("embeddings of the tested clips are not finite")
    mean = everything.mean(0)
    directions = torch.linalg.svd(everything - mean, full_matrices=False).Vh[:COMPONENTS]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    turned = directions * largest.sign()
    return {part: pack((rows.double().cpu() - mean) @ turned.T) for part, rows in embedded.items()}


def pack(rows: Tensor) -> str:
    """(n, d) numbers as text: d, a colon, and base64 of little-endian halves, row by row."""
    return f"{rows.shape[1]}:{b64encode(rows.cpu().numpy().astype('<f2').tobytes()).decode()}"


def unpack(text: str) -> NDArray[np.float32]:
    """(n, d) as `pack` was given them, to three digits; ValueError where the text is none of its."""
    width, _, numbers = text.partition(":")
    return np.frombuffer(b64decode(numbers, validate=True), dtype="<f2").astype(np.float32).reshape(-1, int(width))
