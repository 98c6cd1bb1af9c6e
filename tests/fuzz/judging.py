"""When an input was answered well: taken, or refused in words, in time, and never by a traceback."""

import contextlib
import io
import signal
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

from trainers.corpora.recordings import UnreadableError
from trainers.errors import UserError

DEADLINE_S = 60
"""Of one input; a thousand times what most take, since machines that run tests are busy."""

LONGEST = 20_000
"""Characters of a refusal."""


class HungError(AssertionError):
    """An input that took longer than the deadline."""


class BadlyRefusedError(AssertionError):
    """A refusal that nobody can read: empty, of several lines without a count, or without its mark."""


@contextlib.contextmanager
def deadline(seconds: int = DEADLINE_S) -> Iterator[None]:
    """HungError where the body takes longer. For the main thread of a process."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HungError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def readable(told: str) -> None:
    """A refusal is a line, or one that counts errors and below it a line for each."""
    lines = told.splitlines()
    counted = bool(lines) and lines[0].endswith(":") and " error" in lines[0]
    if not lines or not lines[0].strip() or len(told) > LONGEST or (len(lines) > 1 and not counted):
        raise BadlyRefusedError(f"a refusal of {len(lines)} lines: {told[:500]!r}")
    if counted and lines[0].split(" has ")[-1].split(" ")[0].isdigit():
        count = int(lines[0].split(" has ")[-1].split(" ")[0])
        if len(lines) - 1 != min(count, 51):
            raise BadlyRefusedError(f"{count} errors are promised and {len(lines) - 1} told")


def answered(action: Callable[[], str]) -> str:
    """How an input was answered: what `action` says, or "refused"."""
    try:
        with deadline():
            return action()
    except (UserError, UnreadableError) as error:
        readable(str(error))
        return "refused"


def commanded(main: Callable[[list[str]], int], words: list[str]) -> str:
    """How a command line was answered: exit code 0 or 1 with whatever output, or 2 with one line that says why."""
    out, err = io.StringIO(), io.StringIO()
    with deadline(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = main(words)
        except SystemExit as left:  # --help
            code = int(left.code or 0)
    if code == 2:
        told = [line for line in err.getvalue().splitlines() if not line.startswith("warning: ")]
        if not told or not told[0].startswith("error: "):
            raise BadlyRefusedError(f"exit code 2 with {err.getvalue()!r} {out.getvalue()[-200:]!r}")
        readable("\n".join(told))
        return "refused"
    if code not in (0, 1):
        raise BadlyRefusedError(f"exit code {code}")
    return "taken"
