"""A cluster's slots as threads of a few processes, for benchmarks of more slots than a machine has room for.

Everything else is real: the driver (`run_missing`: engine, tally, display, mirror), Ray, the board's actor, Tune's
trials, and the protocol, since each thread is the very `_Worker` that a slot's process is, with its heartbeat. A cell
sleeps and writes a small result into the ledger.
"""

import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
from ray import tune

from orchestrator import engine
from orchestrator.answer import Answer
from orchestrator.choosing import Choice
from orchestrator.cluster import list_nodes
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.outcome import Outcome
from orchestrator.plan import Request, plan
from orchestrator.run import Means, run_missing
from orchestrator.work import Work, summary
from orchestrator.worker import _Worker
from search_spaces import Sweep
from tests.benchmarks.processes import SAMPLE_S, Sample, Watched, threads_cpu_s
from tests.synthetic_results import drawn, result, spec
from tests.unheard import Unheard, ground, unheard_demo
from trainers.methods.configs import ByolConfig
from trainers.result import Result
from trainers.spec import CellSpec

LANGUAGES = ("demo-arda", "demo-bela")
FOLDS = 5
SIGMA = 0.6
"""Of the logarithm of the cells' lengths."""
IN_A_PROCESS = 64
"""Threads; such a process takes .4 GB whatever their number."""
PROBE_S = 0.1

Span = tuple[str, float, float]
"""Slot, beginning, end of a cell."""


def answer_of(
    store: Path, configurations: int, seeds: int, race: bool | None = False, languages: tuple[str, ...] = LANGUAGES
) -> Answer:
    """A sweep of so many momenta: five cells a seed and language."""
    values = [round(0.99 + 0.009 * number / configurations, 8) for number in range(configurations)]
    sweep = Sweep("?", ByolConfig(), axes={"tau": tune.grid_search(values)}, seeds=tuple(range(seeds)))
    place = _ground()
    made = plan("simulated", sweep, place, Request(languages=languages))
    return Answer(sweep, place, made, Ledger(store), None, "simulated", Choice(race=race))


@dataclass
class Silent(Unheard):
    """Clips without sound, prepared nowhere."""

    paths: tuple[Path, ...] = ()


def _ground() -> Ground:
    return ground(speech=Silent(unheard_demo().utterances))


def length_s(key: str, mean_s: float) -> float:
    """How long a cell sleeps: log-normal, drawn by its key."""
    normal = statistics.NormalDist().inv_cdf((int(key[:12], 16) + 0.5) / 16**12)
    return mean_s * math.exp(SIGMA * normal - SIGMA**2 / 2)


def typical(of: CellSpec) -> Result:
    """A small result: two languages, three validations."""
    draws = np.random.default_rng(0)
    scores = {name: drawn(0.5, 40, draws) for name in (*LANGUAGES, "home")}
    return replace(result(of, drawn(0.6, 80, draws), scores), seconds={"total": 1200.0, "training": 1100.0})


@dataclass(frozen=True)
class Sleeping:
    """Makes the work of one slot: sleep, write the result, tell the board. `spans` takes in what was done when."""

    store: Path
    mean_s: float
    spans: list[Span]

    def __call__(self) -> Work:
        ledger, like = Ledger(self.store), None

        def work(
            payload: dict[str, Any], report: Callable[[int, int, str], None], _: Callable[[], bool]
        ) -> dict[str, Any]:
            nonlocal like
            began = time.time()
            own = CellSpec.from_dict(payload)
            like = like or typical(own)
            report(1, 2, "training")
            time.sleep(max(0.0, length_s(own.key(), self.mean_s) - (time.time() - began)))
            ledger.write(replace(like, spec=own))
            self.spans.append((threading.current_thread().name, began, time.time()))
            return summary(like, "hrl")

        return work


@dataclass
class Counted:
    """The board as a client sees it; `asked` counts the requests that it sends."""

    board: Any
    asked: list[int]

    def __getattr__(self, name: str) -> Any:
        self.asked[0] += 1
        return getattr(self.board, name)


def _warm_up(store: Path) -> None:
    """What a process does once, before its first cell."""
    import torch

    torch.set_num_threads(1)
    with TemporaryDirectory(dir=store) as scratch:
        Ledger(Path(scratch)).write(typical(spec()))


class Lanes:
    """A process with many slots: each thread lives as a slot does."""

    def __init__(self, board: Any, slots: Sequence[str], store: Path, mean_s: float) -> None:
        self.spans: list[Span] = []
        self._asked = [[0] for _ in slots]
        make_work = Sleeping(store, mean_s, self.spans)
        self._threads = [
            threading.Thread(target=self._live, args=(Counted(board, asked), slot, make_work), name=slot, daemon=True)
            for slot, asked in zip(slots, self._asked, strict=True)
        ]
        _warm_up(store)

    def start(self) -> int:
        """Returns the process's number."""
        for thread in self._threads:
            thread.start()
        return os.getpid()

    def finished(self) -> tuple[list[Span], int]:
        """What was done, and how many requests the board got from here."""
        return list(self.spans), sum(asked[0] for asked in self._asked)  # a list that grows cannot be sent

    @staticmethod
    def _live(board: Any, slot: str, make_work: Callable[[], Work]) -> None:
        worker = _Worker(board, slot, make_work)
        while cell := worker.take():
            worker.run(cell)


class Probe:
    """One more client: how long a heartbeat of a cell that nobody knows takes, ten times a second."""

    def __init__(self, board: Any) -> None:
        self._board, self._took_s = board, list[tuple[float, float]]()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> int:
        self._thread.start()
        return os.getpid()

    def finished(self) -> list[tuple[float, float]]:
        """When, and how many seconds it took."""
        return list(self._took_s)

    def _ask(self) -> None:
        while True:
            began = time.perf_counter()
            ray.get(self._board.beat.remote("probe", 0, "", 0, 0, ""))
            self._took_s.append((time.time(), time.perf_counter() - began))
            time.sleep(PROBE_S)


@dataclass
class Crew:
    """In the place of `orchestrator.slots.Slots`: as many simulated slots as wanted, which come at once."""

    board: Any
    slots: int
    store: Path
    mean_s: float
    need: str = "nothing"
    error: BaseException | None = None
    closing: bool = False
    spans: list[Span] = field(default_factory=list)
    requests: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    _lanes: list[Any] = field(default_factory=list)
    _probe: Any = None

    def tend(self) -> None:
        list_nodes()  # as the real one asks at each poll
        if self._lanes:
            return
        names = [f"{number // 8}.{number % 8}" for number in range(self.slots)]
        parts = [names[first : first + IN_A_PROCESS] for first in range(0, len(names), IN_A_PROCESS)]
        remote = ray.remote(num_cpus=0)
        self._lanes = [remote(Lanes).remote(self.board, part, self.store, self.mean_s) for part in parts]
        self._probe = remote(Probe).remote(self.board)
        ray.get([one.start.remote() for one in [*self._lanes, self._probe]])

    def join(self, timeout_s: float) -> None:
        """Slots end when the board is closed."""

    def end(self) -> None:
        """Take in what the clients have to tell, before their Ray ends."""
        told = ray.get([lanes.finished.remote() for lanes in self._lanes], timeout=60)
        self.spans = [span for spans, _ in told for span in spans]
        self.requests = sum(asked for _, asked in told)
        self.latencies = ray.get(self._probe.finished.remote(), timeout=60)
        for one in [*self._lanes, self._probe]:
            ray.kill(one)


@dataclass
class Sampled:
    """In the place of a `Tracker`: passes on one result in so many, since time is compressed and MLflow is not."""

    tracker: Any
    every: int
    asked: int = 0
    sent: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tracker, name)

    def log(self, one: Result, configuration: str) -> bool:
        self.asked += 1
        if self.asked % self.every:
            return True
        self.sent += 1
        return bool(self.tracker.log(one, configuration))


@dataclass(frozen=True)
class Ran:
    """A simulated sweep: the driver's outcome, its crew with what the slots told, and the samples."""

    outcome: Outcome
    crew: Crew
    samples: Sequence[Sample]
    driver_cpu_s: float
    threads: Mapping[str, float]


def simulate(answer: Answer, tracker: Any, slots: int, mean_s: float) -> Ran:
    """Run all cells of an answer whose ledger is empty, on so many simulated slots."""
    crews: list[Crew] = []
    threads: dict[str, float] = {}

    def crew(board: Any, *_: object, **__: object) -> Crew:
        crews.append(Crew(board, slots, answer.ledger.store, mean_s))
        return crews[-1]

    def busy(running: int) -> None:
        counted[0] = running
        if time.monotonic() - looked[0] > SAMPLE_S:  # threads that end take their account with them
            looked[0] = time.monotonic()
            threads.update(threads_cpu_s())

    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would starve the board by what else runs here
    counted, looked = [0], [0.0]
    real, before = engine.Slots, time.process_time()
    engine.Slots = crew
    try:
        with Watched(lambda: counted[0]) as watched:
            _, outcome = run_missing(answer, tracker, Means(slots=2, canary=False, busy=busy))
    finally:
        engine.Slots = real
    return Ran(outcome, crews[0], watched.samples, time.process_time() - before, threads)


def busy_share(spans: Iterable[Span], slots: int) -> float:
    """Of the time between the first cell's beginning and the last one's end, over all slots."""
    began, ended = zip(*((one[1], one[2]) for one in spans), strict=True)
    return float((sum(ended) - sum(began)) / (slots * (max(ended) - min(began))))


def gaps_s(spans: Iterable[Span]) -> list[float]:
    """Seconds between two cells of a slot."""
    lanes: dict[str, list[tuple[float, float]]] = {}
    for slot, began, ended in sorted(spans, key=lambda span: span[1]):
        lanes.setdefault(slot, []).append((began, ended))
    return [after[0] - before[1] for lane in lanes.values() for before, after in pairwise(lane)]
