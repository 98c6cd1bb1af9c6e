"""python -m tests.hosts [--steps N] [--keep FOLDER]: `ray up` on three machines of namespaces, told as a table."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.hosts.machines import CODE, apart, enter, impossible


def main() -> int:
    """0: all went right; 1: something did not; 2: there can be no such machines here."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("--steps", type=int, help="of each cell")
    parser.add_argument("--keep", type=Path, help="keep stores and logs in this folder")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return _play(asked.inside.resolve(), asked.steps)
    if why := impossible():
        print(f"no machines: {why}", file=sys.stderr)
        return 2
    steps = [] if asked.steps is None else ["--steps", str(asked.steps)]
    with tempfile.TemporaryDirectory(prefix="hosts", ignore_cleanup_errors=True) as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        also = os.environ.get("PYTHONPATH", "")
        environment = {**os.environ, "HOSTS_ALSO": also, "PYTHONPATH": f"{CODE}:{also}"}
        return apart([sys.executable, "-m", "tests.hosts", "--inside", str(folder), *steps], environment)


def _play(folder: Path, steps: int | None) -> int:
    from tests.hosts.story import STEPS, Story

    story = Story(enter(folder), lambda line: print(line, flush=True), steps or STEPS, os.environ.get("HOSTS_ALSO", ""))
    right = False
    try:
        right = story.play()
    finally:
        print("\n".join(["| what | s | found | |", "|---|---|---|---|"]))
        for what, seconds, found, good in story.seen:
            print(f"| {what} | {seconds:.0f} | {found} | {'✓' if good else '✗'} |", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
