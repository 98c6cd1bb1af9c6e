"""MLflow's database is made by a process that is killed on the way."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

MAKES = """
import sys
from orchestrator.tracking.client import connect, experiment

client = connect("sqlite:///" + sys.argv[1])
print(experiment(client, "sweep", None))
"""
DIES = """
import os, signal
from itertools import count
from sqlalchemy import event
from sqlalchemy.engine import Engine

made = count(1)

@event.listens_for(Engine, "after_cursor_execute")
def note(_connection, _cursor, statement, *_):
    if "CREATE TABLE" in statement and next(made) == TABLES:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("tables", [1, 12, 30])
def test_a_database_whose_maker_was_killed_is_made_anew(tables: int, tmp_path: Path) -> None:
    """MLflow makes some seventy tables one by one; killed in between, it never opened that database again."""
    database = tmp_path / "mlflow.db"
    dies = DIES.replace("TABLES", str(tables)) + MAKES
    maker = subprocess.run([sys.executable, "-c", dies, str(database)], capture_output=True, text=True, check=False)
    assert maker.returncode == -signal.SIGKILL, maker.stderr
    assert not database.exists()
    assert list(tmp_path.glob(".mlflow.db.*.partial")), "it was killed before it had begun"
    again = subprocess.run([sys.executable, "-c", MAKES, str(database)], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.strip()) == (0, "1"), again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
