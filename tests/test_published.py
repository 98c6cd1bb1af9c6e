"""Published figures stand beside ours only where method and recordings are the same, and what differs is said."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.published import GONG2025, beside
from orchestrator.answers.section import Section
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked
from tests.synthetic_results import baseline_spec, result
from tests.synthetic_sweeps import LANGUAGES, asked, kept, level, varied
from trainers.result import Result

CONDITIONS = {
    "trained on": "ravdess",
    "tested on, urdu": "urdu",
    "tested on, german": "emodb",
    "encoder": "whisper-tiny.en",
    "batch": "64",
}
FULL = {"urdu": 3.0, "german": 8.9}


def told(store: Path, groups: Mapping[str, list[Result]], methods: Mapping[str, str], **more: Any) -> Section:
    record: Asked = asked(groups, conditions=CONDITIONS, longest_s=FULL, **more)
    named = tuple(replace(one, method=methods[one.name]) for one in record.configurations)
    record = replace(record, configurations=named)
    comparison: Comparison = answered(kept(store, *groups.values()), record)
    return beside(GONG2025, record, comparison)


def test_the_figures_give_the_gains_of_the_papers_abstract() -> None:
    """In F1 points: URDU +10.6 with BYOL, EMO-DB +15.1 and SUBESCO +13.9 with CL."""
    f1 = {place: figures[1][0] for place, figures in GONG2025.figures.items()}
    gains = [("BYOL", "urdu", 0.106), ("CL", "emodb", 0.151), ("CL", "subesco", 0.139)]
    for method, corpus, gain in gains:
        assert f1[method, corpus] - f1["baseline", corpus] == pytest.approx(gain)


def test_subesco_is_balanced_so_its_accuracy_is_its_uar() -> None:
    assert {
        figures[0][0] == figures[2][0] for (_, corpus), figures in GONG2025.figures.items() if corpus == "subesco"
    } == {True}


def test_each_configuration_of_a_method_stands_beside_it_with_ours_from_the_table(tmp_path: Path) -> None:
    groups = {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [8, 9, 8, 8, 8]), "c": varied(0.999, [1] * 5)}
    section = told(tmp_path, groups, {"a": "BYOL", "b": "BYOL", "c": "BYOL without its loss"})
    assert section.headings[3:] == ("acc paper", "acc ours", "F1 paper", "F1 ours", "UAR paper", "UAR ours")
    assert [row[:3] for row in section.rows] == [
        (name, "BYOL", corpus) for name in "ab" for corpus in ("urdu", "emodb")
    ]
    assert section.rows[0][3:] == ("65.8 (5.2)", "44.0 (5.5)", "65.3 (6.0)", "44.0 (5.5)", "65.9 (5.3)", "44.0 (5.5)")


def test_what_differs_is_said_and_what_does_not_is_not(tmp_path: Path) -> None:
    section = told(tmp_path, {"a": varied(0.9, [4] * 5)}, {"a": "BYOL"}, shared_speakers=("urdu",))
    notes = "\n".join(section.notes)
    assert "trained on: the paper msp_podcast, iemocap; here ravdess" in notes
    assert "encoder: the paper whisper-small.en; here whisper-tiny.en" in notes
    assert "trim, dB: the paper off; here not known" in notes
    assert "batch:" not in notes
    assert "folds that are not speaker-disjoint here: urdu" in notes


def test_a_short_copy_of_emodb_never_stands_beside_the_papers(tmp_path: Path) -> None:
    record = asked({"a": varied(0.9, [4] * 5)}, conditions=CONDITIONS, longest_s={"urdu": 3.0, "german": 2.0})
    record = replace(record, configurations=(replace(record.configurations[0], method="BYOL"),))
    comparison = answered(kept(tmp_path, varied(0.9, [4] * 5)), record)
    section = beside(GONG2025, record, comparison)
    assert [row[2] for row in section.rows] == ["urdu"]
    assert any(note.startswith("german: EMO-DB (2 s copy) is not the paper's") for note in section.notes)
    for word in ("79.4", "73.2", "75.1"):
        assert word not in str(section)


def test_a_corpus_whose_labels_were_trained_on_stands_beside_nothing(tmp_path: Path) -> None:
    section = told(tmp_path, {"a": varied(0.9, [4] * 5)}, {"a": "baseline"})
    assert len(section.rows) == 2
    record = asked({"a": varied(0.9, [4] * 5)}, conditions={**CONDITIONS, "trained on": "urdu, emodb"}, longest_s=FULL)
    record = replace(record, configurations=(replace(record.configurations[0], method="baseline"),))
    within = beside(GONG2025, record, answered(kept(tmp_path), record))
    assert within.rows == ()
    assert "urdu: trained on its labels here, so the paper's figures do not stand beside ours" in within.notes


def test_a_training_that_heard_nothing_of_a_corpus_is_scored_on_all_of_it_as_the_papers_were(tmp_path: Path) -> None:
    cells = [
        replace(
            result(baseline_spec(fold), level(5), {name: level(2) for name in LANGUAGES}),
            whole={name: level(6 + fold % 2) for name in LANGUAGES},
        )
        for fold in range(4)
    ]
    section = told(tmp_path, {"baseline": cells}, {"baseline": "baseline"})
    named, figures = section.rows[0][:3], section.rows[0][3:]
    assert named == ("baseline", "baseline", "urdu")
    assert figures == ("59.7 (2.5)", "65.0 (5.8)", "54.7 (3.6)", "65.0 (5.8)", "59.7 (2.5)", "65.0 (5.8)")


def test_other_methods_and_corpora_stand_beside_nothing(tmp_path: Path) -> None:
    section = told(tmp_path, {"a": varied(0.9, [4] * 5)}, {"a": "SupCon"})
    assert section.rows == ()
    assert section.notes[0] == "no method and corpus of this sweep is in the paper's table"
