"""What all commands have in common: bad words are told in one line, and credentials are not told at all."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from trainers import stores
from trainers.credentials import masked
from trainers.errors import UserError, require

PATHS = ("data", "encoder", "protocol", "name", "names", "model", "high", "low", "held_out", "adaptation")
"""Words beside those of type Path that become parts of paths."""

LONGEST_PART = 255
"""Bytes of a file's name on the usual file systems."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{' '.join(message.splitlines())} (--help lists the options)")

    # argparse declares overloads for other namespaces, which no command uses
    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """As argparse's, but `--tracking-uri` comes without its user and password (`without_credentials`), and the
        process forgets the words that it was called with as far as they are secret: Ray keeps them."""
        found: argparse.Namespace = super().parse_args(args, namespace)
        if args is None:
            sys.argv[1:] = map(masked, sys.argv[1:])
        for name, value in vars(found).items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, Path) or (isinstance(each, str) and name in PATHS):
                    _require_path(name, str(each))
        if getattr(found, "tracking_uri", None):
            found.tracking_uri = without_credentials(found.tracking_uri)
        return found


def add_store(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """`--store`: a folder, or the URL of a bucket; either way the command gets a folder to work in."""
    told = "folder of results, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX (default: runs)"
    parser.add_argument("--store", type=stores.given, default=Path("runs"), metavar="DIR_OR_URL", help=told)


def _require_path(name: str, word: str) -> None:
    """UserError for what no file can be called: Python would raise another error wherever it is first looked for."""
    try:
        parts = os.fsencode(word).split(b"/")
    except UnicodeEncodeError:
        parts = [b"\0"]
    sound = all(len(part) <= LONGEST_PART and b"\0" not in part for part in parts) and len(word) < 4096
    require(sound, name.replace("_", "-"), word, f"a name of files, at most {LONGEST_PART} bytes without a NUL")


def without_credentials(uri: str) -> str:
    """A server's address without user and password, which go to where MLflow looks for them: the environment.

    A database's address keeps them, since its driver takes them from nowhere else; it is `masked` where it is told.
    """
    try:
        parts = urlsplit(uri)
        user, password = parts.username, parts.password
    except ValueError as error:
        raise UserError(f"tracking URI {masked(uri)!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not user or not password:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
