"""`python -m trainers.corpora ROOT`: what is in a folder of corpora, and what of it can be used."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from trainers.corpora import CORPORA
from trainers.corpora.prepared import refuse_unreadable
from trainers.corpora.scan import Scan, scan
from trainers.corpora.summary import show, summarise
from trainers.errors import UserError, require


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 2 and one line on standard error where ROOT is wrong or more files are unreadable than `--max-bad` allows."""
    parser = argparse.ArgumentParser(prog="python -m trainers.corpora", description=__doc__)
    parser.add_argument("root", metavar="ROOT", type=Path, help=f"folder with {', '.join(CORPORA)}, or some of them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--max-bad", type=int, default=0, metavar="N", help="unreadable files allowed (default 0)")
    given = parser.parse_args(arguments)
    try:
        require(given.max_bad >= 0, "--max-bad", given.max_bad, "at least 0")
        found = scan_all(given.root)
        summaries = [summarise(each) for each in found]
        if given.json:
            print(json.dumps(summaries, indent=2))
        else:
            show(summaries, Console())
        refuse_unreadable({path: why for each in found for path, why in each.unreadable.items()}, given.max_bad)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def scan_all(root: Path) -> list[Scan]:
    """Every known corpus that has its folder in `root`, each file decoded once; UserError where there is none."""
    if not root.is_dir():
        raise UserError(f"data root {str(root)!r} is not a folder")
    present = [corpus for corpus in CORPORA.values() if (root / corpus.folder).is_dir()]
    if not present:
        folders = ", ".join(corpus.folder for corpus in CORPORA.values())
        raise UserError(f"no corpus in {root}; it must hold at least one of the folders {folders}")
    return [scan(root, corpus, thorough=True) for corpus in present]


if __name__ == "__main__":
    sys.exit(main())
