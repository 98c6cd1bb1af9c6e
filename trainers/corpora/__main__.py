"""`python -m trainers.corpora ROOT`: what is in a folder of corpora, and what of it can be used."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from trainers.corpora import CORPORA
from trainers.corpora.manifest import is_manifest, manifest_corpus
from trainers.corpora.prepared import refuse_unreadable
from trainers.corpora.scan import Scan, scan
from trainers.corpora.summary import show, summarise
from trainers.corpora.utterance import Corpus
from trainers.errors import UserError, require


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 2 and one line on standard error where ROOT is wrong or more files are unreadable than `--max-bad` allows."""
    parser = argparse.ArgumentParser(prog="python -m trainers.corpora", description=__doc__)
    there = f"folder with {', '.join(_folders())}, folders with a manifest, or some of them"
    parser.add_argument("root", metavar="ROOT", type=Path, help=there)
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
    """Every known corpus that has its folder in `root`, and every folder with a manifest, each file decoded once.

    UserError: there is none, or the label files or the manifest of one have something wrong in them.
    """
    if not root.is_dir():
        raise UserError(f"data root {str(root)!r} is not a folder")
    known = [corpus for corpus in _by_folder().values() if (root / corpus.folder).is_dir()]
    own = sorted(path.name for path in root.iterdir() if is_manifest(path) and path.name not in _folders())
    present = known + [manifest_corpus(root, folder) for folder in own]
    if not present:
        folders = ", ".join(_folders())
        raise UserError(f"no corpus in {root}; it must hold at least one of the folders {folders}, or a manifest's")
    return [scan(root, corpus, thorough=True) for corpus in present]


def _by_folder() -> dict[str, Corpus]:
    """Each folder's first corpus; another one may read the same recordings otherwise (`ravdess_calm`)."""
    return {corpus.folder: corpus for corpus in reversed(CORPORA.values())}


def _folders() -> list[str]:
    return sorted(_by_folder())


if __name__ == "__main__":
    sys.exit(main())
