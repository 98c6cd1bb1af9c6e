"""The command says what the ledger says, in every format, and refuses in one line what it cannot do."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from statistics import fmean

import pytest

from orchestrator.answers.latex import escaped
from orchestrator.asked import write
from orchestrator.compare import main
from orchestrator.ledger import Ledger
from tests.synthetic_sweeps import LANGUAGES, asked, kept, varied

GROUPS = {
    "tau=0.9": varied(0.9, [4, 5, 4, 5, 4]),
    "tau=0.99": varied(0.99, [8, 9, 8, 8, 8]),
    "τ|<&%_{}$#": varied(0.999, [4, 6, 4, 5, 3]),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one sweep."""
    kept(tmp_path, *GROUPS.values())
    write(tmp_path, asked(GROUPS))
    return tmp_path


def said(store: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--store", str(store)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def refused(store: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--store", str(store)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def openings(store: Path) -> int:
    log = store / "test_openings.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


# --- what it says


def test_the_table_has_means_claims_and_where_they_are_from(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(store, capsys, "byol_tau")
    assert "byol_tau: UAR, macro-F1 and accuracy in %, mean (sd) over n = 5 folds" in told
    assert re.search(r"tau=0.99 .*82.0 \(4.5\)", told)
    assert "tau=0.99 beats tau=0.9 on the mean of urdu and german (these clips) by 38.0 UAR points" in told
    assert "asked 2026-11-21T10:00:00+00:00, commit 0123456789ab: python -m orchestrator.sweep byol_tau" in told


def test_every_look_is_counted(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "have been opened 1 time\n" in said(store, capsys, "byol_tau")
    assert "have been opened 2 times\n" in said(store, capsys, "byol_tau", "--format", "markdown")
    assert openings(store) == 2


def test_several_names_are_told_one_after_the_other(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(store, asked(dict(list(GROUPS.items())[:2]), sweep="byol_lambda"))
    told = said(store, capsys, "byol_tau", "byol_lambda")
    assert told.index("byol_tau: UAR") < told.index("test scores of byol_tau") < told.index("byol_lambda: UAR")
    assert openings(store) == 2


def test_another_reference_may_be_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(store, capsys, "byol_tau", "--reference", "tau=0.99")
    assert "tau=0.9 falls behind tau=0.99 on the mean of urdu and german (these clips) by 38.0 UAR points" in told
    assert "compared with tau=0.99, as this command line asks; the sweep declares tau=0.9" in told


def test_the_newest_of_several_runs_is_told_and_the_others_are_named(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = asked(GROUPS)
    later = asked(dict(list(GROUPS.items())[:2]), at="2026-11-22T00:00:00+00:00", command="… --set a=1")
    write(store, later)
    told = said(store, capsys, "byol_tau")
    assert "τ|" not in told
    assert f"another run of byol_tau, byol_tau/{first.digest}: asked 2026-11-21T10:00:00+00:00: python -m" in told
    assert "τ|" in said(store, capsys, f"byol_tau/{first.digest}")


def test_dropped_and_failed_are_told_from_the_record(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = GROUPS["tau=0.99"][3].spec.key()
    Ledger(store).set_aside([lost])
    write(store, asked(GROUPS, failed={lost: "nan: the loss is nan at step 3"}))
    assert "1 of 10 cells missing (urdu fold 3 seed 0: nan: the loss is nan at step 3)" in said(
        store, capsys, "byol_tau"
    )
    write(store, asked(GROUPS, dropped={"tau=0.99": "dropped after 1 of 5 blocks, 12.0 validation points behind"}))
    assert "tau=0.99: dropped after 1 of 5 blocks, 12.0 validation points behind" in said(store, capsys, "byol_tau")


def test_the_demos_note_is_told_by_every_table(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(store, asked(GROUPS, note="DEMO: its numbers say nothing."))
    for shape in ("table", "markdown", "latex", "html"):
        assert "DEMO: its numbers say nothing." in said(store, capsys, "byol_tau", "--format", shape)


# --- formats


def test_csv_has_every_cell_and_its_means_are_the_tables(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(StringIO(said(store, capsys, "byol_tau", "--format", "csv"))))
    assert {row["configuration"] for row in rows} == set(GROUPS)
    uar = [
        float(row["value"])
        for row in rows
        if (row["configuration"], row["language"], row["measure"]) == ("tau=0.99", "urdu", "uar")
    ]
    assert uar == pytest.approx([0.8, 0.9, 0.8, 0.8, 0.8])
    held_out = [row for row in rows if (row["language"], row["measure"]) == ("english", "n")]
    assert len(held_out) == 3 * 2 * 5
    assert {row["value"] for row in held_out} == {"40"}
    assert {row["language"] for row in rows} == {*LANGUAGES, "english", "valid/hrl"}
    valid = [float(row["value"]) for row in rows if (row["language"], row["measure"]) == ("valid/hrl", "macro_f1")]
    assert fmean(valid) == pytest.approx(0.5)


def test_csv_of_two_sweeps_is_one_table(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(store, asked({"tau=0.9": GROUPS["tau=0.9"]}, sweep="byol_lambda"))
    told = said(store, capsys, "byol_tau", "byol_lambda", "--format", "csv")
    rows = list(csv.reader(StringIO(told)))
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows].count("sweep") == 1
    assert {row[0] for row in rows[1:]} == {"byol_tau", "byol_lambda"}


class Checked(HTMLParser):
    """Reads a page as strictly as XML, but for the elements that have no end."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[tuple[str, str]]]] = []
        self.captions = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            assert tag == "td" or own["scope"] in ("col", "row", "rowgroup")
            self.tables[-1][-1].append((tag, own.get("rowspan") or "1"))
        self.captions += tag == "caption"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_a_whole_page_whose_tables_have_captions_and_headings(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(store, capsys, "byol_tau", "--format", "html")
    page = Checked()
    page.feed(told)
    assert page.open == []
    assert told.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.captions == len(page.tables) >= 3
    for table in page.tables:
        head, *body = table
        assert all(tag == "th" for tag, _ in head)
        spanning = False
        for row in body:
            spanning = row[0][1] == "3" or (spanning and row[0][0] == "td")
            assert len(row) + (2 if spanning and row[0][0] == "td" else 0) == len(head)
    assert "τ|&lt;&amp;%_{}$#" in told
    assert "http" not in told, "it needs nothing from elsewhere"


def test_latex_is_ascii_balanced_and_every_row_fits_its_columns(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no TeX here: the words that are used are those of LaTeX itself and of booktabs, and all fits."""
    told = said(store, capsys, "byol_tau", "--format", "latex")
    assert told.isascii()
    known = {
        *("begin", "end", "centering", "footnotesize", "caption", "toprule", "midrule", "bottomrule", "item"),
        *("triangleleft", "textdagger", "textbar", "textless", "textgreater", "tau", "times", "leftrightarrow"),
        *("lambda", "surd", "ldots", "tiny", "scriptsize", "setlength", "tabcolsep", "shortstack", "sloppy"),
    }
    assert set(re.findall(r"\\([A-Za-z]+)", told)) <= known
    plain = re.sub(r"\\[\\&%$#_{}]", "", told)
    depth = 0
    for letter in plain:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    assert not set("#%~^") & set(plain)
    assert all(line.count("$") % 2 == 0 for line in plain.splitlines())
    assert list(_environments(told)) == []
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", told, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def _environments(told: str) -> Iterator[str]:
    """Those that are still open at the end."""
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", told):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    yield from opened


def test_letters_become_latex() -> None:
    assert escaped("τ=0.99 & 5 %") == r"$\tau$=0.99 \& 5 \%"
    assert escaped("a_b{c}\\~^ λ=0") == r"a\_b\{c\}\textbackslash{}\textasciitilde{}\textasciicircum{} $\lambda$=0"
    assert escaped("−1.2 ± 3 – 4×") == r"$-$1.2 $\pm$ 3 -- 4$\times$"
    assert escaped("é ç 中") == "e c (U+4E2D)"


# --- what it refuses


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("byol_tua",), "no results of 'byol_tua' in store '.*'; there are: byol_tau"),
        (("byol_tau", "byol_tua"), "no results of 'byol_tua'"),
        (("byol_tau", "--format", "pdf"), "unknown format 'pdf'; there are: csv, html, latex, markdown, table"),
        (
            ("byol_tau", "--reference", "best"),
            "unknown configuration of byol_tau 'best'; there are: tau=0.9, tau=0.99, τ",
        ),
        (("byol_tau", "--against", "xiang"), "unknown paper 'xiang'; there are: gong2025"),
        ((), "the following arguments are required: NAME"),
    ],
)
def test_bad_input_is_told_in_one_line_and_opens_nothing(
    store: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], rule: str
) -> None:
    assert re.match(f"error: {rule}", refused(store, capsys, *words))
    assert openings(store) == 0


def test_of_many_configurations_an_error_names_those_that_are_called_alike(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = asked(GROUPS).configurations[0].cells
    many = tuple(replace(asked(GROUPS).configurations[0], name=f"tau=0.9{n:03}", cells=cells) for n in range(500))
    write(store, asked(GROUPS, sweep="many", configurations=many))
    told = refused(store, capsys, "many", "--reference", "tau=0.9123x")
    assert "tau=0.9123," in told
    assert told.count("tau=") == 21


# --- from the ledger alone


def test_it_needs_neither_ray_nor_mlflow_nor_a_running_sweep(store: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from orchestrator.compare import main; code = main(sys.argv[1:]);"
            "print(sorted({'ray', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules))); sys.exit(code)",
            *("byol_tau", "--store", str(store), "--against", "gong2025"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.endswith("[]\n")


def test_as_a_module_it_prints_as_wide_as_it_needs_to_be(store: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "orchestrator.compare", "byol_tau", "--store", str(store)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr == ""
    assert any(len(line) > 100 for line in told.stdout.splitlines())


def test_a_reader_that_has_seen_enough_is_no_error(store: Path) -> None:
    command = f"{sys.executable} -m orchestrator.compare byol_tau --store {store} --format csv | head -1"
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("sweep,configuration")
    assert "Traceback" not in told.stderr
