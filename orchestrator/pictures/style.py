"""How the report's page looks: by day, by night, on a phone, on paper."""

from collections.abc import Mapping

from orchestrator.answers.page import STYLE as TABLES
from orchestrator.pictures.drawing import DARK, LIGHT


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


STYLE = f"""{TABLES}
:root {{ {_variables(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
body {{ background: var(--paper); color: var(--ink); overflow-wrap: break-word; }}
h2 {{ margin-top: 2.5rem; border-bottom: 2px solid var(--faint); }}
p, ul, dl, figcaption {{ max-width: 46rem; }}
thead, tbody {{ border-color: var(--faint); }}
.warning {{ border: 2px solid var(--two); padding: .5rem .8rem; }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem; }}
dt {{ color: var(--ink); font-weight: 600; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
caption {{ max-width: calc(100vw - 2rem); }}
@media (max-width: 40rem) {{ dl {{ display: block; }} dd {{ margin: 0 0 .4rem 1rem; }} ul {{ padding-left: 1.2rem; }} }}
figure {{ margin: 1.5rem 0; }}
.panels {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
.panel {{ flex: 0 1 21rem; min-width: 0; break-inside: avoid; }}
.panel.broad {{ flex-basis: 100%; overflow-x: auto; }}
.panel svg {{ display: block; overflow: visible; width: 100%; height: auto; }}
.panel svg {{ stroke-linejoin: round; stroke-linecap: butt; }}
.panel.broad svg {{ min-width: 40rem; max-width: 60rem; }}
@media print {{
  body {{ max-width: none; font-size: 9.5pt; margin: 0; padding: 0; }}
  .wide, .panel.broad {{ overflow: visible; }}
  .panel.broad svg {{ min-width: 0; }}
  table {{ font-size: 7.5pt; }}
  td, th {{ white-space: normal; padding: .1rem .3rem; }}
  h2, h3, caption, figcaption {{ break-after: avoid; }}
}}
"""
