"""What MLflow holds, read back through its own client from a real SQLite store."""

import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestrator.answers.rows import Candidate, Place, Row, row
from orchestrator.tracking import Tracker, default_uri
from tests.synthetic_results import baseline_spec, curve_row, hits, result, spec
from trainers.errors import UserError
from trainers.result import Result

LANGUAGES = ("urdu", "german")
SETTINGS = {"tau=0.99": spec(0.99).settings(), "tau=0.996": spec(0.996).settings()}
NAMES = {0.99: "tau=0.99", 0.996: "tau=0.996"}


def cell(tau: float, language: str, fold: int) -> Result:
    correct = 4 + fold + (language == "urdu")
    return result(
        spec(tau, language, fold), hits(7, 6, 5, 4), {language: hits(*[correct] * 4), "english": hits(9, 8, 7, 6)}
    )


def results(tau: float) -> dict[Place, Result]:
    return {(language, fold, 0): cell(tau, language, fold) for language in LANGUAGES for fold in range(2)}


def summed(tau: float, found: dict[Place, Result]) -> Row:
    places = {place: one.spec.key() for place, one in results(tau).items()}
    return row(Candidate(NAMES[tau], places), found, LANGUAGES, held_out=["english"])


def tracker(store: Path) -> Tracker:
    return Tracker(default_uri(store), "byol_tau", "Which τ? `python -m orchestrator.sweep byol_tau`", SETTINGS)


def mirror(store: Path) -> None:
    """All that a sweep sends while it runs."""
    sender = tracker(store)
    for tau, name in NAMES.items():
        for one in results(tau).values():
            assert sender.log(one, name)
        assert sender.aggregate(summed(tau, results(tau)))
    sender.close()


def runs(store: Path, query: str = "") -> list[Run]:
    client = MlflowClient(default_uri(store))
    experiment = client.get_experiment_by_name("byol_tau")
    return list(client.search_runs([experiment.experiment_id], query))


def everything(store: Path) -> list[tuple[str, dict[str, float], dict[str, str], dict[str, str], int]]:
    """All runs with all that is in them; the points of a curve count too."""
    client = MlflowClient(default_uri(store))
    found = sorted(runs(store), key=lambda run: str(run.info.run_id))
    return [
        (
            run.info.run_id,
            run.data.metrics,
            run.data.params,
            {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
            sum(len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics),
        )
        for run in found
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two configurations, two languages and two folds, mirrored; its tests are not open. Read only."""
    folder = tmp_path_factory.mktemp("runs")
    mirror(folder)
    return folder


@pytest.fixture
def fresh(tmp_path: Path, store: Path) -> Path:
    """A copy of the mirrored database that a test may change (its artifacts go to the shared folder)."""
    (tmp_path / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    return tmp_path


def test_one_run_per_configuration_and_one_child_per_cell(store: Path) -> None:
    parents = runs(store, "tags.level = 'configuration'")
    cells = runs(store, "tags.level = 'cell'")
    assert sorted(str(run.info.run_name) for run in parents) == ["τ=0.99", "τ=0.996"]
    assert sorted(run.data.tags["name"] for run in parents) == ["tau=0.99", "tau=0.996"]
    assert len(cells) == len(runs(store)) - 2 == 8
    for parent in parents:
        own = [run for run in cells if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        tau = float(parent.data.params["tau"])
        assert {run.data.tags["cell"] for run in own} == {one.spec.key() for one in results(tau).values()}
        assert {(run.data.tags["language"], run.data.tags["fold"]) for run in own} == {
            (language, fold) for language in LANGUAGES for fold in "01"
        }
    assert {run.info.status for run in runs(store)} == {"FINISHED"}


def test_the_question_stands_at_the_experiment(store: Path) -> None:
    experiment = MlflowClient(default_uri(store)).get_experiment_by_name("byol_tau")
    assert "python -m orchestrator.sweep byol_tau" in experiment.tags["mlflow.note.content"]
    assert experiment.artifact_location == (store / "mlartifacts" / "byol_tau").as_uri()


def test_every_setting_is_a_parameter_of_configuration_and_cell(store: Path) -> None:
    for run in runs(store, "tags.level = 'cell' and params.tau = '0.99'"):
        expected = {name: str(value) for name, value in spec(0.99).settings().items()}
        assert expected.items() <= run.data.params.items()
        assert run.data.params["target"] in LANGUAGES
    (parent,) = runs(store, "tags.level = 'configuration' and params.tau = '0.99'")
    assert parent.data.params == expected


def test_curves_have_the_steps_of_the_history(store: Path) -> None:
    client = MlflowClient(default_uri(store))
    run = runs(store, "tags.level = 'cell' and params.tau = '0.996'")[0]
    history = client.get_metric_history(run.info.run_id, "loss")
    expected = [curve_row(spec(0.996), number) for number in range(3)]
    assert [(point.step, point.value) for point in history] == [(row["step"], row["loss"]) for row in expected]
    assert {point.value for point in client.get_metric_history(run.info.run_id, "tau")} == {0.996}


def test_cells_carry_validation_scores_facts_and_a_readable_confusion_matrix(store: Path) -> None:
    run = runs(store, "tags.level = 'cell' and tags.language = 'urdu'")[0]
    metrics = run.data.metrics
    assert metrics["valid/hrl/uar"] == pytest.approx(0.55)
    assert metrics["valid/hrl/recall_sad"] == pytest.approx(0.4)
    assert metrics["valid/hrl/online/uar"] == pytest.approx(0.55)
    assert metrics["valid/hrl/passive tau_0.99/uar"] == pytest.approx(0.55), "a name MLflow would refuse is mended"
    assert metrics["target_initial_share"] == pytest.approx(0.01)
    text = MlflowClient(default_uri(store)).download_artifacts(run.info.run_id, "confusion/valid_hrl.txt")
    angry = Path(text).read_text().splitlines()[1].split()
    assert angry == ["angry", "7", "3", "0", "0"]


def test_configurations_carry_means_over_folds_of_validation(store: Path) -> None:
    (run,) = runs(store, "tags.level = 'configuration' and params.tau = '0.99'")
    metrics = run.data.metrics
    assert metrics["valid_uar_mean"] == pytest.approx(0.55)
    assert metrics["valid_uar_n"] == 2
    assert metrics["valid/urdu/uar_mean"] == pytest.approx(0.55)
    assert (metrics["work/cells_done"], metrics["work/cells_planned"]) == (4, 4)


def test_nothing_of_the_test_speech_is_there_before_it_is_opened(store: Path) -> None:
    client = MlflowClient(default_uri(store))
    for run in runs(store):
        assert not [name for name in run.data.metrics if "test" in name or "english" in name or "whole" in name]
        assert not [file.path for file in client.list_artifacts(run.info.run_id, "confusion") if "test" in file.path]


def test_opening_writes_test_scores_to_cells_and_their_means_to_configurations(fresh: Path) -> None:
    found = results(0.99)
    assert tracker(fresh).open_tests(summed(0.99, found), found.values())
    (parent,) = runs(fresh, "tags.level = 'configuration' and params.tau = '0.99'")
    metrics = parent.data.metrics
    assert metrics["test/urdu/uar_mean"] == pytest.approx(0.55)
    assert metrics["test/urdu/uar_sd"] == pytest.approx(stdev([0.5, 0.6]))
    assert metrics["test/macro/uar_mean"] == pytest.approx((0.55 + 0.45) / 2)
    assert metrics["test/german/macro_f1_mean"] == pytest.approx(0.45)
    assert metrics["test/english/accuracy_n"] == 2
    for run in runs(fresh, "tags.level = 'cell' and params.tau = '0.99' and tags.language = 'urdu'"):
        assert run.data.metrics["test/urdu/uar"] == pytest.approx(0.5 + 0.1 * int(run.data.params["fold"]))
        assert run.data.metrics["test/english/online/uar"] == pytest.approx(0.75)
    unopened = runs(fresh, "tags.level = 'cell' and params.tau = '0.996'")
    assert not [name for run in unopened for name in run.data.metrics if name.startswith("test")]


def test_a_replay_doubles_nothing(fresh: Path) -> None:
    mirror(fresh)
    sender = tracker(fresh)
    sender.open_tests(summed(0.99, results(0.99)), results(0.99).values())
    sender.artifact("comparison.md", "| a |")
    before = everything(fresh)
    assert len(before) == 2 + 8 + 1
    mirror(fresh)
    again = tracker(fresh)
    again.open_tests(summed(0.99, results(0.99)), results(0.99).values())
    again.artifact("comparison.md", "| b |")
    assert everything(fresh) == before
    (run,) = runs(fresh, "tags.level = 'sweep'")
    kept = MlflowClient(default_uri(fresh)).download_artifacts(run.info.run_id, "comparison.md")
    assert Path(kept).read_text() == "| b |"


def test_a_half_written_cell_is_written_anew(fresh: Path) -> None:
    client = MlflowClient(default_uri(fresh))
    victim = runs(fresh, "tags.level = 'cell' and params.tau = '0.99'")[0]
    client.update_run(victim.info.run_id, status="RUNNING")
    mirror(fresh)
    cells = runs(fresh, "tags.level = 'cell'")
    assert len(cells) == 8
    assert victim.info.run_id not in {run.info.run_id for run in cells}
    assert len({run.data.tags["cell"] for run in cells}) == 8


def test_a_cell_whose_result_was_set_aside_is_written_anew(fresh: Path) -> None:
    victim = runs(fresh, "tags.level = 'cell' and params.tau = '0.99'")[0]
    assert tracker(fresh).forget([victim.data.tags["cell"]])
    assert len(runs(fresh, "tags.level = 'cell'")) == 7
    mirror(fresh)
    cells = runs(fresh, "tags.level = 'cell'")
    assert len(cells) == 8
    assert victim.info.run_id not in {run.info.run_id for run in cells}


def test_the_same_configuration_with_other_settings_is_another_run(fresh: Path) -> None:
    longer = {name: {**values, "steps": 9000} for name, values in SETTINGS.items()}
    sender = Tracker(default_uri(fresh), "byol_tau", "", longer)
    one = cell(0.99, "urdu", 0)
    sender.log(replace(one, spec=one.spec.configured({"steps": 9000})), "tau=0.99")
    assert len(runs(fresh, "tags.level = 'configuration' and params.tau = '0.99'")) == 2
    assert len(runs(fresh, "tags.level = 'cell'")) == 9


def test_a_configuration_is_finished_when_its_cells_are_and_stopped_otherwise(tmp_path: Path) -> None:
    sender = tracker(tmp_path)
    found = dict(list(results(0.99).items())[:3])
    for one in found.values():
        sender.log(one, "tau=0.99")
    sender.aggregate(summed(0.99, found))
    assert runs(tmp_path, "tags.level = 'configuration'")[0].info.status == "RUNNING"
    sender.close()
    assert runs(tmp_path, "tags.level = 'configuration'")[0].info.status == "KILLED"
    mirror(tmp_path)
    assert {run.info.status for run in runs(tmp_path, "tags.level = 'configuration'")} == {"FINISHED"}


def test_a_cell_for_all_languages_and_scores_that_are_not_a_number_are_taken(tmp_path: Path) -> None:
    one = result(baseline_spec(), replace(hits(5, 5, 5, 5), macro_f1=float("nan")), {"urdu": hits(5, 5, 5, 5)})
    sender = Tracker(default_uri(tmp_path), "byol_tau", "", {"baseline": one.spec.settings()})
    assert sender.log(one, "baseline")
    (run,) = runs(tmp_path, "tags.language = 'all'")
    assert "valid/hrl/macro_f1" not in run.data.metrics
    assert run.data.metrics["valid/hrl/uar"] == 0.5


def test_logged_names_the_cells_that_need_no_sending(store: Path) -> None:
    keys = [one.spec.key() for tau in NAMES for one in results(tau).values()]
    assert tracker(store).logged("tau=0.99", keys) == set(keys[:4])


def test_a_server_that_is_down_costs_a_warning_and_little_time(tmp_path: Path) -> None:
    sender = Tracker("http://127.0.0.1:9", "byol_tau", "", SETTINGS)
    began = time.perf_counter()
    with pytest.warns(UserWarning, match=r"MLflow at http://127\.0\.0\.1:9: .*sent at the next run"):
        assert not sender.log(cell(0.99, "urdu", 0), "tau=0.99")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not sender.log(cell(0.99, "urdu", 1), "tau=0.99"), "the server is left alone for a while"
        sender.close()
    assert time.perf_counter() - began < 20
    mirror(tmp_path)
    assert len(runs(tmp_path, "tags.level = 'cell'")) == 8, "the next run sends what was missed"


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    blocked = tmp_path / "runs"
    blocked.touch()
    sender = Tracker(default_uri(blocked), "byol_tau", "", SETTINGS, retry_after_s=0.0)
    with pytest.warns(UserWarning, match="MLflow at"):
        assert not sender.log(cell(0.99, "urdu", 0), "tau=0.99")
    blocked.unlink()
    assert sender.log(cell(0.99, "urdu", 0), "tau=0.99")
    assert len(runs(blocked, "tags.level = 'cell'")) == 1


def test_an_unknown_kind_of_uri_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"unknown kind of tracking URI 'mlruns'; there are: .*sqlite"):
        Tracker("mlruns", "byol_tau", "", {})


@pytest.mark.slow
def test_mlflow_is_imported_only_when_something_is_logged_and_says_nothing(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from orchestrator.tracking import Tracker, default_uri
sender = Tracker(default_uri(Path({str(tmp_path)!r})), "s", "", {{}})
assert "mlflow" not in sys.modules
assert sender.artifact("a.txt", "text")
assert "mlflow" in sys.modules
"""
    here = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_long_curves_cost_few_words_with_the_database(tmp_path: Path) -> None:
    """Two hundred epochs of a dozen curves go in batches, not point by point."""
    sender, said = tracker(tmp_path), Counter[str]()
    first, long, short = (replace(one, spec=replace(one.spec, seed=seed)) for seed, one in enumerate([long_cell()] * 3))
    short = replace(short, history=short.history[:1])
    points = sum(map(len, long.history))
    assert sender.log(first, "tau=0.99")  # opens the database

    def count(name: str, one: Result) -> None:
        def hear(*_: object) -> None:
            said[name] += 1

        event.listen(Engine, "before_cursor_execute", hear)
        try:
            assert sender.log(one, "tau=0.99")
        finally:
            event.remove(Engine, "before_cursor_execute", hear)

    count("short", short)
    count("long", long)
    assert 0 < said["short"] <= said["long"] < said["short"] + points / 20, said


def long_cell() -> Result:
    rows = [{**curve_row(spec(), number), **{f"loss/{k}": 0.1 for k in range(7)}} for number in range(200)]
    return replace(cell(0.99, "urdu", 0), history=rows)


def test_threads_that_share_a_tracker_log_every_cell_once(tmp_path: Path) -> None:
    sender = tracker(tmp_path)
    twice = [(one, name) for tau, name in NAMES.items() for one in results(tau).values()] * 2
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda pair: sender.log(*pair), twice))
    assert len(runs(tmp_path, "tags.level = 'cell'")) == 8
    assert len(runs(tmp_path, "tags.level = 'configuration'")) == 2
