"""Secrets are written nowhere, weights hold no programs, and paths that a file tells stay below the data root."""

import ast
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.arguments import parse
from orchestrator.command_line import without_credentials
from trainers.corpora.manifest import manifest_corpus
from trainers.credentials import masked
from trainers.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for package in ("orchestrator", "search_spaces", "trainers") for path in (ROOT / package).rglob("*.py")]

PLANTED = {
    "MLFLOW_TRACKING_PASSWORD": "planted-Zq1-password",
    "MLFLOW_TRACKING_TOKEN": "planted-Zq2-token",
    "AWS_ACCESS_KEY_ID": "planted-Zq3-key",
    "AWS_SECRET_ACCESS_KEY": "planted-Zq4-secret",
    "HF_TOKEN": "planted-Zq5-hub",
}
IN_ADDRESS = "planted-Zq6-inside"


# --- addresses


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://ann:pw@host:5000/a", "http://***@host:5000/a"),
        ("postgresql+psycopg2://ann:p@w@host/db", "postgresql+psycopg2://***@host/db"),
        ("sweep --tracking-uri https://token@host", "sweep --tracking-uri https://***@host"),
        ("https://host/x?token=abc&page=2", "https://host/x?token=***&page=2"),
        ("mssql://host/db?odbc_Password=abc", "mssql://host/db?odbc_Password=***"),
        ("sqlite:////runs/mlflow.db", "sqlite:////runs/mlflow.db"),
        ("mail ann@host about http://host/a@b", "mail ann@host about http://host/a@b"),
    ],
)
def test_who_asks_is_masked_in_addresses_and_nothing_else(text: str, told: str) -> None:
    assert masked(text) == told
    assert masked(told) == told
    assert str(UserError(text)) == told


def test_a_servers_password_goes_to_the_environment_and_out_of_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "before")
    uri = "https://an%40n:p%2Fw@host:5000/mlflow"
    monkeypatch.setattr(sys, "argv", ["sweep", "byol_tau", "--tracking-uri", uri])
    assert parse(None).tracking_uri == "https://host:5000/mlflow"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("an@n", "p/w")
    assert sys.argv == ["sweep", "byol_tau", "--tracking-uri", "https://***@host:5000/mlflow"]
    assert without_credentials("postgresql://a:b@host/db") == "postgresql://a:b@host/db"
    with pytest.raises(UserError, match="is no address"):
        without_credentials("http://[::1")


# --- all that a sweep writes


def holding(folder: Path, secret: bytes) -> list[str]:
    """Files below a folder that have a secret in them, compressed ones unpacked."""
    import gzip

    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += gzip.decompress(content) if content[:2] == b"\x1f\x8b" else b""
            found += [str(path.relative_to(folder))] if secret in content else []
    return found


@pytest.mark.slow
def test_planted_secrets_are_in_nothing_that_a_sweep_writes_or_says(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A demo sweep with its report, mirrored to a database and then told a server that is not there."""
    store, home, logs = tmp_path / "runs", tmp_path / "home", Path("/tmp") / f"fw{os.getpid()}"
    environment = {name: value for name, value in os.environ.items() if name not in ("SER_DATA", "RAY_ADDRESS")}
    home.mkdir()
    request.addfinalizer(lambda: shutil.rmtree(logs, ignore_errors=True))
    environment |= {**PLANTED, "HOME": str(home), "RAY_TMPDIR": str(logs), "PYTHONPATH": str(ROOT)}
    short = "baseline --languages demo-arda --folds 0 1 --steps 4 --slots 1 --set epoch_steps=2"
    address = f"http://ann:{IN_ADDRESS}@127.0.0.1:9/"
    said = ""
    for more, rc in (
        ("", 0),
        (f"--tracking-uri {address}", 0),
        ("--tracking-uri gopher://ann:" + IN_ADDRESS + "@h", 2),
    ):
        words = [sys.executable, "-m", "orchestrator.sweep", *shlex.split(f"{short} {more}"), "--store", str(store)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=900, cwd=tmp_path)
        assert done.returncode == rc, done.stdout + done.stderr
        said += done.stdout + done.stderr
    assert "***" in said  # the refused address, masked
    assert (store / "mlflow.db").is_file()
    assert list((store / "reports").rglob("report.html"))
    assert len(list(store.rglob("*.details.json.gz"))) > 2
    for secret in (*PLANTED.values(), IN_ADDRESS):
        assert secret not in said
        assert holding(tmp_path, secret.encode()) == []
        if logs.is_dir():
            assert holding(logs, secret.encode()) == []
    dumped = "\n".join(sqlite3.connect(store / "mlflow.db").iterdump())
    assert "planted-Zq" not in dumped
    assert "baseline" in dumped


def test_the_search_for_secrets_finds_one_that_is_there(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a").write_text("x planted y")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"planted " * 9))
    (tmp_path / "c").write_text("plant")
    assert sorted(holding(tmp_path, b"planted")) == ["a", "b.gz"]


# --- what is loaded

FORBIDDEN = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
"""Formats that can hold programs."""


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def offences(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in FORBIDDEN)
        if isinstance(node, ast.Call):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            name = called(node)
            if name == "torch.load" and given.get("weights_only") != "True":
                yield name
            if name.endswith(("np.load", "numpy.load")) and given.get("allow_pickle", "False") != "False":
                yield name
            if name in ("yaml.load", "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle", "eval", "exec"):
                yield name
            if given.get("shell") == "True" or name == "os.system":
                yield f"{name} with a shell"
            if given.get("trust_remote_code", "False") != "False":
                yield f"{name} with code from the hub"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_loaded_that_can_hold_a_program(path: Path) -> None:
    assert list(offences(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_rule_finds_what_it_forbids(source: str) -> None:
    assert list(offences(source))
    assert not list(offences("torch.load(path, weights_only=True); np.load(path); ast.literal_eval(text); net.eval()"))


# --- paths


@pytest.mark.parametrize(
    "told", ["../secret.wav", "/etc/secret.wav", "a/../../secret.wav", "link.wav", "linked/secret.wav"]
)
def test_a_manifests_paths_stay_below_its_folder(tmp_path: Path, told: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "root" / "mine"
    for each in (outside, folder / "a"):
        each.mkdir(parents=True)
    (outside / "secret.wav").write_bytes(b"RIFF")
    (tmp_path / "root" / "secret.wav").write_bytes(b"RIFF")
    (folder / "link.wav").symlink_to(outside / "secret.wav")
    (folder / "linked").symlink_to(outside)
    (folder / "manifest.csv").write_text(f"path,language,speaker,gender,emotion\n{told},german,anna,female,happy\n")
    with pytest.raises(UserError, match=r"leads out of the folder|lies in a linked folder"):
        manifest_corpus(tmp_path / "root", "mine")
