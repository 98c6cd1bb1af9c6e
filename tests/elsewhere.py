"""A device that computes as the CPU does, but whose tensors lie apart from it, as a GPU's do.

What mixes its tensors with the CPU's fails as it does on a GPU, and `waits` tells each place where the program waits
for it: where a number is read, a tensor comes back, or goes there from memory that is not pinned. `install` registers
it with torch for the rest of the process, so tests use it in a process of their own. `torch.tensor(…, device=…)`, for
which a GPU is waited for too, fails on it (an assertion of torch).
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "elsewhere"
CPU = torch.device("cpu")


class Elsewhere(torch.Tensor):
    """A tensor of the device; `lies` is what it holds, on the CPU."""

    lies: torch.Tensor
    waits: ClassVar[list[str] | None] = None

    @staticmethod
    def __new__(cls, lies: torch.Tensor) -> "Elsewhere":
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]  # torch gives it no type
            cls,
            lies.size(),
            strides=lies.stride(),
            storage_offset=lies.storage_offset(),
            dtype=lies.dtype,
            layout=lies.layout,
            device=torch.device(NAME, 0),
        )

    def __init__(self, lies: torch.Tensor) -> None:
        self.lies = lies

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(operation, *args, **(kwargs or {}))


def computed(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """What the operation gives, on the device unless it was asked to bring it back."""
    name = operation.overloadpacket.__name__
    if name in ("_to_copy", "to", "copy_"):
        return moved(operation, args, kwargs)
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    apart = [each for each in given if not isinstance(each, Elsewhere) and each.dim()]
    if apart and any(isinstance(each, Elsewhere) for each in given):
        if name not in ("index", "index_put_", "_index_put_impl_"):
            raise RuntimeError(f"{operation} is given tensors of two devices")
        waited(f"{name} by numbers that lie on the CPU")
    if name in READS or (name in ("index", "index_put_") and any(each.dtype == torch.bool for each in given[1:])):
        waited(name)
    if kwargs.get("device") is not None:
        kwargs = kwargs | {"device": CPU}
    found = operation(*tree_map(_held, args), **tree_map(_held, kwargs))
    if name.endswith("_") and isinstance(args[0], Elsewhere):
        return args[0]
    return tree_map(lambda each: Elsewhere(each) if isinstance(each, torch.Tensor) else each, found)


READS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "equal",
    "is_nonzero",
    "repeat_interleave",
}
"""Operations that must know numbers, so that a GPU is waited for."""


def moved(operation: Any, args: Any, kwargs: Any) -> Any:
    if operation.overloadpacket.__name__ == "copy_":
        target, source, *rest = args
        if type(target) is not type(source) and not (rest[0] if rest else kwargs.get("non_blocking")):
            waited("copy_ between devices")
        _held(target).copy_(_held(source))
        return target
    source, wanted = args[0], kwargs.get("device")
    there = isinstance(source, Elsewhere) if wanted is None else torch.device(wanted).type == NAME
    if there != isinstance(source, Elsewhere) and not kwargs.get("non_blocking"):
        waited("to the device" if there else "from the device")
    found = operation(_held(source), **{**kwargs, **({} if wanted is None else {"device": CPU})})
    return Elsewhere(found) if there else found


def waited(for_what: str) -> None:
    if Elsewhere.waits is not None:
        own = [each for each in traceback.extract_stack() if "/trainers/" in each.filename]
        where = f"{own[-1].filename.rsplit('/trainers/', 1)[1]}:{own[-1].name}: {own[-1].line}" if own else "?"
        Elsewhere.waits.append(f"{for_what}: {where}")


def _held(each: Any) -> Any:
    return each.lies if isinstance(each, Elsewhere) else each


@contextmanager
def counted() -> Iterator[list[str]]:
    """The places that waited for the device within this."""
    Elsewhere.waits = []
    try:
        yield Elsewhere.waits
    finally:
        Elsewhere.waits = None


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_autocast_enabled(self) -> bool:
        return False

    def set_device(self, _: object) -> None: ...

    def synchronize(self, _: object = None) -> None: ...


_LIBRARIES: list[torch.library.Library] = []


def install() -> torch.device:
    """The device, known to torch from here on."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    every, arange = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    every.fallback(computed, "PrivateUse1")
    for kind in ("default", "start", "start_step"):  # the fallback would be asked to resize a tensor
        operation = getattr(torch.ops.aten.arange, kind)
        arange.impl(operation, partial(computed, operation), "PrivateUse1")
    _LIBRARIES.extend((every, arange))
    return torch.device(NAME)
