"""python -m tests.benchmarks [NAME …] [--device cpu|cuda]: the benchmarks of training speed, one after the other.

Each is a command of its own, too (`python -m tests.benchmarks.NAME`), as are those of this folder that are about other
things. Each gets a process of its own; nothing else may run beside. With a GPU they use it unless told otherwise.
"""

import argparse
import os
import subprocess
import sys

import torch

NAMES = {
    "front_end": "log-mels and augmentation; a BYOL step beside its encoder's own work",
    "own_script": "a BYOL step against a script written with transformers",
    "peers": "steps against the peer libraries' parts",
    "limit": "a step's arithmetic over the device's matrix rate",
    "data": "preparing and reading speech; what a step waits for",
    "ahead": "what a step waits for augmented views, without loaders and with them",
    "slopes": "cost against batch, clip length, width and layers",
    "several": "one cell on two ranks",
    "packed": "several small cells at once on one GPU",
    "whole": "a whole sweep against a loop over its cells, and two slots",
}


def main() -> int:
    listed = "\n".join(f"  {name:<12}{what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", epilog=listed, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of those below (all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: CUDA where there is a GPU")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; --device cpu, or leave it out")
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if asked.device == "cpu" else {})
    ended: dict[str, int] = {}
    for name in asked.names or NAMES:
        print(f"\n{name}: {NAMES[name]}", flush=True)
        ended[name] = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], env=environment).returncode
    for name in (name for name, code in ended.items() if code):
        print(f"{name} ended with {ended[name]}", file=sys.stderr)
    return int(any(ended.values()))


if __name__ == "__main__":
    sys.exit(main())
