"""What a person sees: a sweep's mirror in a real headless Chromium, served by a real `mlflow server`."""

import asyncio
from collections.abc import Iterator

import pytest

from orchestrator.asked import write
from orchestrator.tracking.__main__ import main
from orchestrator.tracking.browse import browse
from tests import browsed
from tests.browser import CHROMIUM, browser
from tests.mlflow_server import Server, served
from tests.synthetic_sweeps import asked, kept, varied

GROUPS = {f"tau={tau}": varied(tau, [right, 5]) for tau, right in ((0.99, 4), (0.996, 6), (0.999, 5))}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three configurations of byol_tau with two languages and two folds."""
    folder = tmp_path_factory.mktemp("served")
    store = folder / "runs"
    kept(store, *GROUPS.values())
    write(store, asked(GROUPS))
    with served(folder) as server:
        assert main(["sync", "--store", str(store), "--tracking-uri", server.uri, "--tests"]) == 0
        yield server


def test_the_filter_shows_exactly_the_configurations_and_compare_plots_the_swept_axis(server: Server) -> None:
    async def look() -> None:
        async with browser() as page:
            await browsed.prepare(page, "1")
            await browsed.runs_page(page, server.uri, "1", "")
            await page.until(f"{browsed.MATCHING} === 16")
            await browsed.runs_page(page, server.uri, "1", browsed.CONFIGURATIONS)
            await page.until(f"{browsed.MATCHING} === 3 && {browsed.ROWS}.length === 3")
            assert sorted(await page.run(browsed.NAMES)) == ["τ=0.99", "τ=0.996", "τ=0.999"]
            await browsed.compare_all(page)
            await page.until(f"{browsed.AXES}.length > 0")
            assert await page.run(browsed.AXES) == ["tau", "valid_uar_mean"]
            assert sorted(await page.run(browsed.VALUES)) == [0.99, 0.996, 0.999]

    asyncio.run(look())


def test_the_link_that_a_sweep_ends_with_shows_the_configurations_to_a_browser_that_never_saw_mlflow(
    server: Server,
) -> None:
    """MLflow's own way there ends, in such a browser, on a page about traces of language models."""

    async def look() -> None:
        async with browser() as page:
            await page.open(browse(server.uri, "1")[0].removeprefix("browse: "))
            await page.until(f"{browsed.MATCHING} === 3 && {browsed.ROWS}.length === 3")
            assert sorted(await page.run(browsed.NAMES)) == ["τ=0.99", "τ=0.996", "τ=0.999"]

    asyncio.run(look())


def test_the_experiment_opens_with_its_question(server: Server) -> None:
    async def look() -> None:
        async with browser() as page:
            await browsed.prepare(page, "1")
            await browsed.runs_page(page, server.uri, "1", browsed.CONFIGURATIONS)
            await page.until("document.body.innerText.includes('Which τ?')")
            text = await page.run("document.body.innerText")
            assert "python -m orchestrator.sweep byol_tau" in text
            assert "0123456789ab" in text

    asyncio.run(look())
