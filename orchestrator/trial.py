"""A Tune trial: one configuration. It trains nothing; it tells Tune's scheduler and searcher what the board has.

Tune owns the decisions, the driver owns the work: a trial that Tune stops has its configuration withdrawn.
"""

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.board import Progress
from orchestrator.board_actor import HEAD
from orchestrator.cluster import RAY_THREAD
from orchestrator.objective import Objective, mean_of_blocks

METRIC = "valid_uar"
"""The only score that a trial shows to Tune: test scores stay shut while a sweep runs."""

LIVE_TRIALS = 8
"""Trials alive at once, at most. Each is a process of about 0.2 GB that takes 2 CPU seconds to start; the others mirror
their results once one has ended."""


TRIALS_A_LANE = 10
"""Of short lives, one after the other: what can be mirrored in the seconds after the last cell."""


def live_trials(configurations: int) -> int:
    """As many as the head has cores, but no fewer than two, so that one tells while another is replaced, and enough for
    many configurations."""
    wanted = max(2, os.cpu_count() or 1, math.ceil(configurations / TRIALS_A_LANE))
    return min(LIVE_TRIALS, wanted, configurations)


def tune_configurations(
    board: Any,
    configurations: Sequence[Mapping[str, Any]],
    objective: Objective,
    scratch: Path,
    *,
    scheduler: Any = None,
    searcher: Any = None,
) -> Any:
    """Run one trial per configuration until all are settled; Tune's `ResultGrid`."""
    from ray import tune

    trainable = tune.with_parameters(mirror, board=board, objective=objective)
    pinned = tune.with_resources(trainable, {"CPU": 0, HEAD: 0.001})
    points = [{"index": index, **settings} for index, settings in enumerate(configurations)]
    settings = tune.TuneConfig(
        metric=METRIC,
        mode="max",
        scheduler=scheduler,
        search_alg=searcher,
        max_concurrent_trials=live_trials(len(points)),
        reuse_actors=True,
    )
    kept = tune.RunConfig(
        name="trials",
        storage_path=str(scratch),
        verbose=0,
        callbacks=[_withdrawal(board)],
        failure_config=tune.FailureConfig(max_failures=-1),
    )
    space = {"configuration": tune.grid_search(points)}
    return tune.Tuner(pinned, param_space=space, tune_config=settings, run_config=kept).fit()


def mirror(config: dict[str, Any], board: Any, objective: Objective) -> None:
    """The trainable: after each complete block report the mean objective over the blocks that are complete.

    `front` tells how far the race of all configurations is; it is reported too when only that has moved on.
    """
    import ray
    from ray import tune

    reported = front = 0
    settled = False
    while not settled:
        progress: Progress = ray.get(board.wait.remote(config["configuration"]["index"], reported, front))
        counts = range(reported + 1, len(progress.blocks) + 1) or [reported] * (progress.front > front)
        for count in counts:
            so_far = mean_of_blocks(progress.blocks[:count], objective) if count else math.nan
            tune.report({METRIC: so_far, "blocks": count, "front": progress.front})
        reported, front, settled = len(progress.blocks), progress.front, progress.settled
    if not reported:
        tune.report({METRIC: math.nan, "blocks": 0, "front": front})


class Mirror:
    """Tune, in a thread of its own: what it keeps is disposable, so its failure is a notice and not the run's end."""

    def __init__(self, fit: Callable[[], Any]) -> None:
        self._fit = fit
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"{RAY_THREAD} tune")
        self.error = ""

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether Tune has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._fit()
        except BaseException as error:
            self.error = f"{type(error).__name__}: {error}".splitlines()[0]


def _withdrawal(board: Any) -> Any:
    """A callback that withdraws a configuration when its trial ends, and so wakes the trial if it still waits."""
    from ray.tune import Callback

    class Withdrawal(Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
            board.withdraw.remote(trial.config["configuration"]["index"])

    return Withdrawal()
