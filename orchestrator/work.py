"""What a slot does with a cell: run it, put the result into the ledger, tell the board its validation scores."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from orchestrator.ledger import Ledger
from trainers import stores
from trainers.result import Result
from trainers.spec import CellSpec

if TYPE_CHECKING:
    from trainers import cell

NO_SCORE = {"valid_uar": float("nan")}
"""What board and trials know of a stage or a canary."""

Work = Callable[[dict[str, Any], Callable[[int, int, str], None], Callable[[], bool]], dict[str, Any]]


@dataclass(frozen=True)
class CellWork:
    """Made by the driver, called once in each slot's process: it opens corpora, encoders and ledger and keeps them.

    `encoder_folders`: fingerprint -> where that encoder lies. Where a bucket is behind the store, each node has all of
    it in a folder of its own, and brings there what it lacks.
    """

    prepared: tuple[Path, ...]
    encoder_folders: Mapping[str, Path]
    store: Path
    select_on: str

    def __call__(self) -> Work:
        from trainers import cell
        from trainers.corpora.prepared import open_prepared
        from trainers.ranks import from_first, leads

        for folder in self.encoder_folders.values():
            stores.bring(folder)
        first, *others = self.encoder_folders.items()
        workspaces = {first[0]: cell.Workspace(open_prepared(self.prepared), first[1], self.store)}
        for fingerprint, folder in others:
            workspaces[fingerprint] = workspaces[first[0]].with_encoder(folder)
        ledger = Ledger(self.store)
        ledger.send_kept()

        def work(
            payload: dict[str, Any], report: Callable[[int, int, str], None], stopped: Callable[[], bool]
        ) -> dict[str, Any]:
            started = time.perf_counter()
            if "canary_of" in payload:
                spec = CellSpec.from_dict(payload["canary_of"])
                told = _rehearse(spec, workspaces[spec.encoder_fingerprint], report, stopped)
                return {**NO_SCORE, "seconds": time.perf_counter() - started, **told}
            if "stage_of" in payload:
                spec = CellSpec.from_dict(payload["stage_of"])
                cell.run_stage(spec, workspaces[spec.encoder_fingerprint], progress=report, stopped=stopped)
                return {**NO_SCORE, "seconds": time.perf_counter() - started}
            spec = CellSpec.from_dict(payload)
            place = workspaces[spec.encoder_fingerprint]
            result = from_first(lambda: ledger.read(spec.key()))
            if result is None:
                result = cell.run(spec, place, progress=report, stopped=stopped)
                result.versions.update(share_of_gpu() if "gpus" in result.versions else {})
                if leads():
                    ledger.write(result)
                    cell.forget_checkpoint(spec, place)
            return summary(result, self.select_on)

        return work

    def __reduce__(self) -> tuple[Callable[..., "CellWork"], tuple[object, ...]]:
        prepared = tuple(map(stores.portable, self.prepared))
        encoders = {name: stores.portable(folder) for name, folder in self.encoder_folders.items()}
        return _arrived, (prepared, encoders, stores.portable(self.store), self.select_on)


def _arrived(
    prepared: tuple[Path | stores.Place, ...],
    encoders: Mapping[str, Path | stores.Place],
    store: Path | stores.Place,
    select_on: str,
) -> CellWork:
    """On another node, or in another process of this one."""
    folders = {name: stores.arrived(place) for name, place in encoders.items()}
    return CellWork(tuple(map(stores.arrived, prepared)), folders, stores.arrived(store), select_on)


def _rehearse(
    spec: CellSpec, place: "cell.Workspace", report: Callable[[int, int, str], None], stopped: Callable[[], bool]
) -> dict[str, float]:
    """A short cell from end to end, its result written where results go and removed again. Says what it tells of how
    long cells take, as `timings.rehearsed` takes it: nothing where it has trained nothing."""
    from trainers import cell

    report(0, 1, "canary")
    result = cell.rehearse(spec, place, stopped=stopped)
    with TemporaryDirectory(dir=place.store, prefix="rehearsal-") as scratch:
        Ledger(Path(scratch)).write(result)
    if "step" not in result.seconds:
        return {}
    share = result.facts["scored_share"]
    return {"step_s": result.seconds["step"], "scoring_s": result.seconds["scoring"], "share": share}


def share_of_gpu() -> dict[str, str]:
    """What a result says of GPUs where its slot has a share of one; nothing else where it has whole ones, or none."""
    import ray

    context: Any = ray.get_runtime_context()
    gpus = context.get_assigned_resources().get("GPU", 0)
    return {"gpus": f"{gpus:g}"} if 0 < gpus < 1 else {}


def summary(result: Result, select_on: str) -> dict[str, Any]:
    """What board, trials and scheduler may know of a result: the validation UAR that chooses, never a test score."""
    chosen = result.valid.get(select_on)
    return {"valid_uar": chosen.uar if chosen else float("nan"), "seconds": result.seconds.get("total", 0.0)}
