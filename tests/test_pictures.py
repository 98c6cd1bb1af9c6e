"""What pictures are drawn from, against numbers reckoned by hand, and the files that they become."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from orchestrator.answers.rows import Candidate
from orchestrator.answers.shown import answered
from orchestrator.answers.tallies import tally
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger
from orchestrator.pictures import confusions, curves, distances, parallel, swept
from orchestrator.pictures.drawing import DARK, LIGHT, inlined, picture, slug
from orchestrator.pictures.material import Material, moved
from orchestrator.pictures.places import Layout, layout_of, places_of
from tests.synthetic_results import hits, result, spec
from tests.synthetic_sweeps import asked, kept, varied
from trainers.result import Result

GROUPS = {
    "tau=0.99": varied(0.99, [4, 5, 4, 5, 4]),
    "tau=0.996": varied(0.996, [8, 9, 8, 8, 8]),
    "tau=0.999": varied(0.999, [4, 6, 4, 5, 3]),
}


def valued(of: Asked, values: list[dict[str, Any]]) -> Asked:
    """The same sweep, with what its configurations' settings are."""
    told = tuple(replace(one, values=own) for one, own in zip(of.configurations, values, strict=True))
    return replace(of, configurations=told)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    ledger = kept(tmp_path_factory.mktemp("store"), *GROUPS.values())
    of = valued(asked(GROUPS), [{"tau": 0.99}, {"tau": 0.996}, {"tau": 0.999}])
    return Material(ledger, of, answered(ledger, of))


# --- one picture


def drawn(axes: Axes) -> None:
    axes.plot([0, 1], [0.996, 1.0], color=LIGHT["one"], marker="o", label="$a_b$ λ <&>")
    axes.legend()


def test_letters_stay_letters_and_colours_become_the_pages() -> None:
    one = picture("a", "title <", "what & why", drawn)
    page = inlined(one)
    assert "$a_b$ λ &lt;&amp;&gt;" in page
    assert "0.996" in page
    assert not [value for value in (*LIGHT.values(), *DARK.values()) if value in page]
    assert "var(--one)" in page
    assert 'role="img" aria-label="what &amp; why"' in page
    assert "http" not in page


def test_the_same_drawing_has_other_ids_under_another_name() -> None:
    ids = [set(_ids(inlined(picture(name, "t", "a", drawn)))) for name in ("a", "b")]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


def _ids(svg: str) -> list[str]:
    return [str(node.get("id")) for node in ET.fromstring(svg).iter() if node.get("id")]


def test_files_are_a_png_and_an_svg_that_say_what_they_show(tmp_path: Path) -> None:
    one = picture("a", "title <", "what & why", drawn)
    (tmp_path / "a.png").write_bytes(one.png)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (560, 416)
    root = ET.fromstring(one.svg)
    assert [node.text for node in list(root)[:2]] == ["title <", "what & why"]


def test_names_of_files_are_plain() -> None:
    assert slug("Swept τ|<&/..x y") == "swept-..x-y"


def test_every_colour_has_its_own_by_night() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len({*LIGHT.values(), *DARK.values()}) == len(LIGHT) + len(DARK)


def luminance(colour: str) -> float:
    """WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_every_series_stands_out_from_the_paper(palette: dict[str, str]) -> None:
    paper = luminance(palette["paper"])
    for name in ("ink", "one", "two", "three", "four", "five", "six"):
        bright, dim = sorted([paper, luminance(palette[name])], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, name


# --- what was swept


def test_momenta_stand_by_their_distance_from_one(material: Material) -> None:
    layout = layout_of(material)
    assert layout == Layout("tau", "")
    places = places_of(material, layout, material.listed)
    assert dict(places.at) == pytest.approx({"tau=0.99": 0.01, "tau=0.996": 0.004, "tau=0.999": 0.001})
    assert not places.in_rows


def test_words_and_several_settings_have_rows_and_one_more_setting_has_lines() -> None:
    def of(values: list[dict[str, Any]]) -> Layout:
        names = {str(place): Candidate(str(place), {}, own) for place, own in enumerate(values)}
        return layout_of(_Names(names))

    assert of([{"arm": "a"}, {"arm": "b"}]) == Layout("", "")
    assert of([{"x": 1, "y": 1}, {"x": 2, "y": 2}]) == Layout("", "")
    assert of([{"x": 1, "arm": "a"}, {"x": 2, "arm": "b"}]) == Layout("x", "arm")
    assert of([{"x": 1}, {"x": None}]) == Layout("", "")


class _Names:
    """All of a material that a layout asks for."""

    def __init__(self, candidates: dict[str, Candidate]) -> None:
        self.candidates, self.listed = candidates, tuple(candidates)


def test_levels_are_the_folds_and_bars_the_corrected_interval(material: Material) -> None:
    """K = 5: the half-width is t(.975, 4) √(1/5 + 1/4) = 1.8624 sd (VALIDITY §5)."""
    chapter = swept.chapter(material)
    folds = np.array([80, 90, 80, 80, 80])
    own = swept._level_of(material, "tau=0.996", "urdu")
    assert own.folds == pytest.approx(folds)
    assert own.mean == pytest.approx(folds.mean())
    assert own.reach == pytest.approx(1.8624 * folds.std(ddof=1), rel=1e-4)
    assert "tau=0.996: 82.0 (folds 80.0, 90.0, 80.0, 80.0, 80.0)" in chapter.groups[0].pictures[0].alt
    assert [one.name for one in chapter.groups[1].pictures] == [
        "difference-macro",
        "difference-urdu",
        "difference-german",
    ]
    assert "tau=0.996: +38.0" in chapter.groups[1].pictures[0].alt


def test_the_few_are_the_reference_and_the_first_of_each_method_and_the_chosen_one_is_beside_them(
    tmp_path: Path,
) -> None:
    groups = {str(tau): varied(tau, [5] * 5) for tau in (0.9, 0.91, 0.92, 0.93, 0.94)}
    ledger = kept(tmp_path, *groups.values())
    of = asked(groups, reference="0.91")
    methods = ["CL", "baseline", "baseline", "BYOL", "BYOL"]
    told = tuple(replace(one, method=method) for one, method in zip(of.configurations, methods, strict=True))
    of = replace(of, configurations=told)
    own = Material(ledger, of, answered(ledger, of))
    assert own.few == ("0.91", "0.9", "0.93")
    assert own.chosen in own.few_and_chosen


# --- confusions


def test_a_difference_of_confusions_is_that_of_the_rows_shares() -> None:
    mine = np.array([[6.0, 4, 0, 0], [0, 5, 5, 0], [0, 0, 10, 0], [1, 0, 0, 9]])
    other = np.array([[2.0, 3, 0, 0], [0, 4, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0]])
    found = confusions.difference(mine, other)
    assert found[0] == pytest.approx([0.2, -0.2, 0, 0])
    assert found[1] == pytest.approx([0, -0.5, 0.5, 0])
    assert found[2] == pytest.approx([0, 0, 0.5, -0.5])
    assert np.isnan(found[3]).all()


def test_pooled_confusions_are_the_sum_of_the_folds_of_that_language() -> None:
    cells = {
        ("urdu", fold, 0): tally(
            result(spec(fold=fold), hits(5, 5, 5, 5), {"urdu": hits(fold, 1, 2, 3), "german": hits(9, 9, 9, 9)})
        )
        for fold in range(3)
    }
    expected = sum(np.array(hits(fold, 1, 2, 3).confusion) for fold in range(3))
    assert np.array_equal(confusions.pooled(cells, "urdu"), expected)
    assert not confusions.pooled(cells, "german").any(), "it was trained for Urdu"


def test_confusions_are_told_in_words_with_the_clips_that_there_are(material: Material) -> None:
    urdu = confusions.chapter(material).groups[0]
    alt = urdu.pictures[0].alt
    assert "Confusion matrix of tau=0.99 in urdu. angry (50 clips): 44 % taken for angry, 56 % taken for happy" in alt
    assert urdu.pictures[-1].alt.count("+38.0") + urdu.pictures[-2].alt.count("+38.0") == 4


# --- curves


def with_history(fold: int, rows: list[dict[str, float]]) -> Result:
    return replace(result(spec(fold=fold), hits(5, 5, 5, 5), {"urdu": hits(5, 5, 5, 5)}), history=rows)


def test_a_curve_is_mean_and_range_at_the_steps_that_all_cells_logged() -> None:
    found = {
        ("urdu", 0, 0): with_history(0, [{"step": 1, "lambda": 0.8}, {"step": 2, "lambda": 0.5, "x": 1.0}]),
        ("urdu", 1, 0): with_history(1, [{"step": 1, "lambda": 0.6}, {"step": 3, "lambda": 0.1}]),
        ("urdu", 2, 0): with_history(2, [{"step": 1, "valid_uar": 0.3}]),
    }
    one = curves.curve(found, "lambda")
    assert one is not None
    assert (one.steps, one.mean, one.low, one.high) == ([1], pytest.approx(0.7), 0.6, 0.8)
    assert curves.curve(found, "tau") is None
    assert curves.names(found, "l") == ["lambda"]


# --- parallel coordinates


def test_axes_run_from_the_least_to_the_greatest_and_in_logs_where_values_lie_far_apart() -> None:
    assert parallel.upright("x", [1, 3, 2]).heights == pytest.approx((0, 1, 0.5))
    assert parallel.upright("lr", [1e-5, 1e-3, 1e-4]).heights == pytest.approx((0, 1, 0.5))
    assert parallel.upright("arm", ["b", "a", None]).heights == (0, 0.5, 1)
    assert [word for _, word in parallel.upright("arm", ["b", ("c", "d"), None]).ticks] == ["b", "c+d", "–"]
    assert parallel.upright("x", [2, 2]).heights == (0, 0)


def test_settings_side_by_side_end_at_validation_and_hold_no_test_score(tmp_path: Path) -> None:
    ledger = kept(tmp_path, *GROUPS.values())
    of = valued(asked(GROUPS), [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}])
    told = parallel.chapter(Material(ledger, of, answered(ledger, of)))
    alt = told.groups[0].pictures[0].alt
    assert "over a, b. Validation UAR in %, best first: tau=0.99: 50.0; tau=0.996: 50.0; tau=0.999: 50.0" in alt
    assert "82.0" not in alt


def test_what_moved_is_found_with_absent_settings() -> None:
    told = moved([Candidate("a", {}, {"x": 1, "y": 2}), Candidate("b", {}, {"x": 1})])
    assert told == {"y": [2, None]}


# --- distance


def test_gains_are_those_of_the_tables_means_and_are_called_descriptive(material: Material) -> None:
    gains = distances.gained(material, ["urdu", "german"])
    assert gains["tau=0.996"] == pytest.approx({"urdu": 0.38, "german": 0.38})
    assert set(gains) == {"tau=0.996", "tau=0.999"}
    chapter = distances.chapter(material)
    assert "Descriptive: with 2 languages" in chapter.read[0]
    assert "urdu 0.31: +38.0" in chapter.groups[0].pictures[0].alt


def test_a_ledger_is_read_once_for_each_configuration(material: Material) -> None:
    ledger = _Counting(material.ledger)
    own = Material(ledger, material.asked, material.comparison)
    own.whole("tau=0.99")
    own.whole("tau=0.99")
    assert ledger.reads == 10


class _Counting:
    """A ledger that counts what is read."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.reads = ledger, 0

    def read(self, key: str) -> Result | None:
        self.reads += 1
        return self.ledger.read(key)
