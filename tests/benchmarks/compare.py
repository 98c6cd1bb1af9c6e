"""python -m tests.benchmarks.compare [--configurations 1000] [--store DIR] [--formats …]: how long does a look take?

A store is filled with cells that no training made, of the size that real ones have: BYOL on three languages, five folds
of as many clips and speakers as URDU's, EMO-DB's and SUBESCO's, 250 rows of curves. Then `python -m
orchestrator.compare` is timed as a user starts it: the first look, which counts every prediction, and later ones.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from orchestrator.answers.rows import Candidate
from orchestrator.asked import Asked, write
from orchestrator.ledger import Ledger
from tests.synthetic_results import spec
from trainers.corpora.utterance import EMOTIONS
from trainers.result import Result
from trainers.scores import Score, score

FOLD = {"urdu": (80, 6), "german": (68, 2), "bangla": (800, 4), "english": (134, 5)}
"""Clips and speakers of a fold."""

LANGUAGES = ("urdu", "german", "bangla")
EVALUATORS = ("online", "early_stopped", "passive tau=0.99", "passive tau=0.996", "passive tau=0.999")
FOLDS = 5
LOOKS = 3


def cell(tau: float, language: str, fold: int, draws: np.random.Generator) -> Result:
    """A cell whose hit rate is anyone's guess."""
    tested = {name: clips(name, fold, draws) for name in (language, "english")}
    scores = {name: scored(rows) for name, rows in tested.items()}
    valid = {"hrl": scores["english"], "other-languages": scores[language]}
    parts = {"valid/hrl": valid["hrl"], f"test/{language}": scores[language]}
    history = [{"step": 20.0 * k, "loss/total": 1.0 / k, "tau": tau, "lambda": 0.5} for k in range(1, 251)]
    return Result(
        spec=spec(tau, language, fold),
        valid=valid,
        test=scores,
        secondary=dict.fromkeys(EVALUATORS, parts),
        facts={"target_initial_share": 0.01, "target_mean_age": 0.3, "agreement": 0.97, "best_step": 4000.0},
        history=history,
        predictions=[row for rows in tested.values() for row in rows],
        seconds={"training": 900.0},
        versions={"torch": "2.11"},
    )


def clips(language: str, fold: int, draws: np.random.Generator) -> list[dict[str, Any]]:
    count, speakers = FOLD[language]
    hits = draws.random(count) < draws.uniform(0.4, 0.7)
    guesses = draws.integers(0, 4, count)
    return [
        {
            "part": f"test/{language}",
            "id": f"{language}/wav/{fold}_{place:04d}.wav",
            "language": language,
            "speaker": f"{language}:{fold}{place // 4 % speakers}",
            "gender": ("female", "male")[place // 4 % 2],
            "emotion": EMOTIONS[place % 4],
            "predicted": place % 4 if hits[place] else int(guesses[place]),
            "online": int(guesses[place]),
        }
        for place in range(count)
    ]


def scored(rows: Sequence[dict[str, Any]]) -> Score:
    truth = np.array([EMOTIONS.index(row["emotion"]) for row in rows])
    return score(truth, np.array([row["predicted"] for row in rows]), [row["gender"] for row in rows])


def fill(store: Path, configurations: int) -> None:
    """All cells of so many values of τ, and the record of the sweep."""
    draws, ledger = np.random.default_rng(0), Ledger(store)
    candidates = []
    for number in range(configurations):
        tau = round(0.9 + 0.0999 * number / configurations, 6)
        results = [cell(tau, language, fold, draws) for fold in range(FOLDS) for language in LANGUAGES]
        for result in results:
            ledger.write(result)
        cells = {(r.spec.target, r.spec.fold, r.spec.seed): r.spec.key() for r in results}
        candidates.append(Candidate(f"tau={tau:g}", cells, {"tau": tau}, "BYOL"))
    write(store, asked(candidates))


def asked(candidates: Sequence[Candidate]) -> Asked:
    return Asked(
        sweep="benchmark",
        question="How long does a look take?",
        command="python -m tests.benchmarks.compare",
        at="2026-01-01T00:00:00+00:00",
        commit="",
        note="",
        protocol="none",
        folds_by="speaker",
        languages=LANGUAGES,
        held_out=("english",),
        selector="hrl",
        objective="mean",
        shared_speakers=(),
        folds=dict.fromkeys(LANGUAGES, FOLDS),
        reference=candidates[0].name,
        shows=(),
        configurations=tuple(candidates),
        floors=(),
    )


def look(store: Path, shape: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor that one look takes, from the start of Python to its end."""
    command = [sys.executable, "-m", "orchestrator.compare", "benchmark", "--store", str(store), "--format", shape]
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    took, after = time.perf_counter() - began, os.times()
    return took, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--store", type=Path, help="where the cells lie, and stay (default: a folder that goes)")
    parser.add_argument("--formats", nargs="+", default=["table", "csv", "markdown"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = chosen.store or Path(folder)
        if not (store / "cells").exists():
            fill(store, chosen.configurations)
        memory = store / "sweeps" / "benchmark" / "tallies.bin"
        memory.unlink(missing_ok=True)
        table = Table("look", "s", "s of processor", title=f"{chosen.configurations} configurations × 15 cells")
        table.add_row("first", *(f"{seconds:.2f}" for seconds in look(store, "table")))
        for shape in chosen.formats:
            for _ in range(LOOKS):
                table.add_row(f"later, {shape}", *(f"{seconds:.2f}" for seconds in look(store, shape)))
        Console().print(table)


if __name__ == "__main__":
    main()
