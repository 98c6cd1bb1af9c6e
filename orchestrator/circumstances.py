"""What a sweep was run on: all that another's experiment may have had otherwise."""

import subprocess
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path

from orchestrator.ground import Ground
from orchestrator.plan import Plan
from trainers.corpora.prepared import Prepared
from trainers.methods.configs import ByolConfig
from trainers.spec import CellSpec
from trainers.splits import Splits

PAPER_NAMES = {"baseline": "baseline", "cl": "CL", "byol": "BYOL", "supcon": "SupCon", "pairwise": "Pairwise-CL"}


def paper_name(spec: CellSpec) -> str:
    """What papers call its method; BYOL that never weighs its own loss is none of theirs."""
    if isinstance(spec.config, ByolConfig) and spec.config.lambda_start == spec.config.lambda_end == 0:
        return "BYOL without its loss"
    return PAPER_NAMES.get(spec.method, spec.method)


def conditions(ground: Ground, plan: Plan, splits: Splits) -> dict[str, str]:
    """By plain names; several values are told side by side."""
    specs = [cell.spec for cell in plan.cells]
    front_ends = {spec.front_end for spec in specs}
    protocol = ground.protocol
    tested = protocol.low or protocol.high
    return {
        "trained on": ", ".join(protocol.high),
        **{f"tested on, {splits.language_of[name]}": name for name in tested if name in splits.language_of},
        "adapted to": ", ".join(splits.adaptation) or "none",
        "encoder": _one_of(ground.encoders) or encoder_name(ground.encoder_folder),
        "folds by": _one_of(spec.folds_by for spec in specs),
        "length, s": _one_of(f"{each.length_s:g}" for each in front_ends),
        "trim, dB": _one_of(_or_off(each.trim_db) for each in front_ends),
        "level, dB": _one_of(_or_off(each.rms_db) for each in front_ends),
        "steps": _one_of(str(spec.training.steps) for spec in specs),
        "batch": _one_of(str(spec.training.batch_size) for spec in specs),
        "encoder learning rate": _one_of(f"{spec.training.encoder_lr:g}" for spec in specs),
    }


def encoder_name(folder: Path) -> str:
    """What a checkpoint is called; in the hub's own folders a level above its revision."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").rpartition("--")[2]
    return folder.name


def longest_s(prepared: Prepared, languages: Collection[str]) -> dict[str, float]:
    """Language -> its longest clip."""
    found = dict.fromkeys(languages, 0.0)
    for clip in prepared.utterances:
        if clip.language in found:
            found[clip.language] = max(found[clip.language], clip.duration_s)
    return found


def revision() -> str:
    """The commit of this code, with "-dirty" where files were changed since; "" where git does not know, or knows
    only a folder that this code was installed into."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _one_of(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _or_off(value: float | None) -> str:
    return "off" if value is None else f"{value:g}"
