"""Where a sweep is to be seen in MLflow. Its front page shows a newcomer what it has for language models, and nothing
of ours; the link opens the configurations, whatever the browser did before."""

from urllib.parse import quote, urlsplit

from trainers.credentials import masked

CONFIGURATIONS = "tags.level = 'configuration'"
DEFAULT_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves."""


def browse(uri: str, experiment: str) -> list[str]:
    """Lines that say how to look at an experiment, by its number ("" where it is not known), in the MLflow at `uri`."""
    page = f"/#/experiments/{experiment}/runs?workflowType=machine_learning&searchFilter={quote(CONFIGURATIONS)}"
    scheme, shown = urlsplit(uri).scheme, masked(uri)
    if scheme in ("http", "https"):
        return [f"browse: {shown.rstrip('/')}{page if experiment else ''}"]
    if scheme == "databricks":
        return [f"browse: {shown}"]
    command = f"browse: mlflow ui --backend-store-uri {shown}"
    return [command, f"        {DEFAULT_SERVER}{page}"] if experiment else [command]
