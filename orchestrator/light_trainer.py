"""Ray Train's `TorchTrainer` without helper processes that every fit starts and that the slots have no use for."""

from importlib import import_module
from itertools import count
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy

UNNEEDED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""The slots read no Ray datasets. The cleaner is a process that removes the placement group of a controller which was
killed, once its workers had all started; the driver does that itself (`remove_rooms`), at any time."""


class SettledPolicy(FixedScalingPolicy):
    """A fixed number of ranks, for which no autoscaler is asked: on this machine alone there is none, and who asks is a
    process of its own for which the controller waits."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Ask nobody."""

    def _maybe_send_resource_request(self) -> None:
        """Nor later."""


class LightTrainer(TorchTrainer):
    """As `TorchTrainer`, with fewer processes to start. `alone`: Ray is on this machine only, and our own."""

    alone = False

    def _initialize_and_run_controller(self, **given: Any) -> Any:
        mine: Any = self
        inherited: Any = super()
        if self.alone:
            given["scaling_policy"] = SettledPolicy(mine.scaling_config)
        return inherited._initialize_and_run_controller(**given)

    def _create_default_callbacks(self) -> list[Any]:
        inherited: Any = super()
        return [each for each in inherited._create_default_callbacks() if not isinstance(each, UNNEEDED)]


def name_rooms(run: str) -> None:
    """In the controller's own process: its placement groups, one after the other, are named after its run."""
    module: Any = import_module("ray.train.v2._internal.execution.worker_group.worker_group")
    plain = module.placement_group
    numbers = count()
    module.placement_group = lambda **asked: plain(**asked, name=f"{run}#{next(numbers)}")


def remove_rooms(run: str) -> None:
    """Free what a run reserved whose controller is gone: Ray keeps it until the whole job ends."""
    import ray
    from ray.util import get_placement_group, placement_group_table, remove_placement_group

    read: Any = placement_group_table
    names = [one["name"] for one in read().values() if one["state"] != "REMOVED"]
    for name in names:
        if name.startswith(f"{run}#"):
            try:
                remove_placement_group(get_placement_group(name))
            except (ValueError, ray.exceptions.RayError):  # it was removed meanwhile
                continue
