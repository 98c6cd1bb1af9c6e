"""A tally says of a cell what its result says, is read again in a moment, and is never out of date."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.answers.remembered import Memory, tallies_of
from orchestrator.answers.tallies import CLASSES, Counts, Layout, Pile, tally
from orchestrator.ledger import Ledger
from tests.synthetic_results import baseline_spec, drawn, hits, predictions, result, spec
from trainers.corpora.utterance import EMOTIONS
from trainers.result import Result

DRAW = np.random.default_rng(0)


def cell(fold: int = 0) -> Result:
    scores = {name: drawn(0.6, 70, DRAW) for name in ("urdu", "english")}
    return replace(result(spec(0.99, "urdu", fold), drawn(0.5, 40, DRAW), scores), whole={"urdu": drawn(0.5, 90, DRAW)})


def counted(*confusions: tuple[tuple[int, ...], ...]) -> list[Counts]:
    """A pile of one score a cell."""
    matrices = np.array(confusions, np.int32).reshape(-1, 1, CLASSES, CLASSES)
    pile = Pile(Layout.of([("test", "urdu")]), matrices)
    return [Counts(pile, cell, 0) for cell in range(len(confusions))]


def test_counts_have_the_measures_of_a_score() -> None:
    scores = [drawn(0.5, 60, DRAW) for _ in range(20)]
    for counts, score in zip(counted(*(score.confusion for score in scores)), scores, strict=True):
        assert (counts.n, counts.recall, counts.confusion) == (score.n, pytest.approx(score.recall), score.confusion)
        told = (counts.uar, counts.macro_f1, counts.accuracy)
        assert told == pytest.approx((score.uar, score.macro_f1, score.accuracy))


def test_measures_without_a_class_or_any_clip() -> None:
    lacking, empty = counted(((5, 5, 0, 0), (4, 6, 0, 0), (0, 0, 7, 3), (0, 0, 0, 0)), ((0,) * 4,) * 4)
    assert lacking.uar == pytest.approx((0.5 + 0.6 + 0.7) / 3)
    assert np.isnan([lacking.macro_f1, lacking.recall["sad"], empty.uar, empty.accuracy, empty.macro_f1]).all()


def test_a_tally_has_every_part_and_every_evaluator() -> None:
    one = cell()
    found = tally(one)
    for kind in ("valid", "test", "whole"):
        assert {name: score.confusion for name, score in getattr(one, kind).items()} == {
            name: counts.confusion for name, counts in getattr(found, kind).items()
        }
    assert set(found.secondary) == {"online", "passive tau=0.99"}
    assert found.secondary["online"]["urdu"].uar == pytest.approx(one.secondary["online"]["test/urdu"].uar)


def test_speakers_are_counted_from_the_predictions() -> None:
    score = hits(7, 5, 6, 4)
    names, matrices = tally(result(baseline_spec(2), score, {"urdu": score, "german": score})).speakers("urdu")
    assert names == ("urdu:20", "urdu:21", "urdu:22", "urdu:23")
    for name, matrix in zip(names, matrices, strict=True):
        rows = [row for row in predictions("urdu", score, 2) if row["speaker"] == name]
        for truth, emotion in enumerate(EMOTIONS):
            guesses = [row["predicted"] for row in rows if row["emotion"] == emotion]
            assert matrix[truth].tolist() == [guesses.count(guess) for guess in range(4)]
    assert tally(result(baseline_spec(), score, {"urdu": score})).speakers("german")[0] == ()


def test_predictions_on_all_clips_are_no_test_clips() -> None:
    score = hits(7, 5, 6, 4)
    rows = [{**row, "part": "whole/urdu"} for row in predictions("urdu", score)]
    assert tally(replace(result(baseline_spec(), score, {}), predictions=rows)).speakers("urdu")[0] == ()


# --- memory


@dataclass
class Noting:
    """A ledger that notes which results are read whole."""

    ledger: Ledger
    read_keys: list[str] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.ledger.store

    def read(self, key: str) -> Result | None:
        self.read_keys.append(key)
        return self.ledger.read(key)

    def bring(self, keys: Collection[str]) -> None:
        self.ledger.bring(keys)


def test_what_was_counted_is_not_counted_again(tmp_path: Path) -> None:
    ledger, cells = Noting(Ledger(tmp_path)), [cell(fold) for fold in range(3)]
    for one in cells[:2]:
        ledger.ledger.write(one)
    keys = [one.spec.key() for one in cells]
    first = Memory(ledger, tmp_path / "tallies.bin").of(keys)
    assert sorted(ledger.read_keys) == sorted(keys[:2])
    ledger.ledger.write(cells[2])
    again = Memory(ledger, tmp_path / "tallies.bin").of(keys)
    assert ledger.read_keys[2:] == keys[2:], "only the new one"
    for key in keys[:2]:
        assert {name: score.confusion for name, score in first[key].test.items()} == {
            name: score.confusion for name, score in again[key].test.items()
        }
        assert (first[key].speakers("urdu")[1] == again[key].speakers("urdu")[1]).all()
        assert first[key].speakers("urdu")[0] == again[key].speakers("urdu")[0]
        assert again[key].secondary["online"]["urdu"].confusion == again[key].test["urdu"].confusion


def test_cells_are_found_by_the_places_of_their_configurations(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path), [cell(fold) for fold in range(2)]
    for one in cells:
        ledger.write(one)
    groups = {"a": {0: cells[0].spec.key(), 1: cells[1].spec.key()}, "b": {0: cells[0].spec.key(), 1: "0" * 64}}
    for _ in range(2):
        found = tallies_of(ledger, "s", groups)
        assert {name: list(own) for name, own in found.items()} == {"a": [0, 1], "b": [0]}
        assert found["a"][1].test["urdu"].confusion == cells[1].test["urdu"].confusion
    assert (tmp_path / "sweeps" / "s" / "tallies.bin").exists()


def test_a_record_that_changed_is_counted_anew(tmp_path: Path) -> None:
    ledger, memory, one = Ledger(tmp_path), tmp_path / "tallies.bin", cell()
    key = one.spec.key()
    ledger.write(one)
    Memory(ledger, memory).of([key])
    ledger.set_aside([key])
    assert Memory(ledger, memory).of([key]) == {}, "a record that is gone has no tally"
    other = replace(one, test={**one.test, "urdu": hits(1, 2, 3, 4)})
    ledger.write(other)
    assert Memory(ledger, memory).of([key])[key].test["urdu"].confusion == hits(1, 2, 3, 4).confusion


def test_setting_a_files_time_back_does_not_hide_that_it_changed(tmp_path: Path) -> None:
    ledger, memory, one = Ledger(tmp_path), tmp_path / "tallies.bin", cell()
    key = one.spec.key()
    ledger.write(one)
    Memory(ledger, memory).of([key])
    (path,) = tmp_path.glob("cells/??/*.json")
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"agreement":0.97', b'"agreement":0.96'))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    with pytest.warns(UserWarning, match="damaged"):
        assert Memory(ledger, memory).of([key]) == {}, "its checksum was looked at again"


@pytest.mark.parametrize("damage", [b"", b"tallies 1 0\n[]\n", b"\xff\xfe", b"torn"])
def test_a_damaged_memory_costs_time_and_no_truth(tmp_path: Path, damage: bytes) -> None:
    ledger, memory, one = Ledger(tmp_path), tmp_path / "tallies.bin", cell()
    ledger.write(one)
    Memory(ledger, memory).of([one.spec.key()])
    whole = memory.read_bytes()
    memory.write_bytes(damage or whole[:-100])
    assert (
        Memory(ledger, memory).of([one.spec.key()])[one.spec.key()].test["urdu"].confusion == one.test["urdu"].confusion
    )
    assert memory.read_bytes() == whole, "and is mended"


def test_a_memory_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    ledger, one = Ledger(tmp_path), cell()
    ledger.write(one)
    (tmp_path / "blocked").write_text("a file where a folder should be")
    found = Memory(ledger, tmp_path / "blocked" / "tallies.bin").of([one.spec.key()])
    assert found[one.spec.key()].test["urdu"].confusion == one.test["urdu"].confusion
