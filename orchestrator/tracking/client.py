"""MLflow's client, quiet and quick to give up, and the few ways in which it is spoken to."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import mirrored

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
"""Runs a request brings."""

BATCH = 1000
"""Entities a request may have: metrics, and up to 100 each of parameters and tags."""

FEW = 100

SQLITE = "sqlite:///"

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default waits four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""What MLflow's pages open with: runs, not the traces of language models."""


def connect(uri: str) -> "MlflowClient":
    """A client; nothing is asked of the server yet."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name, level in (("mlflow", logging.WARNING), ("alembic", logging.WARNING), ("urllib3", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    if uri.startswith(SQLITE) and not (path := Path(uri.removeprefix(SQLITE))).exists():
        _make(path)
    return MlflowClient(uri)


def _make(database: Path) -> None:
    """An empty database, whole or not at all: MLflow never opens one again that it was making when it was killed."""
    utils: Any = import_module("mlflow.store.db.utils")
    database.parent.mkdir(parents=True, exist_ok=True)
    for left in database.parent.glob(f".{database.name}.*.partial*"):
        left.unlink(missing_ok=True)
    scratch = database.with_name(f".{database.name}.{os.getpid()}.partial")
    engine = utils.create_sqlalchemy_engine_with_retry(f"{SQLITE}{scratch}")
    utils._safe_initialize_tables(engine)
    engine.dispose()
    with suppress(FileExistsError):  # somebody was quicker
        os.link(scratch, database)
    scratch.unlink()


def experiment(client: "MlflowClient", sweep: str, artifacts: Path | None) -> str:
    """The id of a sweep's experiment, made where there is none, brought back where it was deleted."""
    from mlflow import MlflowException

    found = client.get_experiment_by_name(sweep)
    if found is None:
        location = None if artifacts is None else (artifacts / sweep).as_uri()
        try:
            return str(client.create_experiment(sweep, artifact_location=location, tags=KIND))
        except MlflowException:
            found = client.get_experiment_by_name(sweep)
            if found is None:  # else somebody was quicker
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def describe(client: "MlflowClient", number: str, tag: str, description: str) -> None:
    """What stands at an experiment. Two who write a tag there for the first time at once: one of them is refused."""
    from mlflow import MlflowException

    try:
        client.set_experiment_tag(number, tag, description)
    except MlflowException:
        client.set_experiment_tag(number, tag, description)


def all_runs(client: "MlflowClient", of: str) -> Iterator["Run"]:
    """Every run of an experiment that is not deleted, the oldest first."""
    token = None
    while True:
        page = client.search_runs([of], max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def send(
    client: "MlflowClient",
    number: str,
    points: Sequence[mirrored.Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """All of it in as few requests as MLflow allows, the tags not before the parameters."""
    from mlflow.entities import Metric, Param, RunTag

    now = now_ms()
    metrics = [Metric(name, float(value), now, step) for step, name, value in points]
    texts = [Param(name, value) for name, value in (params or {}).items()]
    labels = [RunTag(name, value) for name, value in (tags or {}).items()]
    while metrics or texts or labels:
        last = labels[:FEW] if len(texts) <= FEW else []  # what marks a run as whole must not come before the rest
        space = BATCH - len(texts[:FEW]) - len(last)
        client.log_batch(number, metrics[:space], texts[:FEW], last)
        metrics, texts, labels = metrics[space:], texts[FEW:], labels[len(last) :]


def send_datasets(client: "MlflowClient", number: str, heard: Sequence[mirrored.Dataset]) -> None:
    """As inputs of a run: names and digests, no audio."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(
        number,
        [
            DatasetInput(
                Dataset(each.name, each.digest, "code", json.dumps({"tags": each.source}, sort_keys=True)),
                [InputTag("mlflow.data.context", each.context)],
            )
            for each in heard
        ],
    )


def now_ms() -> int:
    return int(time.time() * 1000)
