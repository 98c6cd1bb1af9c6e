"""MLflow is filled from the ledger: what a server missed, or a whole database; nothing is told that nobody opened."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator import openings
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked, write
from orchestrator.ledger import Ledger
from orchestrator.tracking import Tracker, default_uri, writer
from orchestrator.tracking.__main__ import main
from orchestrator.tracking.telling import settings_of, tell
from tests.mlflow_server import Server
from tests.object_server import BUCKET, ObjectServer
from tests.synthetic_sweeps import asked, kept, varied
from trainers.bucket import Bucket

GROUPS = {"tau=0.9": varied(0.9, [4, 5]), "tau=0.99": varied(0.99, [8, 9])}
RESULTS = {result.spec.key(): result for group in GROUPS.values() for result in group}
VERSIONS = {"foldwise": "0.1.0", "torch": "2.11"}
ONE = asked(GROUPS, versions=VERSIONS)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two configurations, eight cells; nobody has opened their test scores."""
    kept(tmp_path, *GROUPS.values())
    write(tmp_path, ONE)
    return tmp_path


def sync(store: Path, *words: str) -> None:
    assert main(["sync", *words, "--store", str(store)]) == 0


def ends(store: Path, of: Asked = ONE) -> None:
    """What a sweep does when it ends: its cells were sent one by one, then its answer is told."""
    ledger = Ledger(store)
    specs = {key: result.spec for key, result in RESULTS.items()}
    tracker = Tracker(default_uri(store), "byol_tau", "as it began", settings_of(of, specs.get))
    for one in of.configurations:
        for key in one.cells.values():
            assert tracker.log(RESULTS[key], one.name)
    tell(of, ledger, answered(ledger, of), tracker)


def told(store: Path) -> list[dict[str, Any]]:
    """All that MLflow holds but ids, times and processes, the points of curves and files among it."""
    client = MlflowClient(default_uri(store))
    (experiment,) = [each for each in client.search_experiments() if each.name == "byol_tau"]
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    names = {run.info.run_id: run.info.run_name for run in found}
    every = [_told(client, run, names) for run in found]
    about: dict[str, Any] = {"experiment": {**experiment.tags}}
    return [about, *sorted(every, key=lambda each: json.dumps(each, sort_keys=True, default=str))]


def _told(client: MlflowClient, run: Run, names: dict[str, str]) -> dict[str, Any]:
    number = run.info.run_id
    own = ("mlflow.parentRunId", writer.TAG)
    tags = {name: value for name, value in run.data.tags.items() if name not in own}
    folders = ["", "confusion", "report", "report/pictures"]
    files = [file.path for folder in folders for file in client.list_artifacts(number, folder) if not file.is_dir]
    points = {
        name: [(point.step, point.value) for point in client.get_metric_history(number, name)]
        for name in run.data.metrics
    }
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "parent": names.get(run.data.tags.get("mlflow.parentRunId", "")),
        "params": run.data.params,
        "tags": tags,
        "points": points,
        "files": {path: Path(client.download_artifacts(number, path)).read_bytes() for path in files},
        "heard": [(each.dataset.name, each.dataset.digest, each.tags[0].value) for each in run.inputs.dataset_inputs],
    }


def test_a_deleted_database_is_rebuilt_to_what_the_sweep_had_told(store: Path, tmp_path: Path) -> None:
    ends(store)
    before = told(store)
    assert len(before) == 1 + 2 + 8 + 1
    new = tmp_path / "new"  # MLflow keeps a database open, so this one is not taken from under its feet
    shutil.copytree(store, new, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts", "new"))
    sync(new)
    assert told(new) == before
    assert openings.count(new, "byol_tau") == 1, "to tell again is no look"


def test_a_second_sync_adds_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sync(store, "--tests")
    before = told(store)
    sync(store)
    assert told(store) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"byol_tau/{ONE.digest}: 8 cells sent, 0 were there; test scores, opened now",
        f"byol_tau/{ONE.digest}: 0 cells sent, 8 were there; test scores, as they were opened",
    ]


def test_sealed_test_scores_are_not_told(store: Path) -> None:
    sync(store, "byol_tau")
    assert "test" not in json.dumps([each.get("points") for each in told(store)])
    assert openings.count(store, "byol_tau") == 0
    assert not [name for each in told(store)[1:] for name in each["files"] if "test" in name or "comparison" in name]
    (first,) = [each for each in told(store)[1:] if each["name"] == "τ=0.99"]
    assert first["points"]["valid_uar_mean"] == [(4, 0.5)]


def test_what_was_opened_for_fewer_cells_or_before_the_sweep_was_asked_anew_stays_sealed(store: Path) -> None:
    Ledger(store).opened("byol_tau", list(RESULTS)[:7])
    sync(store)
    assert not sealed_are_told(store)
    Ledger(store).opened("byol_tau", RESULTS)
    write(store, replace(ONE, at="2999-01-01T00:00:00+00:00"))
    sync(store)
    assert not sealed_are_told(store)
    write(store, ONE)
    sync(store)
    assert sealed_are_told(store)


def sealed_are_told(store: Path) -> bool:
    return any(name.startswith("test/") for each in told(store)[1:] for name in each["points"])


def test_opening_by_the_command_is_counted_once(store: Path) -> None:
    for _ in range(2):
        sync(store, "--tests")
    assert openings.count(store, "byol_tau") == 1


def test_means_of_an_earlier_record_are_not_left_beside_those_of_another(store: Path) -> None:
    """A run of both languages was told; then the same configurations are asked of one alone."""
    ends(store)
    urdu = {name: [one for one in group if one.spec.target == "urdu"] for name, group in GROUPS.items()}
    fewer = asked(urdu, languages=("urdu",), at="2026-11-22T10:00:00+00:00", command="… --languages urdu")
    write(store, fewer)
    sync(store)
    every = told(store)[1:]
    summaries = [each["tags"]["record"] for each in every if each["tags"]["level"] == "sweep"]
    assert summaries == [ONE.digest], "test scores of the new record are sealed, so it has told no table"
    for each in [each for each in every if each["tags"]["level"] == "configuration"]:
        assert each["tags"]["record"] == fewer.digest
        assert not [name for name in each["points"] if "german" in name or name.startswith("test")]
    assert len([each for each in every if each["tags"]["level"] == "cell"]) == 8
    sync(store, "--tests")
    summaries = [each["tags"]["record"] for each in told(store)[1:] if each["tags"]["level"] == "sweep"]
    assert sorted(summaries) == sorted([ONE.digest, fewer.digest])


def test_the_description_has_question_protocol_command_versions_and_commit(store: Path) -> None:
    sync(store)
    text = told(store)[0]["experiment"]["mlflow.note.content"]
    for part in ("Which τ?", "open, folds by speaker", ONE.command, "torch 2.11", "foldwise 0.1.0", ONE.commit):
        assert part in text


def test_cells_name_the_speech_that_they_heard_without_a_place_on_a_machine(store: Path) -> None:
    sync(store)
    cell = next(each for each in told(store)[1:] if each["tags"].get("language") == "urdu")
    assert sorted(cell["heard"]) == [
        ("english test", "d" * 32, "test"),
        ("ravdess training", "d" * 32, "training"),
        ("urdu test", "d" * 32, "test"),
        ("urdu unlabelled", "d" * 32, "training"),
    ]


def test_a_report_is_kept_in_the_run_of_its_record_and_sent_once(store: Path) -> None:
    folder = store / "reports" / f"byol_tau-{ONE.digest}" / "pictures"
    folder.mkdir(parents=True)
    (folder / "axis.svg").write_text("<svg/>")
    (folder.parent / "report.html").write_text("<html/>")
    sync(store)
    assert not [each for each in told(store)[1:] if each["tags"]["level"] == "sweep"], "a report has test scores"
    sync(store, "--tests")
    (whole,) = [each for each in told(store)[1:] if each["tags"]["level"] == "sweep"]
    assert sorted(whole["files"]) == ["comparison.md", "report/pictures/axis.svg", "report/report.html"]
    before = told(store)
    sync(store)
    assert told(store) == before


def test_a_configuration_is_stopped_while_cells_lack_and_finished_once_they_are_there(store: Path) -> None:
    lost = GROUPS["tau=0.9"][0]
    Ledger(store).set_aside([lost.spec.key()])
    sync(store)
    assert {each["name"]: each["status"] for each in told(store)[1:] if each["parent"] is None} == {
        "τ=0.9": "KILLED",
        "τ=0.99": "FINISHED",
    }
    kept(store, [lost])
    sync(store)
    assert {each["status"] for each in told(store)[1:]} == {"FINISHED"}


def test_bad_input_and_a_server_that_is_down_are_told_in_one_line(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code, why in (
        (["sync", "byol"], 2, "no results of 'byol'"),
        (["sync", "--tracking-uri", "mlruns"], 2, "unknown kind of tracking URI"),
        (["sync", "--tracking-uri", "http://127.0.0.1:9"], 1, "MLflow at http://127.0.0.1:9"),
        (["snyc"], 2, "snyc"),
    ):
        assert main([*words, *(["--store", str(store)] if words[0] == "sync" else [])]) == code
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert why in printed.err
    with Ledger(store).lock("byol_tau"):
        assert main(["sync", "--store", str(store)]) == 2
    assert "is held by sweep 'byol_tau'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_that_is_killed_amid_a_sweep_costs_warnings_and_sync_sends_what_is_missing(store: Path) -> None:
    """A real server, killed by its process id and started again."""
    server = Server(store)
    tracker = Tracker(server.uri, "byol_tau", "", settings_of(ONE, lambda key: RESULTS[key].spec), retry_after_s=0.0)
    try:
        server.start()
        first, *rest = [(key, one.name) for one in ONE.configurations for key in one.cells.values()]
        assert tracker.log(RESULTS[first[0]], first[1])
        server.kill()
        with pytest.warns(UserWarning, match=r"MLflow at http.*sent at the next run, or by orchestrator.tracking"):
            assert not any(tracker.log(RESULTS[key], name) for key, name in rest[:2])
        server.start()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert all(tracker.log(RESULTS[key], name) for key, name in rest[2:4])
        assert main(["sync", "--store", str(store), "--tracking-uri", server.uri]) == 0
        found = MlflowClient(server.uri).search_runs(["1"], "tags.level = 'cell'")
        assert sorted(run.data.tags["cell"] for run in found) == sorted(RESULTS)
        assert {run.info.status for run in found} == {"FINISHED"}
    finally:
        server.kill()


@pytest.mark.slow
def test_a_server_that_keeps_files_in_a_bucket_has_all_of_them(store: Path, object_server: ObjectServer) -> None:
    """As `cluster.yaml` starts it with a bucket for its destination; who sends needs no right to the bucket."""
    ends(store)
    at_home = _files(default_uri(store))
    (store / "server").mkdir()
    server = Server(store / "server", f"s3://{BUCKET}/mlflow")
    try:
        server.start()
        with pytest.MonkeyPatch.context() as patch:
            for name in object_server.environment:
                patch.delenv(name)
            assert main(["sync", "--store", str(store), "--tracking-uri", server.uri]) == 0
            assert _files(server.uri) == at_home
    finally:
        server.kill()
    there = Bucket(f"s3://{BUCKET}").list("mlflow")
    assert sorted(Path(key).name for key in there) == sorted(Path(path).name for _, path, _ in at_home)


def _files(uri: str) -> list[tuple[str, str, bytes]]:
    """Every file that MLflow has: the name of its run, its path, and what it holds."""
    client = MlflowClient(uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "byol_tau"]
    found = []
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        folders = [""]
        while folders:
            for file in client.list_artifacts(run.info.run_id, folders.pop()):
                if file.is_dir:
                    folders.append(file.path)
                else:
                    content = Path(client.download_artifacts(run.info.run_id, file.path)).read_bytes()
                    found.append((run.info.run_name or "", file.path, content))
    return sorted(found)
