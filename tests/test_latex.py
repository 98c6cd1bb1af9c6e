"""The tables in LaTeX are read by a real TeX, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.answers.latex import as_latex
from orchestrator.answers.shown import answered
from tests.synthetic_sweeps import asked, kept, varied

PAGE = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
\input{tables}
\end{document}
"""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here (Debian: texlive-latex-recommended)")
def test_tables_compile_with_booktabs_alone_whatever_configurations_are_called(tmp_path: Path) -> None:
    groups = {
        "tau=0.99": varied(0.99, [4, 5, 4, 5, 4]),
        "BYOL λ=0": varied(0.996, [8, 9, 8, 8, 8]),
        r"τ|<&%_{}$#\~^ ÄÖ 中": varied(0.999, [4, 6, 4, 5, 3]),
    }
    told = as_latex(answered(kept(tmp_path / "store", *groups.values()), asked(groups)))
    (tmp_path / "tables.tex").write_text(told, encoding="ascii")
    (tmp_path / "page.tex").write_text(PAGE)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert made.returncode == 0, made.stdout[-2000:]
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert "Undefined control sequence" not in made.stdout
    assert "Missing character" not in (tmp_path / "page.log").read_text(errors="replace")
