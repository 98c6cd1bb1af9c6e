"""MLflow's database is made by a process that is killed on the way."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAKES = """
import sys
from orchestrator.tracking.client import connect, experiment

client = connect("sqlite:///" + sys.argv[1])
print(experiment(client, "sweep", None))
"""


@pytest.mark.slow
@pytest.mark.parametrize("tables", [1, 12, 30])
def test_a_database_whose_maker_was_killed_is_made_anew(tables: int, tmp_path: Path) -> None:
    """MLflow makes some seventy tables one by one; killed in between, it never opened that database again."""
    database = tmp_path / "mlflow.db"
    maker = subprocess.Popen([sys.executable, "-c", MAKES, str(database)], stderr=subprocess.DEVNULL)
    while maker.poll() is None and made(tmp_path) < tables:
        time.sleep(0.005)
    os.kill(maker.pid, signal.SIGKILL)
    assert maker.wait() == -signal.SIGKILL, "it was too quick for this test"
    assert not database.exists()
    again = subprocess.run([sys.executable, "-c", MAKES, str(database)], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.strip()) == (0, "1"), again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def made(folder: Path) -> int:
    """How many tables the database that is being made has."""
    for path in (*folder.glob("mlflow.db"), *folder.glob(".mlflow.db.*.partial")):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.0) as opened:
                return int(opened.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])
        except sqlite3.Error:
            continue
    return 0
