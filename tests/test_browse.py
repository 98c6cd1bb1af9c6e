"""What a sweep says at its end of where it is to be seen; `test_browser.py` follows the link."""

import pytest

from orchestrator.tracking.browse import browse

PAGE = "/#/experiments/7/runs?workflowType=machine_learning&searchFilter=tags.level%20%3D%20%27configuration%27"


@pytest.mark.parametrize(
    ("uri", "experiment", "lines"),
    [
        (
            "sqlite:///runs/mlflow.db",
            "7",
            ["browse: mlflow ui --backend-store-uri sqlite:///runs/mlflow.db", f"        http://127.0.0.1:5000{PAGE}"],
        ),
        ("sqlite:///runs/mlflow.db", "", ["browse: mlflow ui --backend-store-uri sqlite:///runs/mlflow.db"]),
        ("http://127.0.0.1:5000/", "7", [f"browse: http://127.0.0.1:5000{PAGE}"]),
        ("https://me:secret@host", "7", [f"browse: https://***@host{PAGE}"]),
        ("http://host:5000", "", ["browse: http://host:5000"]),
        ("databricks://profile", "7", ["browse: databricks://profile"]),
    ],
)
def test_a_server_is_named_with_its_page_and_a_database_with_the_command(
    uri: str, experiment: str, lines: list[str]
) -> None:
    assert browse(uri, experiment) == lines
