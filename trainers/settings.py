"""A value in the type that its setting declares: what a command line, a sweep or a JSON file gives is checked here."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_type_hints

from trainers.errors import UserError, told


def fitted(kind: type, name: str, value: Any) -> Any:
    """`value` as field `name` of the dataclass `kind` has it, so that 1 and 1.0 name the same cell.

    Whole floats become integers, integers floats, lists tuples. UserError for any other type (true is no number)
    and for NaN and infinity.
    """
    plain, optional = _declared(kind)[name]
    if optional and value is None:
        return None
    rule, fit = _TYPES[plain]
    found = fit(value)
    if found is None:
        raise UserError(f"{name} is {told(value)}; it must be {rule}{' or none' if optional else ''}")
    return found


def require_types(settings: Any) -> None:
    """UserError where a field of a dataclass is not of the type that it declares, or not finite: what a sweep's own
    file builds comes through no `fitted`. The values stay as they are, and so do the keys made of them."""
    for field in fields(settings):
        fitted(type(settings), field.name, getattr(settings, field.name))


@cache
def _declared(kind: type) -> Mapping[str, tuple[Any, bool]]:
    """Each field's type without None, and whether None is allowed beside it."""
    hints = get_type_hints(kind)
    return {name: (_without_none(hint), NoneType in get_args(hint)) for name, hint in hints.items()}


def _without_none(hint: Any) -> Any:
    rest = [choice for choice in get_args(hint) if choice is not NoneType]
    return rest[0] if len(rest) == 1 and NoneType in get_args(hint) else hint


def _number(value: Any) -> float | None:
    if type(value) is float:  # nearly always, and asking numbers' abstract classes is slow
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


LARGEST = 2**53
"""Whole numbers up to this one are floats too, without rounding; nothing here has more steps or clips."""


def _whole(value: Any) -> int | None:
    if type(value) is int:
        return value if abs(value) <= LARGEST else None
    number = _number(value)
    if number is None or not number.is_integer() or abs(number) > LARGEST:
        return None
    return int(value) if isinstance(value, Integral) else int(number)


def _numbers(value: Any) -> tuple[float, ...] | None:
    found = [_number(each) for each in value] if isinstance(value, list | tuple) else [None]
    numbers = tuple(number for number in found if number is not None)
    return numbers if len(numbers) == len(found) else None


def _words(value: Any) -> tuple[str, ...] | None:
    """A tuple of texts; one text is a list of its words with commas between them, as a command line has it."""
    found = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    words = isinstance(found, list | tuple) and all(isinstance(each, str) for each in found)
    return tuple(found) if words else None


def _exactly(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, kind) else None


_TYPES: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
    bool: ("true or false", _exactly(bool)),
    int: ("a whole number", _whole),
    float: ("a finite number", _number),
    str: ("text", _exactly(str)),
    tuple[float, ...]: ("a list of finite numbers", _numbers),
    tuple[str, ...]: ("a list of words", _words),
}


def plain(value: Any) -> Any:
    """A value without numpy's types, as JSON and specs have it."""
    if isinstance(value, tuple | list):
        return tuple(plain(each) for each in value)
    return value.item() if hasattr(value, "item") else value
