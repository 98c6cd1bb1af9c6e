"""How far apart emotions, speakers and genders lie in embedding space, in numbers: silhouettes (Rousseeuw 1987)."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.answers.rows import Place
from orchestrator.answers.section import Found
from trainers.result import Result

KINDS = ("emotion", "speaker", "gender")
NAN = float("nan")


def embedded(result: Result, language: str) -> tuple[NDArray[np.float32], Sequence[Mapping[str, Any]]] | None:
    """A fold's test clips, (n, d) with their n labels; None where the result holds no embeddings of them."""
    from trainers.embeddings import unpack  # here: it loads torch, and results of older versions need none

    part = f"test/{language}"
    packed = getattr(result, "embeddings", {}).get(part)
    clips = [row for row in result.predictions if row["part"] == part]
    if not packed:
        return None
    rows = unpack(packed)
    return (rows, clips) if len(rows) == len(clips) else None


def silhouette(rows: NDArray[np.float32], labels: Sequence[str]) -> float:
    """Mean of (b − a) / max(a, b) over clips: a is the mean distance to clips of the same label, b that to the nearest
    other one's. 1: apart, 0: mixed, below 0: nearer to others. Clips without a label ("") are left out; NaN where there
    is one label alone, or none has two clips."""
    from sklearn.metrics import silhouette_score

    known = [place for place, label in enumerate(labels) if label]
    own = [labels[place] for place in known]
    if not 1 < len(set(own)) < len(own):
        return NAN
    return float(silhouette_score(rows[known].astype(np.float64), own))


def separations(found: Found, language: str) -> dict[str, tuple[float, int]]:
    """Kind -> mean over folds (within one over its seeds) and number of folds; nothing where no result of the language
    holds embeddings."""
    folds: dict[str, dict[int, list[float]]] = {kind: {} for kind in KINDS}
    for (_, fold, _), result in _of(found, language):
        known = embedded(result, language)
        if known is not None:
            rows, clips = known
            for kind in KINDS:
                value = silhouette(rows, [str(clip[kind]) for clip in clips])
                if value == value:
                    folds[kind].setdefault(fold, []).append(value)
    told = {kind: [fmean(values) for values in own.values()] for kind, own in folds.items()}
    return {kind: (fmean(values), len(values)) for kind, values in told.items() if values}


def _of(found: Found, language: str) -> list[tuple[Place, Result]]:
    return [(place, result) for place, result in found.items() if place[0] in (language, None)]
