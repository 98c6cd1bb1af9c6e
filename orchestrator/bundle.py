"""A sweep as one file, to carry between a cluster that has no server and a laptop.

    python -m orchestrator.bundle export NAME [--out FILE] [--store runs]
    python -m orchestrator.bundle import FILE [--store runs] [--tracking-uri URI]

A gzipped tar of plain files: `bundle.json` (schema, sweep, and the SHA-256 and size of every other file), the sweep's
records, its cells' results, its part of the log of openings and its reports. The same results make the same bytes.
"""

import gzip
import hashlib
import io
import sys
import tarfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator import openings, records
from orchestrator.asked import Asked, named, report_folder
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import Ledger
from orchestrator.tracking.__main__ import send
from orchestrator.tracking.sync import UnreachableError
from orchestrator.unbundling import HEAD, LOG, SCHEMA, take
from trainers import stores
from trainers.errors import UserError

Content = Path | bytes


def export(store: Path, name: str, out: Path | None = None) -> Path:
    """Write a sweep's bundle, whole or not at all; returns where. `NAME` takes all records of a sweep, `NAME/DIGEST`
    one. UserError where there is no such sweep, or the file cannot be written."""
    found = named(store, name)
    path = out or Path(f"{name.replace('/', '-')}.foldwise.tar.gz")
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            with partial.open("wb") as file:
                _pack(file, found[0].sweep, dict(_files(store, found)))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    return path


def _files(store: Path, found: Sequence[Asked]) -> Iterator[tuple[str, Content]]:
    """Name in the bundle -> what it holds. Only results whose checksums fit."""
    ledger, sweep = Ledger(store), found[0].sweep
    for asked in found:
        yield f"sweeps/{asked.digest}.json", store / "sweeps" / sweep / f"{asked.digest}.json"
        folder = report_folder(store, asked)
        stores.pull(store, folder.relative_to(store).as_posix())
        ledger.bring(asked.keys)
        for path in (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            yield f"reports/{asked.digest}/{path.relative_to(folder).as_posix()}", path
    for key in frozenset[str]().union(*(asked.keys for asked in found)):
        if ledger.read(key) is not None:
            record = ledger.path(key)
            yield from ((f"cells/{path.name}", path) for path in (record, records.details_path(record)))
    yield LOG, "".join(f"{line}\n" for line in openings.lines(store, sweep)).encode()


def _pack(file: BinaryIO, sweep: str, files: Mapping[str, Content]) -> None:
    """The archive: no times, no owners, names in order."""
    about = {name: _about(_read(content)) for name, content in files.items()}
    head = records.canonical({"schema": SCHEMA, "sweep": sweep, "files": about}).encode()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in ((HEAD, head), *sorted(files.items())):
            told = _read(content)
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(told), 0o644
            archive.addfile(member, io.BytesIO(told))


def _read(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _about(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def main(words: Sequence[str] | None = None) -> int:
    """0: done; 1: all is in the ledger, but MLflow cannot be reached; 2: bad input. Errors are one line."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        asked = _parser().parse_args(words)
        store = asked.store.expanduser()
        if asked.command == "export":
            path = export(store, asked.name, asked.out)
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        else:
            stores.pull(store, "sweeps")
            taken = take(store, asked.file)
            for one in taken.found:
                stores.push(store, report_folder(store, one).relative_to(store).as_posix())
            print(taken.told())
            send(store, taken.found[:1], asked.tracking_uri)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(
            f"error: {error}; the ledger has all of it, and python -m orchestrator.tracking sync sends it",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m orchestrator.bundle", description="Carry a sweep from one store to another.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="export | import")
    out = commands.add_parser("export", help="write a sweep's results, record, report and openings to one file")
    out.add_argument("name", metavar="NAME", help="a sweep that was run; NAME/DIGEST only that record of it")
    out.add_argument("--out", type=Path, metavar="FILE", help="where to (default: NAME.foldwise.tar.gz)")
    taking = commands.add_parser("import", help="take a bundle into a store and mirror it to MLflow")
    taking.add_argument("file", type=Path, metavar="FILE", help="what export wrote")
    taking.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    for each in (out, taking):
        add_store(each)
    return parser


if __name__ == "__main__":
    sys.exit(main())
