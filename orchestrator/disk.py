"""What a sweep will leave on the disk, what it needs there while it runs, and what a store holds."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import safe_open

from orchestrator.draft import PlannedCell
from orchestrator.ledger import Ledger
from trainers.methods.configs import ByolConfig
from trainers.spec import CellSpec

RESULT_BYTES = 15_000
MIRRORED_BYTES = 150_000
"""Of a result, and of what MLflow's database has of it, where none is stored yet: those of cells on Urdu and EMO-DB."""

FP32_BYTES = 4
NO_PART = ("decoder", "lm_head", "proj_out")
"""Parts of a checkpoint's files that are not loaded."""


@dataclass(frozen=True)
class Disk:
    """Bytes: of the results to come with MLflow's records of them, of the stages to come, and of the checkpoints while
    cells run. `free`: what the store's disk has left."""

    results: int
    stages: int
    checkpoints: int
    free: int

    @property
    def most(self) -> int:
        """All at a time."""
        return self.results + self.stages + self.checkpoints


def disk(
    ledger: Ledger,
    lacking: Sequence[PlannedCell],
    begin: Collection[str],
    slots: int,
    encoders: Mapping[str, Path],
) -> Disk:
    """What the `lacking` cells take on the disk, so many at a time; those whose keys are in `begin` compute a stage.

    `encoders`: fingerprint -> folder.
    """
    weights = {fingerprint: weights_bytes(folder) for fingerprint, folder in encoders.items()}
    trained = [cell.spec for cell in lacking if cell.configuration is not None]
    checkpoints = sorted((_copies(spec) * weights[spec.encoder_fingerprint] for spec in trained), reverse=True)
    place = next(folder for folder in (ledger.store, *ledger.store.parents) if folder.exists())
    return Disk(
        results=len(lacking) * _bytes_per_result(ledger),
        stages=sum(weights[cell.spec.encoder_fingerprint] for cell in lacking if cell.key in begin),
        checkpoints=sum(checkpoints[:slots]),
        free=shutil.disk_usage(place).free,
    )


def held_bytes(folder: Path) -> int:
    """Of all files below a folder. What a link leads to lies elsewhere; what goes away meanwhile does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_size
    return total


def _bytes_per_result(ledger: Ledger) -> int:
    """Mean of what is stored, or a guess from experience."""
    stored = ledger.stored()
    count, total = len(stored), sum(one.bytes for one in stored.values())
    database = ledger.store / "mlflow.db"
    mirrored = database.stat().st_size // count if count and database.exists() else MIRRORED_BYTES
    return mirrored + (total // count if count else RESULT_BYTES)


def _copies(spec: CellSpec) -> int:
    """How often a checkpoint holds the encoder: as it is, AdamW's two moments, the best so far, and BYOL's averages.

    Twice all that, as the old checkpoint goes only when the new one is whole.
    """
    averages = 1 + len(spec.config.passive_taus) if isinstance(spec.config, ByolConfig) else 0
    return 2 * (4 + averages)


def weights_bytes(folder: Path) -> int:
    """An encoder's weights in fp32, as far as its files tell without being read."""
    files = sorted(folder.glob("*.safetensors"))
    return sum(map(_elements, files)) * FP32_BYTES or sum(one.stat().st_size for one in folder.glob("pytorch_model*"))


def _elements(file: Path) -> int:
    with safe_open(file, framework="np") as tensors:
        names = [name for name in tensors.keys() if not any(part in name for part in NO_PART)]  # noqa: SIM118  (no mapping)
        return sum(prod(tensors.get_slice(name).get_shape()) for name in names)
