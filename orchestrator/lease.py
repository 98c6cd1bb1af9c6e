"""Who may write to a store: a file that is locked; in a bucket also an object that its holder creates, and writes anew
as long as it lives.

An object whose holder has been silent for `STALE_S` may be taken over, by one taker. All times are the server's.
"""

import fcntl
import json
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from uuid import uuid4

from orchestrator import records
from trainers import stores
from trainers.bucket import Bucket
from trainers.errors import UserError

LOCK = "sweep.lock"
BEAT_S, STALE_S = 20.0, 120.0
"""Seconds between two signs of life, and of silence after which a holder counts as dead."""


@contextmanager
def locked(store: Path, name: str, since: str) -> Iterator[None]:
    """Hold a store for the sweep `name`; UserError that says who holds it where somebody does."""
    path = store / LOCK
    with records.writing(path):
        file = path.open("a+")
    with file:
        _claim(file.fileno(), path)
        me = json.dumps({"sweep": name, "pid": os.getpid(), "host": socket.gethostname(), "since": since})
        with records.writing(path):
            file.truncate(0)
            print(me, file=file, flush=True)
        try:
            with held(store, me, lambda told: _refusal(store, told)):
                yield
        finally:
            file.truncate(0)


def _claim(number: int, path: Path) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        told = ""
        with suppress(OSError):
            told = path.read_text()
        raise UserError(_refusal(path.parent, told)) from error


def _refusal(store: Path, told: str) -> str:
    try:
        who = json.loads(told)
        holder = f"sweep {who['sweep']!r} (process {who['pid']} on {who['host']}, since {who['since']})"
    except (ValueError, KeyError, TypeError):
        holder = "another sweep that is just starting"
    return f"store {stores.told(store)!r} is held by {holder}; wait for it, stop it, or choose another --store"


@contextmanager
def held(
    store: Path, who: str, refusal: Callable[[str], str], *, beat_s: float = BEAT_S, stale_s: float = STALE_S
) -> Iterator[None]:
    """Hold the bucket behind a store, where there is one; within this nobody else does.

    `who`: JSON that names this holder; `refusal`: what a UserError says, of the JSON that names the other one. The
    working copy must be this process's alone: a lock of the same copy is that of a process that died. If another
    takes the store over after all, since this one was silent for long, this process is interrupted as by Ctrl-C, or
    ended (SIGTERM) where it is deaf to that.
    """
    bucket = stores.bucket_of(store)
    if bucket is None:
        yield
        return
    mine = _Lease(bucket, json.dumps({"who": who, "copy": stores.copy_of(store), "token": uuid4().hex}).encode())
    if not (bucket.create(LOCK, mine.content) or mine.takes_over(stores.copy_of(store), stale_s)):
        raise UserError(refusal(_told(bucket.get(LOCK), "who")))
    ended = threading.Event()
    beating = threading.Thread(target=mine.beat, args=(ended, beat_s), daemon=True, name="store's lock")
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join(5.0)
        with suppress(UserError):  # it goes stale by itself
            mine.leave()


@dataclass(frozen=True)
class _Lease:
    bucket: Bucket
    content: bytes

    def takes_over(self, copy: str, stale_s: float) -> bool:
        """Whether the lock that is there was its holder's last word, and of all who see that we are the one."""
        theirs, about = self.bucket.get(LOCK), self.bucket.about(LOCK)
        if theirs is None or about is None:
            return self.bucket.create(LOCK, self.content)
        silent_s = (self.bucket.now() - about.modified).total_seconds()
        if _told(theirs, "copy") != copy and silent_s < stale_s:
            return False
        claim = self._claim(_told(theirs, "token"), stale_s)
        if not claim or self.bucket.get(LOCK) != theirs:
            return False
        self.bucket.put(LOCK, self.content)
        return True

    def _claim(self, token: str, stale_s: float) -> bool:
        """Whether it is up to us to follow the holder of `token`. A claim stays, so that nobody comes late to it; one
        whose taker died before it wrote the lock is followed by the next."""
        for number in count():
            claim = f"{LOCK}.after/{token}-{number}"
            if self.bucket.create(claim, self.content):
                return True
            taker = self.bucket.about(claim)
            if taker is None or (self.bucket.now() - taker.modified).total_seconds() < stale_s:
                return False
        raise AssertionError

    def beat(self, ended: threading.Event, beat_s: float) -> None:
        """Show that we live; a server that is away hears of it later."""
        quick = replace(self.bucket, patience_s=min(self.bucket.patience_s, beat_s))
        while not ended.wait(beat_s):
            with suppress(UserError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                now = quick.get(LOCK)
                if now is not None and now != self.content:
                    os.kill(os.getpid(), _interrupting())
                    return
                quick.put(LOCK, self.content)

    def leave(self) -> None:
        if self.bucket.get(LOCK) == self.content:
            self.bucket.delete(LOCK)


def _interrupting() -> signal.Signals:
    """The signal that interrupts this process: a shell's background jobs are deaf to Ctrl-C's."""
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None) else signal.SIGINT


def _told(content: bytes | None, name: str) -> str:
    try:
        return str(json.loads(content or b"")[name])
    except (ValueError, KeyError, TypeError):
        return ""
