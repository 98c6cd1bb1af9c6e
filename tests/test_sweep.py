"""The command as a user types it, on the demo, with a real Ray and a real MLflow."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import search_spaces
from orchestrator.ledger import Ledger

SHORT = (
    *("--languages", "demo-arda", "--folds", "0", "1", "--steps", "4", "--slots", "2"),
    *("--set", "tau_horizon=paper", "epoch_steps=2"),
)


def sweep(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with the demo's data and nothing from the environment."""
    return subprocess.run(_command(store, *words), capture_output=True, text=True, env=_environment(), timeout=600)


def _command(store: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.sweep", *words, "--store", str(store)]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "RAY_ADDRESS")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store in which byol_tau (3 τ × 1 language × 2 folds, 4 steps) was run, and what it printed."""
    store = tmp_path_factory.mktemp("runs")
    first = sweep(store, "byol_tau", *SHORT)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "by rehearsals of 1 cell" in first.stderr
    return store, first.stdout


def cells(store: Path) -> dict[str, str]:
    """The ledger's files with their content."""
    return {path.name: path.read_bytes().hex() for path in (store / "cells").glob("*/*")}


def table(printed: str) -> list[str]:
    """The lines of the table, without the count of openings, which grows."""
    lines = printed[printed.index("valid UAR") :].splitlines()
    return [line.rstrip() for line in lines if "opened" not in line]


@pytest.mark.slow
def test_a_first_run_says_it_is_the_demo_and_answers_with_configurations_and_floors(done: tuple[Path, str]) -> None:
    store, printed = done
    assert "time: not known, nothing like byol was timed on CPU cores yet" in printed
    assert "numbers say nothing about real emotions" in printed
    assert "6 cells (3 configurations × 1 language × 2 folds × 1 seed): 0 done, 6 to run" in printed
    for row in ("tau=0.99", "tau=0.996", "tau=0.999", "nuisance_only", "frozen_probe", "own_statistics"):
        assert any(line.strip().startswith(row) for line in table(printed)), row
    assert "chosen by validation UAR (hrl)" in printed
    assert sum(result.spec.method == "byol" for result in Ledger(store)) == 6
    assert not list((store / "checkpoints").glob("*"))
    assert not list((store / "ray").glob("*"))


@pytest.mark.slow
def test_mlflow_holds_one_run_per_configuration_and_one_child_per_cell(done: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    store, _ = done
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("byol_tau")
    assert experiment is not None
    found = {
        level: client.search_runs([experiment.experiment_id], f"tags.level = '{level}'")
        for level in ("configuration", "cell")
    }
    assert sorted(run.info.run_name for run in found["configuration"]) == ["τ=0.99", "τ=0.996", "τ=0.999"]
    (whole,) = client.search_runs([experiment.experiment_id], "tags.level = 'sweep'")
    (page,) = store.glob("reports/byol_tau-*/report.html")
    there = {file.path for file in client.list_artifacts(whole.info.run_id, "report")}
    assert "report/report.html" in there
    assert "<svg" in page.read_text()
    parents = [run.data.tags["mlflow.parentRunId"] for run in found["cell"]]
    assert sorted(parents) == sorted([run.info.run_id for run in found["configuration"]] * 2)
    curve = client.get_metric_history(found["cell"][0].info.run_id, "lambda")
    assert [point.step for point in curve] == [1, 2, 3, 4]
    assert [point.value for point in curve] == pytest.approx([0.8, 0.65, 0.5, 0.35])


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_prints_the_same_table(done: tuple[Path, str]) -> None:
    store, printed = done
    before = cells(store)
    again = sweep(store, "byol_tau", *SHORT)
    assert again.returncode == 0, again.stderr
    assert "6 done, 0 to run" in again.stdout
    assert table(again.stdout) == table(printed)
    assert cells(store) == before


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is not there")
def test_results_that_mlflow_lacks_are_sent_also_where_the_run_cannot_be(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    store = tmp_path / "store"
    shutil.copytree(done[0], store, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts"))
    asked = sweep(store, "byol_tau", *SHORT, "precision=fp32", "--seeds", "0", "1", "--gpus-per-cell", "1")
    assert asked.returncode == 2
    assert "gpus_per_cell is 1; this machine has 0 GPUs" in asked.stderr
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "byol_tau"]
    assert len(client.search_runs([experiment.experiment_id], "tags.level = 'cell'")) == 6


@pytest.fixture
def heard(done: tuple[Path, str], tmp_path: Path) -> Path:
    """A store with the demo's voices and nothing else."""
    for name in ("demo", "prepared"):
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store" / name).symlink_to(done[0] / name)
    return tmp_path / "store"


UNTIL = ("baseline", "--languages", "demo-arda", "--folds", "0", "1", "2", "--steps", "60", "--no-report", "--until-ci")


@pytest.mark.slow
def test_folds_are_dealt_anew_until_the_interval_is_narrow_enough(heard: Path) -> None:
    """As wide as one partition makes it, and then a little less."""
    first = sweep(heard, *UNTIL, "1000")
    assert first.returncode == 0, first.stdout + first.stderr
    found = re.search(r"points, ([\d.]+) wide after 1 partition of 3 folds: narrow enough", first.stdout)
    wide = float(found[1]) if found else 0.0
    assert wide > 0.2, first.stdout
    assert len({result.spec.fold for result in Ledger(heard)}) == 3
    more = sweep(heard, *UNTIL, str(wide - 0.2))
    assert more.returncode == 0, more.stdout + more.stderr
    told = [line for line in more.stdout.splitlines() if " wide after " in line]
    assert "after 1 partition of 3 folds: about " in told[0]
    assert [" needed for " in line for line in told] == [True] * (len(told) - 1) + [False]
    folds = {result.spec.fold for result in Ledger(heard) if result.spec.method == "baseline"}
    assert folds == {fold + 5 * repeat for repeat in range(len(told)) for fold in range(3)}  # of five each
    assert f"over n = {len(folds)} folds" in more.stdout


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is not there")
def test_where_folds_are_dealt_anew_what_keeps_a_run_from_beginning_is_told_as_ever(
    heard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = sweep(heard, *UNTIL, "4", "--gpus-per-cell", "1")
    assert (without.returncode, without.stderr.splitlines()) == (
        2,
        ["error: gpus_per_cell is 1; this machine has 0 GPUs, and no cluster was started"],
    )
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray" / "ray_current_cluster").mkdir(parents=True)  # cannot be read, as somebody else's cannot
    unread = sweep(heard, *UNTIL, "4")
    assert unread.returncode == 1, unread.stdout + unread.stderr
    (line,) = unread.stderr.splitlines()
    assert line.startswith("error: Ray did not start: ")


@pytest.mark.slow
def test_byol_lambda_takes_over_the_cells_that_it_shares_with_byol_tau(done: tuple[Path, str]) -> None:
    shared = sweep(done[0], "byol_lambda", *SHORT, "--dry-run")
    assert "10 cells (5 configurations (1 of them for every language at once) × 1 language × 2 f" in shared.stdout
    assert "× 2 folds × 1 seed): 2 done, 8 to run" in shared.stdout


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_ends_with_the_numbers_of_an_undisturbed_one(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        _command(tmp_path, "byol_tau", *SHORT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
    )
    for _ in _until_first_result(tmp_path, process):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    kept = cells(tmp_path)
    assert kept
    rest = sweep(tmp_path, "byol_tau", *SHORT)
    assert rest.returncode == 0, rest.stderr
    assert {name: content for name, content in cells(tmp_path).items() if name in kept} == kept
    numbers = [{result.spec.key(): (result.test, result.valid) for result in Ledger(s)} for s in (tmp_path, done[0])]
    assert numbers[0] == numbers[1]


def _until_first_result(store: Path, process: "subprocess.Popen[str]") -> Iterator[None]:
    while not list((store / "cells").glob("*/*.json")):
        assert process.poll() is None, "the sweep ended before its first result"
        yield


@pytest.mark.slow
def test_a_second_sweep_on_the_same_store_is_refused_and_says_who_holds_it(done: tuple[Path, str]) -> None:
    store, _ = done
    before = cells(store)
    with Ledger(store).lock("byol_lambda"):
        second = sweep(store, "byol_tau", *SHORT)
    assert second.returncode == 2
    assert "byol_lambda" in second.stderr
    assert str(os.getpid()) in second.stderr
    assert cells(store) == before


@pytest.mark.slow
def test_a_record_of_a_newer_version_is_named_and_left_alone(done: tuple[Path, str], tmp_path: Path) -> None:
    store, _ = done
    (tmp_path / "runs").mkdir()
    for name in ("demo", "prepared"):
        (tmp_path / "runs" / name).symlink_to(store / name)
    original = next(path for path in (store / "cells").glob("*/*.json") if '"byol"' in path.read_text())
    copy = tmp_path / "runs" / "cells" / original.parent.name / original.name
    copy.parent.mkdir(parents=True)
    record = json.loads(original.read_text())
    copy.write_text(json.dumps({**record, "schema": 99}))
    answered = sweep(tmp_path / "runs", "byol_tau", *SHORT)
    assert answered.returncode == 2
    assert len(answered.stderr.strip().splitlines()) == 1
    assert original.name in answered.stderr
    assert json.loads(copy.read_text())["schema"] == 99


@pytest.mark.slow
def test_a_cell_that_fails_is_told_with_its_cause_and_never_falls_out_of_a_mean(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    for name in ("demo", "prepared"):
        shutil.copytree(done[0] / name, tmp_path / name)
    audio = next((tmp_path / "prepared").glob("demo_home-*/audio.f32"))
    audio.write_bytes(b"\xff" * audio.stat().st_size)  # every sample is NaN now, which no check of sizes sees
    words = ("baseline", "--folds", "0", "--steps", "4", "--slots", "1")
    rehearsed = sweep(tmp_path, *words)
    assert rehearsed.returncode == 3, rehearsed.stdout + rehearsed.stderr
    assert "every cell would fail: prepared audio of demo_home/" in rehearsed.stdout
    (audio.parent / "damaged").unlink()  # or the next sweep would know and make it anew
    failed = sweep(tmp_path, *words, "--no-canary")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "prepared audio of demo_home/" in failed.stdout
    assert "baseline: incomplete" in failed.stdout
    assert "none is chosen" in failed.stdout
    assert "IndexError" not in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["byol_tua"], "unknown sweep 'byol_tua'; there are: augmentation_strength, "),
        ([], "name a sweep; --list shows every sweep with its question"),
        (["byol_tau", "--protocol", "opne"], "unknown protocol 'opne'; there are: demo, "),
        (["byol_tau", "--protocol", "open"], "protocol open needs recordings: --data ROOT or $SER_DATA"),
        (["byol_tau", "--data", "/nowhere"], "data root '/nowhere' is not a folder"),
        (["byol_tau", "--set", "tau"], "--set 'tau' must be FIELD=VALUE"),
        (["byol_tau", "--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_bad_words_are_answered_in_one_line_with_the_choices(words: list[str], said: str, tmp_path: Path) -> None:
    answered = sweep(tmp_path, *words)
    assert answered.returncode == 2
    assert answered.stderr.startswith("error: ")
    assert said in answered.stderr
    assert len(answered.stderr.strip().splitlines()) == 1


def test_list_shows_every_sweep_with_its_question(tmp_path: Path) -> None:
    listed = sweep(tmp_path, "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == search_spaces.names()
    assert all(line.endswith("?") for line in listed)
