"""Tensors on their way to a device and back, without waiting for what the device was told before.

A GPU works off what it is told while the program goes on and tells it more; each plain `.to` and `float` waits until
it has done all of that, and then it idles until it is told the next. On the CPU nothing here does anything.
"""

import torch
from torch import Tensor


def onto(device: torch.device, numbers: Tensor) -> Tensor:
    """The tensor on the device; what lies on the CPU goes to a GPU from pinned memory, in one piece."""
    if device.type == "cuda" and numbers.device.type == "cpu":
        numbers = numbers.contiguous().pin_memory()
    return numbers.to(device, non_blocking=True)


class Returning:
    """Scalars by name, on their way back; `read` waits for what the device was told before these, and no longer."""

    def __init__(self, numbers: dict[str, Tensor]) -> None:
        self._numbers = {name: number.detach().to("cpu", non_blocking=True) for name, number in numbers.items()}
        self._there = [_told_so_far(device) for device in {each.device for each in numbers.values() if each.is_cuda}]

    def read(self) -> dict[str, float]:
        for there in self._there:
            there.synchronize()
        return {name: float(number) for name, number in self._numbers.items()}


def _told_so_far(device: torch.device) -> torch.cuda.Event:
    """What is over once a GPU has done all that it was told until now."""
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event
