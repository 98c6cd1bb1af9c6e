"""Checkpoints of a store in a bucket: sent after each epoch, so that a training goes on where its node was taken away.

`<store>/checkpoints/<key>/last.pt`. Beside it `last.pt.sent` says which version of it in the bucket this node knows:
any other is another node's, and newer. Below a plain folder nothing is sent.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from trainers.stores import bucket_of

NAME = "last.pt"
PATIENCE_S = 10.0
"""How long a training waits for a server to take its checkpoint."""


def share(file: Path) -> None:
    """Send a checkpoint, over the one before, and note which version that is; UserError where that fails."""
    bucket = bucket_of(file.parents[2]) if len(file.parents) > 2 else None
    if bucket:
        bucket = replace(bucket, patience_s=min(PATIENCE_S, bucket.patience_s))
        bucket.send(_key(file.parent), file)
        if told := bucket.about(_key(file.parent)):
            _note(file).write_text(told.version)


def take(file: Path) -> None:
    """Fetch a checkpoint if another node has written it since this one last sent it; else what is here is as new."""
    bucket = bucket_of(file.parents[2]) if len(file.parents) > 2 else None
    if bucket is None:
        return
    known = _note(file).read_text() if _note(file).is_file() and file.is_file() else ""
    found = bucket.about(_key(file.parent))
    if found and found.version != known and bucket.fetch(_key(file.parent), file):
        _note(file).write_text(found.version)


def forget(folder: Path) -> None:
    """Remove the checkpoint of a cell or stage, here and in the bucket."""
    shutil.rmtree(folder, ignore_errors=True)
    if bucket := bucket_of(folder.parents[1]):
        bucket.delete(_key(folder))


def _key(folder: Path) -> str:
    return f"checkpoints/{folder.name}/{NAME}"


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.sent")
