"""Tensors on their way to a device and back, without waiting for what the device was told before.

A GPU works off what it is told while the program goes on and tells it more; each plain `.to` and `float` waits until
it has done all of that, and then it idles until it is told the next. On the CPU nothing here does anything.
"""

import torch
from torch import Tensor


def onto(device: torch.device, numbers: Tensor) -> Tensor:
    """The tensor on the device; what lies on the CPU goes to a GPU from pinned memory."""
    if device.type == "cuda" and numbers.device.type == "cpu":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


class Returning:
    """Scalars by name, on their way back; `read` waits for what the device was told before these, and no longer."""

    def __init__(self, numbers: dict[str, Tensor]) -> None:
        self._numbers = {name: number.detach().to("cpu", non_blocking=True) for name, number in numbers.items()}
        self._there = torch.cuda.Event() if any(number.is_cuda for number in numbers.values()) else None
        if self._there:
            self._there.record()

    def read(self) -> dict[str, float]:
        if self._there:
            self._there.synchronize()
        return {name: float(number) for name, number in self._numbers.items()}
