"""MLflow's pages as a person uses them: the list of runs, a filter, Compare."""

import json
from urllib.parse import quote

from tests.browser import Page

CONFIGURATIONS = "tags.level = 'configuration'"

ROWS = "[...document.querySelectorAll('[role=row] a[href*=\"/runs/\"]')]"
NAMES = f"{ROWS}.map(link => link.textContent.trim())"
MATCHING = r"Number((document.body.innerText.match(/(\d+)\s+matching run/) || [])[1] || -1)"
PLOT = "document.querySelector('.js-plotly-plot')"
AXES = f"[...{PLOT}?.querySelectorAll('.axis-title') || []].map(axis => axis.textContent.trim())"
VALUES = f"{PLOT}.data[0].dimensions[0].values"
"""Of the plot's first axis, one a run."""


async def prepare(page: Page, experiment: str, columns: tuple[str, ...] = ()) -> None:
    """A browser of somebody who has closed MLflow's assistant and chosen columns: `params.`tau``, `metrics.`x``."""
    remembered = {
        "mlflow.assistant.panelOpen_v1": "false",
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
        "mlflow.workflowType_v1": json.dumps("machine_learning"),
    }
    if columns:
        state = json.dumps({"selectedColumns": columns})
        remembered[f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState'] = state
    script = "".join(f"localStorage.setItem({json.dumps(k)}, {json.dumps(v)});" for k, v in remembered.items())
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=script)


async def runs_page(page: Page, uri: str, experiment: str, query: str) -> None:
    """The list of runs, filtered."""
    place = f"experiments/{experiment}/runs?workflowType=machine_learning&searchFilter={quote(query)}"
    await page.open(f"{uri}/#/{place}")


async def compare_all(page: Page) -> None:
    """Tick all runs of the list, then Compare."""
    await page.click("document.querySelector('input[aria-label=\"Select all runs\"]')")
    await page.click(
        "[...document.querySelectorAll('button')].find(e => e.textContent.trim() === 'Compare' && !e.disabled)"
    )
