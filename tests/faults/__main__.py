"""python -m tests.faults [--kills N] [--minutes M] [--seed S]: a soak, and its table."""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.soak import Kill, Soak


def table(soak: Soak) -> list[str]:
    """Kills by kind, as rows of Markdown."""
    kinds = sorted({kill.kind for kill in soak.done})
    rows = [_row(kind, [kill for kill in soak.done if kill.kind == kind]) for kind in kinds]
    return [
        "| killed | times | the command went on | was started again | hung | s until work went on: median, longest |",
        "|---|---|---|---|---|---|",
        *rows,
        _row("all", soak.done),
    ]


def _row(kind: str, kills: list[Kill]) -> str:
    took = [kill.recovered_s for kill in kills if kill.recovered_s is not None]
    ended = sum(kill.ended is not None for kill in kills)
    hung = sum(kill.hung for kill in kills)
    times = f"{statistics.median(took):.0f}, {max(took):.0f}" if took else "–"
    return f"| {kind} | {len(kills)} | {len(kills) - ended - hung} | {ended} | {hung} | {times} |"


def verdict(soak: Soak) -> list[str]:
    """What the sweeps came to, in a few lines."""
    found = soak.verdict
    counts = {name: len(getattr(found, name)) for name in ("lost", "doubled", "changed")}
    told = [
        f"{soak.sweeps} sweeps, {soak.starts} starts of the command; cells "
        + ", ".join(f"{name} {count}" for name, count in counts.items()),
        f"MLflow: {len(found.mirrored)} cells without exactly one finished run; left behind: {len(found.left)}",
    ]
    return told + [f"  {name}: {value}" for name, values in vars(found).items() for value in values]


def main() -> int:
    """0 where nothing was lost, doubled, changed or left, and nothing hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, help="keep stores and logs in this folder (short: Ray's sockets lie there)"
    )
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="soak"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    soak = Soak(folder.resolve(), asked.kills, asked.minutes, asked.seed, say=lambda line: print(line, flush=True))
    try:
        soak.run()
    finally:
        print(
            "\n".join([*table(soak), *verdict(soak), f"{time.monotonic() - began:.0f} s"]) if soak.done else "no kill"
        )
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if soak.verdict.is_clean and not any(kill.hung for kill in soak.done) else 1


if __name__ == "__main__":
    sys.exit(main())
