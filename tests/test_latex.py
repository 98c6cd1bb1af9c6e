"""The tables in LaTeX are read by a real TeX, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.latex import as_latex
from orchestrator.answers.shown import answered
from tests.synthetic_sweeps import asked, kept, varied

PAGE = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
\input{tables}
\end{document}
"""


NEEDS_TEX = pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="no pdflatex here (Debian: texlive-latex-recommended)"
)


@NEEDS_TEX
def test_tables_compile_with_booktabs_alone_whatever_configurations_are_called(tmp_path: Path) -> None:
    groups = {
        "tau=0.99": varied(0.99, [4, 5, 4, 5, 4]),
        "BYOL λ=0": varied(0.996, [8, 9, 8, 8, 8]),
        r"τ|<&%_{}$#\~^ ÄÖ 中": varied(0.999, [4, 6, 4, 5, 3]),
    }
    told = _set(tmp_path, answered(kept(tmp_path / "store", *groups.values()), asked(groups)))
    assert "Undefined control sequence" not in told
    assert "Missing character" not in told


@NEEDS_TEX
def test_tables_of_usual_names_stay_between_the_margins(tmp_path: Path) -> None:
    groups = {"tau=0.99": varied(0.99, [4, 5, 4, 5, 4]), "tau=0.996, lambda=ramp": varied(0.996, [8, 9, 8, 8, 8])}
    told = _set(tmp_path, answered(kept(tmp_path / "store", *groups.values()), asked(groups)))
    assert "Overfull" not in told, [line for line in told.splitlines() if "Overfull" in line]


def _set(folder: Path, comparison: Comparison) -> str:
    """TeX's log, of a comparison that it has set."""
    (folder / "tables.tex").write_text(as_latex(comparison), encoding="ascii")
    (folder / "page.tex").write_text(PAGE)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert made.returncode == 0, made.stdout[-2000:]
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")
    return (folder / "page.log").read_text(errors="replace")
