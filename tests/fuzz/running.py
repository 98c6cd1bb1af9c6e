"""The kinds of input, and how many of one kind are tried."""

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from orchestrator.ground import Places, find
from tests.fuzz import damage, files, stored, words
from tests.fuzz.judging import answered

Try = Callable[[Any, Path], str]


@dataclass(frozen=True)
class Kind:
    """Where inputs come from (`made`), what is done with one in a folder of its own (`tried`, given a store with the
    demo in it), and its share of all inputs."""

    made: Callable[[], st.SearchStrategy[Any]]
    tried: Callable[[Path], Try]
    share: float = 1.0


def _always(tried: Try) -> Callable[[Path], Try]:
    return lambda _store: tried


KINDS: dict[str, Kind] = {
    "audio": Kind(files.audio, _always(files.hear), 3),
    "manifest": Kind(lambda: files.manifests, _always(files.list_manifest), 3),
    "parquet": Kind(lambda: damage.of(files.parquet()), _always(files.list_parquet)),
    "labels": Kind(lambda: files.labels, _always(files.read_labels), 2),
    "settings": Kind(lambda: words.configured, _always(words.configure), 3),
    "command lines": Kind(lambda: words.lines, words.command, 2),
    "sweep files": Kind(lambda: words.modules, words.plan_module, 0.5),
    "results": Kind(stored.results, _always(stored.load_result), 2),
    "stages": Kind(stored.stage_files, _always(stored.load_stage)),
    "checkpoints": Kind(stored.checkpoints, _always(stored.load_checkpoint)),
    "sweep records": Kind(stored.sweep_records, _always(stored.look), 0.5),
    "bundles": Kind(stored.bundles, _always(stored.take_bundle), 0.5),
    "models": Kind(stored.models, _always(stored.ask_model), 0.5),
    "memories": Kind(stored.memories, _always(stored.remember)),
}


PLANNED = ("command lines", "sweep files")
"""Kinds for which the demo is made first."""


@dataclass
class Found:
    """How inputs were answered, and the smallest of those that were answered badly, one of each fault."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def fuzzed(kind: str, inputs: int, home: Path, start: int = 0) -> Found:
    """Try so many inputs of a kind, always the same ones for a `start`."""
    told: dict[str, str] = {}
    tried = KINDS[kind].tried(_demo(home) if kind in PLANNED else home)
    found = Found()

    @seed(start)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind].made())
    def each(given_input: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="x", dir=home) as folder:
            try:
                found.counts[answered(lambda: tried(given_input, Path(folder)))] += 1
            except Exception as error:
                found.counts["badly"] += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                fault = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
                line = f"{fault}: {str(error)[:300]!r} of {_short(given_input)}"
                told[fault] = min(told.get(fault, line), line, key=len)

    each()
    found.failures += told.values()
    return found


def _short(given_input: Any) -> str:
    text = repr(given_input)
    return text if len(text) <= 700 else f"{text[:500]} … {text[-200:]}"


@cache
def _demo(home: Path) -> Path:
    """A store that has the demo prepared."""
    find(Places(home / "demo", None, None, "demo"), lambda _: None)
    return home / "demo"
