"""python -m tests.fuzz: so many inputs of every kind, and what was found."""

import argparse
import faulthandler
import sys
import time
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.fuzz.running import KINDS, Found, fuzzed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=10_000, help="of all kinds together (10000)")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    faulthandler.enable()
    weights = sum(KINDS[kind].share for kind in asked.kinds)
    failures: list[Found] = []
    total = 0
    with TemporaryDirectory(prefix="foldwise-fuzz-") as home:
        for kind in asked.kinds:
            began = time.monotonic()
            found = fuzzed(kind, ceil(asked.inputs * KINDS[kind].share / weights), Path(home), asked.seed)
            counts = ", ".join(f"{count} {answer}" for answer, count in sorted(found.counts.items()))
            total += sum(found.counts.values())
            print(f"{'✗' if found.failures else '✓'} {kind}: {counts} in {time.monotonic() - began:.0f} s", flush=True)
            for failure in found.failures:
                print(f"    {failure}", flush=True)
            failures += [found] if found.failures else []
    print(f"{total} inputs, {sum(len(each.failures) for each in failures)} found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
