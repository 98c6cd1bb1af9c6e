"""The report is one page that needs nothing beside itself, and its pictures say what the results say."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator import report
from orchestrator.answers.comparison import Comparison
from orchestrator.answers.shown import answered
from orchestrator.asked import Asked, write
from orchestrator.ledger import Ledger
from orchestrator.pictures.chapter import Chapter
from orchestrator.report import main, write_report
from tests.synthetic_sweeps import LANGUAGES, asked, kept, varied

GROUPS = {
    "tau=0.9": varied(0.9, [4, 5, 4, 5, 4]),
    "tau=0.99": varied(0.99, [8, 9, 8, 8, 8]),
    "τ|<&%_{}$#": varied(0.999, [4, 6, 4, 5, 3]),
}


class Page(HTMLParser):
    """Everything that opens is closed; ids, what is referred to, and what each picture is called."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wanted: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.titles = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        self.note(tag, own)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.note(tag, dict(attributes))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def note(self, tag: str, own: dict[str, str | None]) -> None:
        self.titles += tag == "title" and "svg" in self.open
        self.ids += [str(own["id"])] if "id" in own else []
        for name in ("href", "src", "xlink:href"):
            if name in own:
                target = str(own[name])
                assert target.startswith(("#", "data:image/png;base64,")), "nothing is fetched from elsewhere"
                self.wanted |= {target[1:]} if target.startswith("#") else set()
        self.wanted |= set(re.findall(r"url\(#([^)]*)\)", " ".join(str(value) for value in own.values())))
        if tag == "svg":
            self.pictures.append(own)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    kept(tmp_path, *GROUPS.values())
    write(tmp_path, asked(GROUPS))
    return tmp_path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A report, as text and with its folder."""
    folder = tmp_path_factory.mktemp("report")
    kept(folder, *GROUPS.values())
    return reported(folder, asked(GROUPS, note="DEMO: its numbers say nothing."))


def reported(store: Path, of: Asked | None = None, folder: str = "out") -> tuple[str, Path]:
    of = of or asked(GROUPS)
    ledger = Ledger(store)
    path = write_report(ledger, of, answered(ledger, of), store / folder)
    return path.read_text(), path.parent


def openings(store: Path) -> int:
    log = store / "test_openings.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_page_is_whole_small_and_needs_nothing_from_elsewhere(page: tuple[str, Path]) -> None:
    told, _ = page
    found = Page(told)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids)) > 20
    assert found.wanted <= set(found.ids)
    assert len(found.pictures) >= 10
    assert all(one["role"] == "img" and len(str(one["aria-label"])) > 20 for one in found.pictures)
    assert found.titles == len(found.pictures)
    assert "<script" not in told
    assert not re.search(r"@import|url\((?!#)", told)
    assert len(told.encode()) < 2_000_000
    assert "could not be made" not in told


@pytest.mark.slow
def test_two_renderings_are_equal_to_the_byte(store: Path) -> None:
    first, folder = reported(store)
    again, other = reported(store, folder="again")
    assert first.replace("opened 1 time", "opened 2 times") == again
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert names == sorted(path.name for path in (other / "pictures").iterdir())
    for name in names:
        assert (folder / "pictures" / name).read_bytes() == (other / "pictures" / name).read_bytes(), name


def test_each_picture_is_a_file_of_both_kinds(page: tuple[str, Path]) -> None:
    told, folder = page
    svg = {path.stem for path in (folder / "pictures").glob("*.svg")}
    png = {path.stem for path in (folder / "pictures").glob("*.png")}
    assert svg == png
    assert len(svg) == len(Page(told).pictures)


def test_head_and_claims_stand_above_the_tables(page: tuple[str, Path]) -> None:
    told, _ = page
    places = [
        told.index(word)
        for word in ("DEMO: its", "Which τ?", "tau=0.99 beats tau=0.9 on the mean", "byol_tau: UAR, macro-F1", "<svg")
    ]
    assert places == sorted(places)
    assert "python -m orchestrator.sweep byol_tau" in told
    assert "0123456789ab" in told


def test_the_command_opens_test_scores_once_and_says_where_the_page_lies(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["byol_tau", "--store", str(store)]) == 0
    path = store / "reports" / f"byol_tau-{asked(GROUPS).digest}" / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    assert path.is_file()
    assert openings(store) == 1


def test_a_report_of_an_open_comparison_opens_nothing(store: Path) -> None:
    ledger, of = Ledger(store), asked(GROUPS)
    comparison: Comparison = answered(ledger, of)
    before = openings(store)
    write_report(ledger, of, comparison, store / "out")
    assert openings(store) == before == 1


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["byol_tua"], "no results of 'byol_tua' in store '.*'; there are: byol_tau"),
        (["byol_tau", "--reference", "best"], "unknown configuration of byol_tau 'best'; there are: tau=0.9"),
        ([], "the following arguments are required: NAME"),
        (["byol_tau", "--out", "/dev/null/x"], ".*/dev/null/x"),
    ],
)
def test_bad_input_is_told_in_one_line(
    store: Path, capsys: pytest.CaptureFixture[str], words: list[str], rule: str
) -> None:
    assert main([*words, "--store", str(store)]) == 2
    told = capsys.readouterr()
    assert re.match(f"error: {rule}", told.err)
    assert told.err.count("\n") == 1
    assert openings(store) == 0


def test_a_sweep_of_which_nothing_is_complete_has_a_page_too(tmp_path: Path) -> None:
    of = asked(GROUPS)
    told, _ = reported(tmp_path, of)
    assert Page(told).open == []
    assert "No configuration is complete" in told
    assert LANGUAGES[0] in told


def test_a_chapter_that_fails_says_so_in_its_place_and_costs_no_other(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_material: object) -> Chapter:
        raise KeyError("a fault")

    def sound(_material: object) -> Chapter:
        return Chapter("sound", ("It is here.",))

    monkeypatch.setattr(report, "CHAPTERS", (broken, sound))
    told, _ = reported(store)
    assert "This part could not be made: KeyError: &#x27;a fault&#x27;" in told
    assert "It is here." in told
    assert Page(told).open == []
