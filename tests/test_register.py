"""From a sweep to a registered model and its answers, with a real MLflow: SQLite and a server on loopback."""

import csv
import io
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

import search_spaces
from orchestrator import predict, register, registry
from orchestrator.answer import Answer
from orchestrator.asked import write
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.plan import Request, plan
from tests.mlflow_server import served
from tests.synthetic_results import result
from tests.synthetic_sweeps import level
from trainers.corpora.utterance import EMOTIONS
from trainers.predictor import Predictor

LANGUAGES = ("demo-arda", "demo-bela")
COMMAND = "python -m orchestrator.sweep byol_tau --languages demo-arda demo-bela --folds 0 1"
SETTINGS = {
    "steps": 2,
    "tau_horizon": "paper",
    "batch_size": 4,
    "projector_hidden": 16,
    "projection": 8,
    "length_s": 0.5,
    "mixup_bank": 8,
}
NAME = "foldwise-byol_tau-demo-arda"


def sweep_done(store: Path, ground: Ground, demo_store: Path) -> Path:
    """A sweep of which every cell is done: τ = .996 is best on validation, .999 on test."""
    store.mkdir()
    for shared in ("demo", "prepared"):
        (store / shared).symlink_to(demo_store / shared)
    sweep = search_spaces.load("byol_tau")
    planned = plan("byol_tau", sweep, ground, Request(LANGUAGES, (0, 1), settings=SETTINGS))
    answer = Answer(sweep, ground, planned, Ledger(store), None, COMMAND)
    for cell in planned.cells:
        name = planned.configurations[cell.configuration or 0].name
        valid, test = {"tau=0.996": (7, 3), "tau=0.999": (5, 9)}.get(name, (4, 4))
        languages = {str(cell.spec.target): level(test), "demo-home": level(test)}
        answer.ledger.write(result(cell.spec, level(valid), languages))
    write(store, answer.record())
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, demo_ground: Ground, demo_store: Path) -> Path:
    """A finished sweep, its two models registered."""
    made = sweep_done(tmp_path_factory.mktemp("register") / "runs", demo_ground, demo_store)
    assert register.main(["byol_tau", "--store", str(made)]) == 0
    return made


@pytest.fixture(scope="module")
def wavs(demo_store: Path) -> list[str]:
    return [str(path) for path in sorted((demo_store / "demo" / "data" / "demo_arda").rglob("*.wav"))[:3]]


def folder_of(store: Path, name: str = NAME) -> Path:
    (version,) = MlflowClient(f"sqlite:///{store}/mlflow.db").search_model_versions(f"name = '{name}'")
    return store / "models" / version.tags["refit"]


@pytest.mark.slow
def test_a_model_of_each_language_is_registered_once_with_all_that_it_is(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register.main(["byol_tau", "--store", str(store)]) == 0
    said = capsys.readouterr().out
    assert "byol_tau for demo-arda: tau=0.996, chosen on validation (hrl) among 3, validation UAR 70.0 %" in said
    assert f"{NAME} is registered already: as version 1" in said
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    for language in LANGUAGES:
        (version,) = client.search_model_versions(f"name = 'foldwise-byol_tau-{language}'")
        told = version.tags
        assert (told["configuration"], told["language"], told["valid_uar"]) == ("tau=0.996", language, "0.7000")
        spec = Ledger(store).light(told["cell"]).spec
        assert (spec.target, spec.fold, spec.config.tau) == (language, 0, 0.996)
        assert "licences bind" in told["licence"]
        assert client.get_run(version.run_id).info.status == "FINISHED"
        assert client.get_run(version.run_id).data.params["tau"] == "0.996"
    home = client.get_experiment_by_name("byol_tau")
    assert len(client.search_runs([home.experiment_id], "tags.level = 'model'")) == 2
    assert not (store / "test_openings.jsonl").exists()


@pytest.mark.slow
def test_a_clean_process_loads_it_with_mlflow_alone(store: Path, wavs: list[str], tmp_path: Path) -> None:
    program = f"""
import json, mlflow, pandas, soundfile
mlflow.set_tracking_uri("sqlite:///{store}/mlflow.db")
model = mlflow.pyfunc.load_model("models:/{NAME}/1")
paths = {wavs!r}
by_path = model.predict(pandas.DataFrame({{"path": paths}}))
read = [soundfile.read(path) for path in paths]
table = pandas.DataFrame({{"waveform": [samples for samples, _ in read], "sample_rate_hz": [rate for _, rate in read]}})
print(json.dumps([list(by_path.columns), by_path.values.tolist(), model.predict(table).values.tolist()]))
example = model.predict(model.input_example)
print(json.dumps(example.values.tolist()))
try:
    model.predict(paths)
except Exception as error:
    print(str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    told, example, refused = done.stdout.strip().splitlines()[-3:]
    columns, by_path, by_waveform = json.loads(told)
    expected = Predictor(folder_of(store)).predict(wavs)
    assert columns == list(EMOTIONS)
    assert np.abs(np.array(by_path) - expected).max() < 1e-5
    assert np.abs(np.array(by_waveform) - expected).max() < 1e-5
    assert np.isfinite(json.loads(example)).all()
    assert "give a DataFrame with a column path" in refused
    assert "Type hint" not in done.stderr


@pytest.mark.slow
def test_every_way_to_name_a_model_leads_to_the_same_probabilities(
    store: Path, wavs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    client.set_registered_model_alias(NAME, "best", "1")
    folder = folder_of(store)
    expected = Predictor(folder).predict(wavs)
    ways = [NAME, f"{NAME}/1", f"models:/{NAME}/1", f"{NAME}@best", f"models:/{NAME}/latest", str(folder), folder.name]
    for way in ways:
        assert predict.main([way, *wavs, "--store", str(store), "--format", "json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [one["path"] for one in told] == wavs
        found = np.array([[one["probabilities"][emotion] for emotion in EMOTIONS] for one in told])
        assert np.abs(found - expected).max() < 1e-12
        assert [one["emotion"] for one in told] == [EMOTIONS[place] for place in expected.argmax(1)]


@pytest.mark.slow
def test_bad_files_are_told_and_the_others_are_predicted(
    store: Path, wavs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    files = [wavs[0], str(text), wavs[1], str(tmp_path / "absent.wav")]
    folder = str(folder_of(store))
    assert predict.main([folder, *files, "--store", str(store), "--format", "csv"]) == 1
    said = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["path"] for row in rows] == wavs[:2]
    assert abs(sum(float(rows[0][emotion]) for emotion in EMOTIONS) - 1) < 1e-9
    first, second = said.err.splitlines()
    assert first.startswith(f"error: {text}: ")
    assert second.startswith(f"error: {tmp_path / 'absent.wav'}: ")
    assert predict.main([folder, *files, "--store", str(store)]) == 1
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["path", "emotion", *EMOTIONS]
    assert len(table) == 3


@pytest.mark.slow
def test_what_is_not_there_is_told_with_what_is(
    store: Path, wavs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, why in (
        (["foldwise-byol_tua"], r"unknown model 'foldwise-byol_tua'; there are: .*foldwise-byol_tau-demo-arda"),
        ([f"{NAME}/7"], "unknown version of foldwise-byol_tau-demo-arda '7'; there are: 1"),
        ([f"{NAME}@worst"], "unknown version of foldwise-byol_tau-demo-arda 'worst'"),
        ([NAME, "--format", "yaml"], "unknown format 'yaml'; there are: csv, json, table"),
        ([NAME, "--store", str(tmp_path)], f"unknown model '{NAME}'; there are: none"),
        ([NAME, "--tracking-uri", "http://127.0.0.1:9"], "MLflow at http://127.0.0.1:9: "),
    ):
        assert predict.main([words[0], wavs[0], "--store", str(store), *words[1:]]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert re.search(why, line), line
    assert not (tmp_path / "mlflow.db").exists()
    for words, why in (
        (["byol_tua"], "no results of 'byol_tua'"),
        (["byol_tau", "--language", "urdu"], "unknown language of byol_tau 'urdu'"),
        (["byol_tau", "--configuration", "tau=2"], "unknown configuration of byol_tau 'tau=2'"),
        (["byol_tau", "--name", "one"], "--name names one model; byol_tau has 2"),
        (["byol_tau", "--data", str(tmp_path)], "leave out --data"),
    ):
        assert register.main([*words, "--store", str(store)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert why in line


@pytest.mark.slow
def test_a_server_takes_and_gives_it_too_and_nothing_is_left_where_one_stands(
    store: Path,
    wavs: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with served(tmp_path) as server:
        words = ["byol_tau", "--store", str(store), "--language", "demo-arda", "--tracking-uri", server.uri]
        for _ in range(2):
            assert register.main([*words, "--name", "mine"]) == 0
        assert len(MlflowClient(server.uri).search_model_versions("name = 'mine'")) == 1
        capsys.readouterr()
        asked = ["mine", *wavs, "--tracking-uri", server.uri, "--store", str(tmp_path / "no store"), "--format", "json"]
        assert predict.main(asked) == 0
    assert [*(tmp_path / "here").iterdir()] == []
    told = json.loads(capsys.readouterr().out)
    found = np.array([list(one["probabilities"].values()) for one in told])
    assert np.abs(found - Predictor(folder_of(store)).predict(wavs)).max() < 1e-12


@pytest.mark.slow
def test_a_model_that_mlflow_did_not_take_is_kept_and_registered_by_the_same_command(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["byol_tau", "--store", str(store), "--language", "demo-arda", "--tracking-uri", "http://127.0.0.1:9"]
    assert register.main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: MLflow at http://127.0.0.1:9 did not take foldwise-byol_tau-demo-arda: ")
    assert str(folder_of(store)) in said[-1]


def test_pinned_packages_are_the_projects_and_all_that_a_model_needs() -> None:
    pins = (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
    wanted = registry.requirements({"view_names": ("layers", "egemaps")})
    assert [one for one in wanted if one not in pins] == []
    program = "import sys, trainers.predictor; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    owners = metadata.packages_distributions()
    loaded = {owner.lower() for module in done.stdout.split() for owner in owners.get(module, [])}
    direct = {re.split(r"[\[;<>= ]", one)[0].lower() for one in metadata.requires("foldwise") or []}
    assert loaded & direct <= {one.partition("==")[0] for one in wanted}
