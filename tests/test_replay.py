"""Replay: a cell of the demo is trained again outside Ray, and a record that was altered anywhere is found out."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.asked import write
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.replay import circumstances, comparison, main, near, same_bits
from tests.synthetic_results import hits, result
from tests.synthetic_results import spec as synthetic
from tests.synthetic_sweeps import asked
from tests.test_cell import TARGET, spec, workspace
from trainers import cell
from trainers.result import Result

THREADS = torch.get_num_threads()


@pytest.fixture(scope="module")
def stored(demo_ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A store with one really trained cell and what it heard."""
    store = tmp_path_factory.mktemp("replayed")
    shutil.copytree(demo_ground.prepared.paths[0].parent, store / "prepared")
    trained = cell.run(spec(demo_ground), workspace(demo_ground, store))
    return store, trained


def kept(store: Path, stored: tuple[Path, Result], trained: Result) -> Path:
    """A store of its own with this record, beside the same speech."""
    (store / "prepared").symlink_to(stored[0] / "prepared")
    Ledger(store).write(trained)
    write(store, asked({"byol tau=0.9": [trained]}))
    return store


def told(words: list[str], ground: Ground, store: Path) -> int:
    return main([*words, "--store", str(store), "--encoder", str(ground.encoder_folder)])


@pytest.mark.slow
def test_a_cell_is_replayed_to_the_bit_and_leaves_the_store_as_it_was(
    demo_ground: Ground, stored: tuple[Path, Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept(tmp_path, stored, stored[1])
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if not path.name.startswith("copies")}
    assert told([stored[1].spec.key()[:8]], demo_ground, store) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [
        *("✓ predictions", "✓ valid", "✓ test", "✓ whole", "✓ secondary", "✓ history", "✓ facts", "✓ embeddings")
    ]
    assert all("figures are the same" in line for line in lines)
    after = {path: path.stat().st_mtime_ns for path in store.rglob("*") if not path.name.startswith("copies")}
    assert after == before
    assert torch.get_num_threads() == THREADS or torch.get_num_threads() == 1


def one_bit_of_history(one: Result) -> Result:
    rows = [dict(row) for row in one.history]
    rows[1]["loss/total"] = torch.nextafter(torch.tensor(rows[1]["loss/total"]), torch.tensor(9.0)).item()
    return replace(one, history=rows)


def another_prediction(one: Result) -> Result:
    rows = [dict(row) for row in one.predictions]
    rows[3]["predicted"] = (rows[3]["predicted"] + 1) % 4
    return replace(one, predictions=rows)


def without_a_prediction(one: Result) -> Result:
    return replace(one, predictions=one.predictions[:-1])


def another_fact(one: Result) -> Result:
    return replace(one, facts={**one.facts, "best_step": one.facts["best_step"] + 1})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("altered", "said"),
    [
        (one_bit_of_history, "✗ history: 1 of "),
        (another_prediction, "✗ predictions: 1 of "),
        (without_a_prediction, "figures differ, first rows"),
        (another_fact, "✗ facts: 1 of "),
    ],
)
def test_a_record_that_was_altered_by_one_figure_is_found_out(
    demo_ground: Ground,
    stored: tuple[Path, Result],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    altered: Callable[[Result], Result],
    said: str,
) -> None:
    store = kept(tmp_path, stored, altered(stored[1]))
    place = ["byol_tau", "byol tau=0.9", TARGET, str(stored[1].spec.fold)]
    assert told(place, demo_ground, store) == 1
    out = capsys.readouterr().out
    assert said in out
    assert out.count("✗") == 1


@pytest.mark.slow
def test_what_cannot_be_replayed_is_told_in_one_line(
    demo_ground: Ground, stored: tuple[Path, Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept(tmp_path, stored, stored[1])
    key, fold = stored[1].spec.key(), str(stored[1].spec.fold)
    for words, said in [
        (["ffff" if key[0] != "f" else "0000"], "no cells whose keys begin with"),
        (["byol_tau", "tau=0.9", TARGET, fold], "unknown configuration of byol_tau 'tau=0.9'; there are: byol tau=0.9"),
        (["byol_tau", "byol tau=0.9", "klingon", fold], f"unknown language 'klingon'; there are: {TARGET}"),
        (["byol_tau", "byol tau=0.9", TARGET, "77"], f"unknown fold '77'; there are: {fold}"),
        (["byol_tau", TARGET], "not by 2 words"),
    ]:
        assert told(words, demo_ground, store) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.splitlines()) == 1
    assert main([key, "--store", str(store), "--encoder", str(tmp_path / "none")]) == 2
    (store / "prepared").unlink()
    assert told([key], demo_ground, store) == 2
    assert "is not prepared in" in capsys.readouterr().err


HERE = {"device": "cpu", "torch": torch.__version__, "processor": "x86_64", "cores": "1"}


def test_bits_are_asked_for_only_under_the_circumstances_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert circumstances(HERE)[1] == []
    for other in ({"torch": "1.0"}, {"processor": "aarch64"}, {"cores": ""}, {"device": "cuda"}):
        assert len(circumstances({**HERE, **other})[1]) == 1
    assert circumstances({})[1]


def test_the_same_bits_are_a_finer_question_than_equality() -> None:
    assert same_bits(float("nan"), float("nan"))
    assert not same_bits(0.0, -0.0)
    assert not same_bits(1.0, 1.0 + 2**-52)
    assert same_bits(2, 2.0)
    assert near(1.0, 1.04)
    assert not near(1.0, 1.2)
    assert not near("happy", "sad")


def altered_history(**values: Any) -> list[dict[str, float]]:
    return [{"step": float(step), "loss/total": 1.0, **values} for step in range(100)]


def test_on_other_hardware_a_few_figures_may_be_off_and_no_more() -> None:
    one = replace(result(synthetic(0.9, "urdu", 0), hits(5, 5, 5, 5), {"urdu": hits(5, 5, 5, 5)}))
    one = replace(one, history=altered_history())
    few, many = altered_history(), altered_history()
    for row in few[:5]:
        row["loss/total"] = 2.0
    for row in many[:40]:
        row["loss/total"] = 2.0

    def history(other: list[dict[str, float]], exact: bool) -> bool:
        found = comparison(one, replace(one, history=other), exact=exact)
        return next(each.holds for each in found if each.part == "history")

    assert history(few, exact=False)
    assert not history(many, exact=False)
    assert not history(few, exact=True)
