"""One picture: drawn once with matplotlib, kept as SVG and as PNG, and inlined into a page that may be light or dark.

Equal drawings give equal bytes: no date, and ids that depend on the picture's name alone. Letters stay letters.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LIGHT: Mapping[str, str] = {
    "ink": "#1c1c21",
    "paper": "#fdfdfe",
    "faint": "#c3c3cb",
    "one": "#0067a5",
    "two": "#c44e00",
    "three": "#007a5a",
    "four": "#a83f86",
    "five": "#7a6100",
    "six": "#5a5fc7",
}
"""What pictures are drawn in, and the page's colours by day. Colour-blind readers tell the first four apart (after
Okabe & Ito); markers and line styles differ, too."""

DARK: Mapping[str, str] = {
    "ink": "#e9e9ee",
    "paper": "#17171b",
    "faint": "#4c4c56",
    "one": "#5ab6f0",
    "two": "#ff9248",
    "three": "#35cfa2",
    "four": "#ec9fce",
    "five": "#e3c94b",
    "six": "#aeb2ff",
}

INK, PAPER, FAINT = LIGHT["ink"], LIGHT["paper"], LIGHT["faint"]
SERIES = tuple(LIGHT[name] for name in ("one", "two", "three", "four", "five", "six"))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
"""One more than a multiple of the colours, so that colour and marker repeat together only after 66."""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

WIDTH_IN = 3.5
"""Of a panel: 336 pixels of a page, so that letters keep their size on a phone."""

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "figure.constrained_layout.w_pad": 0.08,
    "path.simplify": True,
}

_PNG_DPI = 160


@dataclass(frozen=True)
class Picture:
    """`name`: of its files. `title`: a few words; `alt`: what there is to see, in sentences. `is_wide`: it needs more
    than a phone's width."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes
    is_wide: bool = False


def picture(
    name: str,
    title: str,
    alt: str,
    draw: Callable[[Axes], None],
    *,
    height_in: float = 2.6,
    width_in: float = WIDTH_IN,
) -> Picture:
    """Draw on one pair of axes; `name` must differ from that of every other picture of the page."""
    named = slug(name)
    settings: Any = {**_SETTINGS, "svg.hashsalt": named}
    with rc_context(settings):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        draw(axes)
        svg = _saved(figure, "svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        figure.set_layout_engine("none")  # all has its place by now, and finding it takes longer than drawing
        png = _saved(figure, "png", dpi=_PNG_DPI, metadata={"Software": None})
    return Picture(named, title, alt, _described(svg.decode(), title, alt), png, width_in > WIDTH_IN)


def slug(text: str) -> str:
    """A file's name: small plain letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-")


def inlined(one: Picture) -> str:
    """The picture as an element of a page: colours and letters are the page's, ids are the picture's own."""
    svg = re.sub(r"<title>.*?</desc>|<style.*?</style>|<defs>\s*</defs>|<!--.*?-->", "", one.svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' ?font-family: [^;"]*;?| transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{one.name}-', svg)
    svg = re.sub(r'(?:xlink:)?href="#', f'href="#{one.name}-', svg).replace("url(#", f"url(#{one.name}-")
    svg = _coloured(svg.replace("xlink:href=", "href="))
    head, _, body = svg[svg.index("<svg") :].partition(">")
    size = " ".join(re.findall(r'(?:width|height|viewBox)="[^"]*"', head))
    said = f'role="img" aria-label="{escape(one.alt)}"'
    return f"<svg {size} {said}><title>{escape(one.title)}</title>{_unindented(body)}".strip()


def _unindented(svg: str) -> str:
    return re.sub(r"\n\s*", "\n", svg)


def _coloured(svg: str) -> str:
    """Colours of the palette become the page's variables."""
    names = {value: name for name, value in LIGHT.items()}
    return re.sub("|".join(names), lambda found: f"var(--{names[found[0]]})", svg)


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    content = BytesIO()
    figure.savefig(content, format=kind, **options)
    return content.getvalue()


def _described(svg: str, title: str, alt: str) -> str:
    """Title and description first, as a reader of the file alone needs them; nothing of where it was made."""
    plain = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    plain = plain.replace("'DejaVu Sans'", "'DejaVu Sans', sans-serif")
    plain = re.sub(r'(?<=\s)(?:d|x|y)="[^"]*"', lambda found: _shortened(found[0]), plain)
    start = plain.index("<svg")
    end = plain.index(">", start) + 1
    told = f"\n <title>{escape(title)}</title>\n <desc>{escape(alt)}</desc>"
    return plain[start:end] + told + plain[end:]


def _shortened(places: str) -> str:
    """To hundredths of a point, which nobody sees: a third of a page's bytes are digits behind them."""
    return re.sub(r"(\.\d\d)\d+", r"\1", places)


def colour(number: int) -> str:
    """Of the series of that number."""
    return SERIES[number % len(SERIES)]


def marker(number: int) -> str:
    """Of the series of that number."""
    return MARKERS[number % len(MARKERS)]


def hollow(number: int, size: float = 22.0) -> dict[str, Any]:
    """How the marks of the series of that number are scattered: hollow, so that those below them show."""
    own = {"facecolors": "none", "edgecolors": colour(number), "linewidths": 1.0, "zorder": 3}
    return {**own, "marker": marker(number), "s": size}


BELOW: dict[str, Any] = {"loc": "upper center", "handletextpad": 0.3, "columnspacing": 0.8}
"""A legend under the axes; `bbox_to_anchor` says how far under."""


def line(number: int) -> Any:
    """The line style of the series of that number."""
    return LINES[number % len(LINES)]
