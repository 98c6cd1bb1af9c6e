"""Results and stages of a bucket that were set aside: each working copy drops its own once it hears of that.

`set_aside/<time>-<word>/keys.json` lists the keys; `set_aside.heeded`, in a working copy, the lists that it knows.
"""

import fcntl
import json
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from trainers.stores import bucket_of

KEY = re.compile(r"[0-9a-f]{64}")
FOLDER, LIST = "set_aside", "keys.json"


def withdraw(store: Path, keys: Iterable[str]) -> str:
    """Tell all working copies that these results and stages do not count any more. Returns the folder, below the bucket
    behind the store, where they go."""
    folder = f"{FOLDER}/{datetime.now():%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    listed = sorted(keys)
    if (bucket := bucket_of(store)) and listed:
        bucket.put(f"{folder}/{LIST}", json.dumps(listed).encode())
    return folder


def heed(store: Path) -> None:
    """Drop what was withdrawn on another node. What has been done anew since then comes back when it is asked for."""
    bucket = bucket_of(store)
    if bucket is None:
        return
    with (store / f"{FOLDER}.heeded").open("a+") as heeded:
        fcntl.flock(heeded, fcntl.LOCK_EX)
        heeded.seek(0)
        known = set(heeded.read().split())
        for name in sorted(set(bucket.list(FOLDER)) - known):
            if name.endswith(f"/{LIST}"):
                with suppress(ValueError):
                    _drop(store, json.loads(bucket.get(name) or b"[]"))
                print(name, file=heeded, flush=True)


def _drop(store: Path, keys: Iterable[object]) -> None:
    """Only what is a key becomes a path: whoever may write to a bucket is not trusted with files."""
    for key in filter(KEY.fullmatch, (key for key in keys if isinstance(key, str))):
        for ending in (".json", ".details.json.gz"):
            (store / "cells" / key[:2] / f"{key}{ending}").unlink(missing_ok=True)
        shutil.rmtree(store / "stages" / key[:2] / key, ignore_errors=True)
        shutil.rmtree(store / "checkpoints" / key, ignore_errors=True)
