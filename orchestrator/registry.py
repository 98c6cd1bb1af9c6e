"""Models in MLflow's registry: written by `orchestrator.register`, found by `orchestrator.predict`.

A model's run lies in the experiment of its sweep, with `level` = `model`. What is logged stands alone: weights, this
project's training code and the pinned packages, so that `mlflow.pyfunc.load_model` needs nothing else.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trainers
from orchestrator import mirrored
from orchestrator.tracking.client import connect, experiment, send
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from pandas import DataFrame

PACKAGES = (
    "audiomentations",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "torchaudio",
    "transformers",
)
"""What a model is loaded with; their versions are those it was made with."""

ARTIFACT = "model"

LICENCE = (
    "The weights are derived from the corpora named in model.json; their licences bind whoever uses or passes on this "
    "model (several allow research only)."
)


@dataclass(frozen=True)
class Entry:
    """A model to be registered: its name, its folder in the store, and what is said of it.

    `refit`: the key of its training; the same is registered once.
    """

    name: str
    sweep: str
    refit: str
    folder: Path
    settings: Mapping[str, Any]
    tags: Mapping[str, str]
    description: str


def register(uri: str, artifacts: Path | None, entry: Entry) -> tuple[str, bool]:
    """Version of the model in the registry, and whether it is new. Raises what MLflow raises.

    `artifacts`: where a database's files lie; None where a server keeps them.
    """
    client = connect(uri)
    known = [one for one in _versions(client, entry.name) if one.tags.get("refit") == entry.refit]
    if known:
        return str(known[0].version), False
    number = _run(client, artifacts, entry)
    with _talking_to(uri):
        source = _logged(number, entry)
        _ensure_name(client, entry)
        tags = {**entry.tags, "refit": entry.refit}
        made = client.create_model_version(
            entry.name, source.model_uri, number, tags, description=entry.description, model_id=source.model_id
        )
    client.set_terminated(number)
    return str(made.version), True


def names(uri: str) -> list[str]:
    """All registered models."""
    return sorted(one.name for one in connect(uri).search_registered_models(max_results=1000))


def located(uri: str, name: str, version: str, home: Path) -> Path:
    """The folder of a registered model's weights, brought to `home`; UserError where it is none of this project."""
    from mlflow.artifacts import download_artifacts

    with _talking_to(uri):
        folder = Path(download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=str(home)))
    found = sorted(folder.glob("artifacts/*/model.json"))
    if not found:
        raise UserError(f"registered model {name} version {version} was not made by orchestrator.register")
    return found[0].parent


def latest(uri: str, name: str) -> str | None:
    """The highest version of a registered model; None where there is none."""
    numbers = [int(one.version) for one in _versions(connect(uri), name)]
    return str(max(numbers)) if numbers else None


def versions(uri: str, name: str) -> list[str]:
    """All versions of a registered model."""
    return sorted((str(one.version) for one in _versions(connect(uri), name)), key=int)


def aliased(uri: str, name: str, alias: str) -> str | None:
    """The version that has an alias; None where none has."""
    from mlflow.exceptions import MlflowException

    try:
        return str(connect(uri).get_model_version_by_alias(name, alias).version)
    except MlflowException:
        return None


def _versions(client: "MlflowClient", name: str) -> list[Any]:
    quoted = name.replace("'", "")
    return [one for one in client.search_model_versions(f"name = '{quoted}'", max_results=1000) if one.name == name]


def _run(client: "MlflowClient", artifacts: Path | None, entry: Entry) -> str:
    """A run for the model; one that was begun earlier and never registered makes room."""
    home = experiment(client, entry.sweep, artifacts)
    for left in client.search_runs([home], f"tags.refit = '{entry.refit}'"):
        client.delete_run(left.info.run_id)
    tags = {"level": "model", "refit": entry.refit, **entry.tags}
    number: str = client.create_run(home, tags=tags, run_name=entry.name).info.run_id
    send(client, number, params=mirrored.plain(entry.settings))
    return number


def _logged(number: str, entry: Entry) -> Any:
    import mlflow

    with mlflow.start_run(run_id=number):
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={ARTIFACT: str(entry.folder)},
            code_paths=[str(Path(trainers.__path__[0]))],
            pip_requirements=requirements(entry.settings),
            signature=signature(),
            input_example=example(),
            metadata=dict(entry.tags),
        )


def _ensure_name(client: "MlflowClient", entry: Entry) -> None:
    if not client.search_registered_models(f"name = '{entry.name}'"):
        client.create_registered_model(entry.name, {"sweep": entry.sweep, "licence": LICENCE}, entry.description)


def requirements(settings: Mapping[str, Any]) -> list[str]:
    """The packages with the versions that are installed here, which are this project's pins; nothing is looked up."""
    needed = [*PACKAGES, *(["opensmile"] if "egemaps" in (settings.get("view_names") or ()) else [])]
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in needed]


def signature() -> "ModelSignature":
    """Recordings by path, or by waveform and rate; of each the probability of every emotion."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    heard = Schema([
        ColSpec(DataType.string, "path", required=False),
        ColSpec(Array(DataType.double), "waveform", required=False),
        ColSpec(DataType.long, "sample_rate_hz", required=False),
    ])  # fmt: skip
    return ModelSignature(heard, Schema([ColSpec(DataType.double, emotion) for emotion in EMOTIONS]))


def example() -> "DataFrame":
    """A tone of a twentieth of a second, which can be tried anywhere; recordings of a corpus stay where they are."""
    from pandas import DataFrame

    tone = [round(0.1 * math.sin(2 * math.pi * 220 * place / 8000), 4) for place in range(400)]
    return DataFrame({"waveform": [tone], "sample_rate_hz": [8000]})


@contextmanager
def _talking_to(uri: str) -> Iterator[None]:
    """MLflow's global place set to `uri`, and back again; logging a model takes no client."""
    import mlflow

    before = mlflow.get_tracking_uri()
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
