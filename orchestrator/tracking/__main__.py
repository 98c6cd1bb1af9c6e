"""The command that fills MLflow from the ledger.

python -m orchestrator.tracking sync [NAME …] [--store runs] [--tracking-uri URI] [--tests]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from orchestrator.asked import Asked, named, sweeps
from orchestrator.command_line import Parser, add_store
from orchestrator.ledger import Ledger
from orchestrator.tracking.sync import UnreachableError, sync
from orchestrator.tracking.tracker import default_uri
from trainers.errors import UserError


def main(words: Sequence[str] | None = None) -> int:
    """0: MLflow has all of it; 1: it cannot be reached; 2: bad input. Errors are one line."""
    try:
        asked = _parser().parse_args(words)
        store = asked.store.expanduser()
        names = asked.names or sweeps(store)
        if not names:
            raise UserError(f"no sweep has left a record in store {str(store)!r}")
        send(store, [named(store, name)[0] for name in names], asked.tracking_uri, asked.tests)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(f"error: {error}; the same command goes on from there", file=sys.stderr)
        return 1
    return 0


def send(store: Path, found: Sequence[Asked], uri: str | None, tests: bool = False) -> None:
    """Mirror records of sweeps, one after the other, and say what was sent. Errors as `sync`; UserError where a sweep
    writes into the store."""
    console, errors = Console(), Console(stderr=True)
    with Ledger(store).lock("sync"):
        for asked in found:
            with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
                task = progress.add_task(asked.sweep)
                sent = sync(
                    store,
                    asked,
                    uri or default_uri(store),
                    tests=tests,
                    said=lambda seen, of: progress.update(task, completed=seen, total=of),  # noqa: B023
                )
            console.print(sent.told(), markup=False, highlight=False, soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m orchestrator.tracking",
        description="Fill MLflow from the ledger: what a server missed, or a whole database.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="sync")
    sending = commands.add_parser("sync", help="send what MLflow lacks; a second time adds nothing")
    sending.add_argument(
        "names", nargs="*", metavar="NAME", help="sweeps, or NAME/DIGEST (default: all, the newest of each)"
    )
    add_store(sending)
    sending.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    sending.add_argument(
        "--tests", action="store_true", help="test scores too, even if nobody opened them yet; counted"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
