"""The one error that a user is meant to see: a line with the value, the rule and the choices, never a traceback; and
what other errors say."""

from collections.abc import Iterable

from trainers.credentials import masked

TOLD = 300
"""Characters of a value that an error tells; of a longer one the beginning and the length."""


class UserError(Exception):
    """Bad input. Its text is one line; command lines print it and exit with code 2. Credentials in it are masked."""

    def __str__(self) -> str:
        return masked(super().__str__())


def unknown(kind: str, value: object, choices: Iterable[object]) -> UserError:
    """`unknown sweep 'byol_tua'; there are: byol_lambda, byol_tau`."""
    listed = ", ".join(sorted(str(choice) for choice in choices))
    return UserError(f"unknown {kind} {told(str(value))}; there are: {listed or 'none'}")


def told(value: object) -> str:
    """A value as an error tells it: its repr, in one line and not for ever."""
    text = repr(value)
    return text if len(text) <= TOLD else f"{text[:TOLD]}… ({len(text)} characters)"


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """Refuse a bad setting with its value and its rule: `tau is 1.2; it must be between 0 and 1`."""
    if not holds:
        raise UserError(f"{name} is {told(value)}; it must be {rule}")


def says_out_of_memory(error: BaseException) -> bool:
    """Of errors about a GPU's memory those, too, that are not torch's own, but CUDA's or its libraries'."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ("out of memory", "ALLOC_FAILED"))
