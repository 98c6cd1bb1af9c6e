"""A report of cells that were really trained: embeddings, curves and views are those of the results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.answers.shown import answered
from orchestrator.asked import Asked
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.pictures.material import Material
from orchestrator.pictures.views import folders_with, views_of
from orchestrator.report import CHAPTERS, write_report
from tests.synthetic_sweeps import asked
from tests.test_cell import BYOL, TARGET, spec, workspace
from tests.test_report import Page
from trainers import cell
from trainers.audio.log_mel import log_mel
from trainers.methods.configs import BaselineConfig
from trainers.result import Result
from trainers.speech import Speech


@pytest.fixture(scope="module")
def trained(demo_ground: Ground, demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, Asked]:
    """A store with a cell of the baseline and two of BYOL, and its prepared audio."""
    store = tmp_path_factory.mktemp("store")
    (store / "prepared").symlink_to(demo_store / "prepared")
    ledger, place = Ledger(store), workspace(demo_ground, store)
    byol = [spec(demo_ground, "byol", config=replace(BYOL, tau=tau)) for tau in (0.9, 0.95)]
    groups: dict[str, list[Result]] = {}
    for name, one in zip(("baseline", "tau=0.9", "tau=0.95"), (spec(demo_ground, "baseline"), *byol), strict=True):
        groups[name] = [cell.run(one, place)]
        ledger.write(groups[name][0])
    of = asked(groups, languages=(TARGET,), held_out=("demo-home",), folds={TARGET: 5}, protocol="demo")
    methods = tuple(
        replace(one, method=method) for one, method in zip(of.configurations, ("baseline", "BYOL", "BYOL"), strict=True)
    )
    return ledger, replace(of, configurations=methods)


@pytest.mark.slow
def test_every_chapter_is_made_and_the_page_is_whole(trained: tuple[Ledger, Asked], tmp_path: Path) -> None:
    ledger, of = trained
    comparison = answered(ledger, of)
    for made in CHAPTERS:  # a report would only say that one failed
        assert made(Material(ledger, of, comparison)).read
    told = write_report(ledger, of, comparison, tmp_path).read_text()
    page = Page(told)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.wanted <= set(page.ids)
    assert "tau=0.9, tau=0.95 (byol)" in told  # they augment alike, so their views are shown once
    names = {path.stem for path in (tmp_path / "pictures").glob("*.svg")}
    assert len(names) == len(page.pictures)
    kinds = {name.split("-")[0] for name in names}
    assert kinds == {"swept", "difference", "speakers", "confusion", "tsne", "losses", "curve", "views"}
    assert len(told.encode()) < 2_000_000


@pytest.mark.slow
def test_the_first_view_is_what_the_cell_was_tested_on_and_the_others_are_its_strengths(
    trained: tuple[Ledger, Asked], demo_ground: Ground
) -> None:
    ledger, _ = trained
    clip = demo_ground.prepared.utterances[0].id
    folders = folders_with(ledger.store, clip)
    own = spec(demo_ground, "byol")
    views = dict(views_of(folders, clip, own))
    speech = Speech(demo_ground.prepared, own.front_end, torch.device("cpu"))
    heard = torch.from_numpy(speech.waveforms(speech.numbers([clip])))
    assert np.array_equal(views["as it is"], log_mel(heard, n_samples=own.front_end.n_samples)[0].numpy())
    mixed = [f"BYOL view {number}, mixed with another clip" for number in (1, 2)]
    assert list(views) == ["as it is", "supervised view 1", *mixed]
    assert len({view.tobytes() for view in views.values()}) == 4
    still = replace(own, config=replace(BYOL, strength=0.0, supervised_strength=0.0))
    assert len({view.tobytes() for view in dict(views_of(folders, clip, still)).values()}) == 1
    plain = spec(demo_ground, "baseline", config=BaselineConfig(strength=0.0))
    assert list(dict(views_of(folders, clip, plain))) == ["as it is"]
    assert folders_with(ledger.store, "nobody.wav") == []
