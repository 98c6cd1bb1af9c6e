"""Search by TPE: Optuna, through Ray Tune, proposes each next configuration from what the earlier ones came to.

Tune's trials propose; the driver, which has the recordings and the plan, makes cells of a proposal and puts them on the
board. Every point is noted in the store when it is proposed, so that the same command goes on where it was.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ray

from orchestrator.board import Cell
from orchestrator.board_actor import HEAD
from orchestrator.objective import Objective
from orchestrator.plan import Plan
from orchestrator.trial import METRIC, mirror
from search_spaces import Sweep, axis_named, axis_names, axis_values, rounded
from trainers.errors import UserError

SEED = 0
STARTUP_SHARE = 3
"""One in so many samples, at most ten, is drawn at random before TPE knows enough to model anything."""


class Desk:
    """Where trials lay down the points that they want, and wait for the number of the configuration made of each."""

    def __init__(self) -> None:
        self._asked: dict[int, dict[str, Any]] = {}
        self._answers: dict[int, asyncio.Future[int]] = {}

    async def propose(self, params: dict[str, Any]) -> int:
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._asked[number] = params
        return await self._answers[number]

    async def asked(self) -> dict[int, dict[str, Any]]:
        """Proposals without an answer."""
        return self._asked

    async def answer(self, number: int, configuration: int) -> None:
        del self._asked[number]
        self._answers[number].set_result(configuration)


@dataclass(frozen=True)
class Axes:
    """A sweep's axes as Optuna has them: numbers as they are, choices by their place in the list."""

    sweep: Sweep

    @property
    def distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution
        from ray.tune.search.optuna import OptunaSearch

        found: dict[str, Any] = {}
        for axis, space in self.sweep.axes.items():
            choices = axis_values(axis, space)
            if choices is None:
                found |= OptunaSearch.convert_search_space({axis: space})
            else:
                found[axis] = CategoricalDistribution(range(len(choices)))
        return found

    def point(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's parameters -> values of settings, numbers to four digits."""
        point: dict[str, Any] = {}
        for axis, space in self.sweep.axes.items():
            choices = axis_values(axis, space)
            value = rounded(params[axis]) if choices is None else choices[params[axis]]
            point |= axis_named(axis, value)
        return point

    def params(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The other way round; UserError where a point lies on no choice."""
        found = {}
        for axis, space in self.sweep.axes.items():
            names, choices = axis_names(axis), axis_values(axis, space)
            value = tuple(point[name] for name in names) if len(names) > 1 else point[axis]
            if choices is not None and value not in choices:
                raise UserError(f"{axis} is {value!r} in a point of the search; it must be one of {choices}")
            found[axis] = value if choices is None else choices.index(value)
        return found


@dataclass(frozen=True)
class Search:
    """A search for the best of `samples` points. `log`: the points so far, a line each, in the order proposed."""

    sweep: Sweep
    samples: int
    log: Path

    @classmethod
    def of(cls, sweep: Sweep, samples: int | None, store: Path, asked: object) -> "Search":
        """The search of a sweep under these circumstances (`asked`); UserError where there is nothing to search."""
        if find_spec("optuna") is None:
            raise UserError("--search tpe needs Optuna: pip install -c constraints.txt -e '.[search]'")
        if not sweep.axes or sweep.arms:
            raise UserError("--search tpe needs a sweep with axes and one method")
        circumstances = repr((sweep.config, sorted((name, repr(space)) for name, space in sweep.axes.items()), asked))
        digest = sha256(circumstances.encode()).hexdigest()[:16]
        return cls(sweep, samples or sweep.samples, store / "searches" / f"{digest}.jsonl")

    def listed(self) -> Sweep:
        """The sweep with the points so far; the first is the reference, or where there is none the first drawn."""
        points = self._noted() or [self._first()]
        return replace(self.sweep, listed=tuple(points[: self.samples]))

    def told(self, plan: Plan) -> str:
        """What the user is told of the search."""
        found = len(plan.configurations) - (0 if self.log.exists() else 1)
        return f"TPE proposes {self.samples} configurations one after the other ({found} so far), without a race"

    def note(self, point: Mapping[str, Any]) -> None:
        """Keep a point that was proposed."""
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            new = [self._first()] if not self.log.exists() else []
            with self.log.open("a") as file:
                for each in [*new, point] if point not in new else new:
                    file.write(json.dumps(dict(each), default=list) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {self.log}: {error.strerror or error}") from error

    def _first(self) -> dict[str, Any]:
        axes = Axes(self.sweep)
        if self.sweep.reference:
            return axes.point(axes.params(self.sweep.reference))
        return replace(self.sweep, samples=1).drawn(0)

    def _noted(self) -> list[dict[str, Any]]:
        """Points of the log; a line that a crash cut short is passed by."""
        if not self.log.exists():
            return []
        axes, points = Axes(self.sweep), []
        for line in self.log.read_text().splitlines():
            try:
                told = {
                    name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(line).items()
                }
                point = axes.point(axes.params(told))
            except (ValueError, KeyError, AttributeError, UserError):
                continue
            if point not in points:
                points.append(point)
        return points


@dataclass
class Growth:
    """A plan that grows while it is worked off. `scores`: objective of each configuration that was complete before.

    `grow(point)` gives the number of its configuration and the cells that this adds.
    """

    search: Search
    points: Sequence[Mapping[str, Any]]
    scores: Mapping[int, float]
    grow: Callable[[dict[str, Any]], tuple[int, list[Cell]]]
    at_once: int

    def __post_init__(self) -> None:
        self._axes = Axes(self.search.sweep)

    def desk(self) -> Any:
        """The actor that trials propose to."""
        return ray.remote(Desk).options(num_cpus=0, resources={HEAD: 0.001}).remote()

    @property
    def is_done(self) -> bool:
        """Whether every sample was complete before."""
        return len(self.scores) >= self.search.samples

    def heed(self, desk: Any, put: Callable[[list[Cell]], None]) -> None:
        """Make configurations of what trials propose: their cells are on the board before a trial asks for it."""
        for number, params in ray.get(desk.asked.remote()).items():
            configuration, cells = self.grow(self._axes.point(params))
            put(cells)
            ray.get(desk.answer.remote(number, configuration))

    def tune(self, board: Any, desk: Any, objective: Objective, scratch: Path) -> Any:
        """Run trials until all samples are settled; Tune's `ResultGrid`."""
        from ray import tune

        trainable = tune.with_parameters(propose, board=board, desk=desk, objective=objective)
        settings = tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=self._searcher(),
            num_samples=self.search.samples - len(self.scores),
            max_concurrent_trials=self.at_once,
            reuse_actors=True,
        )
        kept = tune.RunConfig(
            name="search", storage_path=str(scratch), verbose=0, failure_config=tune.FailureConfig(max_failures=-1)
        )
        pinned = tune.with_resources(trainable, {"CPU": 0, HEAD: 0.001})
        return tune.Tuner(pinned, tune_config=settings, run_config=kept).fit()

    def _searcher(self) -> Any:
        """Optuna with what is known: finished points with their scores, then those begun, to be gone on with."""
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        begun = [self._axes.params(point) for number, point in enumerate(self.points) if number not in self.scores]
        startup = max(1, min(10, self.search.samples // STARTUP_SHARE))
        sampler = optuna.samplers.TPESampler(seed=SEED, n_startup_trials=startup, constant_liar=True)
        searcher = OptunaSearch(
            self._axes.distributions, metric=METRIC, mode="max", points_to_evaluate=begun or None, sampler=sampler
        )
        for number, score in self.scores.items():
            if score == score:
                searcher.add_evaluated_point(self._axes.params(self.points[number]), score)
        return searcher


def propose(config: dict[str, Any], board: Any, desk: Any, objective: Objective) -> None:
    """The trainable of a search: have a configuration made of the point that Optuna chose, and mirror it."""
    number = ray.get(desk.propose.remote(config))
    mirror({"configuration": {"index": number}}, board, objective)
