"""Sends from the ledger what MLflow lacks of a sweep: after a server was gone, or for a database that is new."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator import openings
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked, report_folder
from orchestrator.ledger import Ledger
from orchestrator.tracking.telling import described, settings_of, tell, tell_validated
from orchestrator.tracking.tracker import Tracker
from trainers.spec import CellSpec


class UnreachableError(Exception):
    """MLflow cannot be reached, or does not do what it is asked; the text is one line."""


@dataclass(frozen=True)
class Sent:
    """What a sync came to: cells `sent`, cells that MLflow had, cells that have no result yet; `tests`: why test scores
    are there, or are not."""

    record: str
    sent: int
    had: int
    missing: int
    tests: str

    def told(self) -> str:
        lacking = f", {self.missing} not run" if self.missing else ""
        return f"{self.record}: {self.sent} cells sent, {self.had} were there{lacking}; {self.tests}"


def sync(store: Path, asked: Asked, uri: str, *, tests: bool = False, said: Callable[[int, int], None]) -> Sent:
    """Mirror a sweep's record with all of its cells.

    Test scores are told where the store's log says that they were opened for these very cells since the sweep was
    asked; `tests` opens them, which is counted. `said`: is told how many cells of how many are done. Nobody else may
    write into the store meanwhile (`Ledger.lock`). UnreachableError; UserError for a tracking URI of unknown kind.
    """
    ledger = Ledger(store)
    keys = {key for one in asked.configurations for key in one.cells.values()}
    done = ledger.done(keys)
    settings = settings_of(asked, lambda key: _spec(ledger, key) if key in done else None)
    tracker = Tracker(uri, asked.sweep, described(asked), settings, failed=_unreachable)
    tracker.about(asked.digest, described(asked))
    sent = _send(asked, ledger, tracker, done, said)
    open_already = bool(done) and openings.covers(store, asked.sweep, done, asked.at)
    if open_already or (tests and done):
        tell(asked, ledger, answered(Ledger(store, counts=not open_already), asked), tracker)
        _send_report(store, asked, tracker)
    else:
        tell_validated(asked, ledger, tracker)
    return Sent(
        f"{asked.sweep}/{asked.digest}",
        sent,
        len(done) - sent,
        len(keys) - len(done),
        _told(open_already, tests and bool(done)),
    )


def _send(asked: Asked, ledger: Ledger, tracker: Tracker, done: set[str], said: Callable[[int, int], None]) -> int:
    """Send the cells that MLflow lacks; returns how many."""
    sent = seen = 0
    for one in asked.configurations:
        own = [key for key in one.cells.values() if key in done]
        there = tracker.logged(one.name, own) if own else set()
        for key in own:
            result = None if key in there else ledger.read(key)
            sent += result is not None and tracker.log(result, one.name)
            seen += 1
            said(seen, len(done))
    return sent


def _send_report(store: Path, asked: Asked, tracker: Tracker) -> None:
    folder = report_folder(store, asked)
    if folder.is_dir():
        tracker.files(folder)


def _spec(ledger: Ledger, key: str) -> CellSpec | None:
    result = ledger.light(key)
    return result.spec if result else None


def _told(open_already: bool, opened: bool) -> str:
    if open_already:
        return "test scores, as they were opened"
    return "test scores, opened now" if opened else "validation scores only: its test scores are sealed (--tests opens)"


def _unreachable(told: str) -> None:
    raise UnreachableError(told)
