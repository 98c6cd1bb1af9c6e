"""What a run came to, whom it tells while it lasts, and its own account of how cells ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.board import Event, Snapshot


@dataclass(frozen=True)
class Outcome:
    """What this run did: how many cells it finished, which failed, and whether it was interrupted before the end.

    `dropped`: configurations that were beaten, with what is to be said of that. `stopped`: why the run ended itself
    before its end, "" where it did not.
    """

    done: int
    failed: tuple[Event, ...]
    interrupted: bool
    dropped: Mapping[int, str] = field(default_factory=dict)
    stopped: str = ""


@dataclass(frozen=True)
class Watch:
    """Whom to tell: of each cell's end, once; how things stand, every second or oftener; what needs attention; which
    configuration was dropped, and why. `enough` is asked why the run is to end before its end ("": it is not)."""

    on_event: Callable[[Event], None]
    on_snapshot: Callable[[Snapshot], None]
    on_notice: Callable[[str], None]
    on_drop: Callable[[int, str], None]
    enough: Callable[[], str]


@dataclass
class Tally:
    """How cells came to their end, each told once; `known` were done before and are not told.

    A success after a failure takes its place: a board that was built anew tries a failed cell again. `dropped`:
    configurations that were beaten, and why.
    """

    known: frozenset[str]
    done: dict[str, Event] = field(default_factory=dict)
    failed: dict[str, Event] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)

    def take(self, event: Event) -> bool:
        """Note a cell's end; whether it is news."""
        if event.key in self.known or event.key in self.done:
            return False
        if event.summary is None:
            news = event.key not in self.failed
            self.failed[event.key] = event
            return news
        self.failed.pop(event.key, None)
        self.done[event.key] = event
        return True
