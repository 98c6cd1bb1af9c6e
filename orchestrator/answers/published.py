"""Published figures beside ours, cell by cell, with what was otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.answers.comparison import Comparison
from orchestrator.answers.means import MEASURES, Measures, Scored, measures
from orchestrator.answers.rows import Candidate, places_of
from orchestrator.answers.section import Section
from orchestrator.answers.table import ABSENT, MEASURE_NAMES, percent
from orchestrator.asked import Asked
from trainers.errors import unknown

SHORT_COPY_S = 2.05
"""A copy of EMO-DB whose longest clip is shorter was cut; the original has clips of up to 9 s."""

Figure = tuple[float, float]
"""Mean and standard deviation, shares of 1."""


@dataclass(frozen=True)
class Paper:
    """A published table. `figures`: (method, corpus) -> accuracy, macro-F1, UAR; `conditions` as `Asked` has them."""

    title: str
    figures: Mapping[tuple[str, str], tuple[Figure, Figure, Figure]]
    conditions: Mapping[str, str]
    notes: tuple[str, ...]


GONG2025 = Paper(
    title="Gong et al. 2025 (arXiv 2506.02059), Table 1",
    figures={
        ("baseline", "urdu"): ((0.597, 0.025), (0.547, 0.036), (0.597, 0.025)),
        ("CL", "urdu"): ((0.648, 0.031), (0.629, 0.041), (0.637, 0.032)),
        ("BYOL", "urdu"): ((0.658, 0.052), (0.653, 0.060), (0.659, 0.053)),
        ("baseline", "emodb"): ((0.776, 0.040), (0.750, 0.059), (0.758, 0.050)),
        ("CL", "emodb"): ((0.906, 0.017), (0.901, 0.018), (0.896, 0.019)),
        ("BYOL", "emodb"): ((0.794, 0.033), (0.732, 0.030), (0.751, 0.033)),
        ("baseline", "subesco"): ((0.616, 0.015), (0.572, 0.016), (0.616, 0.015)),
        ("CL", "subesco"): ((0.721, 0.008), (0.711, 0.011), (0.721, 0.008)),
        ("BYOL", "subesco"): ((0.643, 0.012), (0.641, 0.009), (0.643, 0.014)),
        ("baseline", "ravdess"): ((0.574, 0.020), (0.514, 0.025), (0.578, 0.034)),
        ("CL", "ravdess"): ((0.580, 0.018), (0.519, 0.023), (0.570, 0.026)),
        ("BYOL", "ravdess"): ((0.582, 0.032), (0.561, 0.029), (0.572, 0.030)),
    },
    conditions={
        "trained on": "msp_podcast, iemocap",
        "adapted to": "common_voice_de, common_voice_ur, common_voice_bn",
        "encoder": "whisper-small.en",
        "length, s": "4 (BYOL 3)",
        "trim, dB": "off",
        "level, dB": "off",
        "steps": "stopped early, at most so many it does not say",
        "batch": "64",
        "encoder learning rate": "1e-05",
        "folds by": "session; it does not say how corpora without sessions were dealt",
    },
    notes=(
        "the paper's mean (std) is over five runs; of baseline and CL each presumably scored on all clips of a corpus, "
        "of BYOL on a fold of it",
        "its accuracy is not its UAR on URDU with CL, as it must be on all of its 400 clips: some were left out there",
    ),
)

PAPERS = {"gong2025": GONG2025}


def paper_named(name: str) -> Paper:
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS)
    return PAPERS[name]


def beside(paper: Paper, asked: Asked, comparison: Comparison) -> Section:
    """The paper's figures and ours, where method and corpus are the same; what differs stands below."""
    headings = [f"{MEASURE_NAMES[name]} {whose}" for name in reversed(MEASURES) for whose in ("paper", "ours")]
    rows = tuple(_rows(paper, asked, comparison))
    notes = (*_notes(paper, asked, comparison), *paper.notes)
    if not rows:
        notes = ("no method and corpus of this sweep is in the paper's table", *notes)
    return Section(f"beside {paper.title}, in %", ("configuration", "method", "on", *headings), rows, notes)


def _rows(paper: Paper, asked: Asked, comparison: Comparison) -> Iterator[tuple[str, ...]]:
    for one in asked.configurations:
        for language in (*asked.languages, *asked.held_out):
            corpus = _corpus(asked, language)
            theirs = paper.figures.get((one.method, corpus))
            if theirs and not _is_short_copy(asked, language) and not _is_trained_on(asked, corpus):
                ours = _ours(one, comparison, language)
                told = zip(reversed(MEASURES), theirs, strict=True)
                cells = [word for name, figure in told for word in (_percent(figure), _our(ours, name))]
                yield (one.name, one.method, corpus, *cells)


def _corpus(asked: Asked, language: str) -> str:
    """The corpus that a name of the table tests; held-out ones are called by their own."""
    return asked.conditions.get(f"tested on, {language}", language).removesuffix("_emobox")


def _is_trained_on(asked: Asked, corpus: str) -> bool:
    """The papers' tables are of corpora whose labels are not trained on."""
    return corpus in [name.removesuffix("_emobox") for name in asked.conditions.get("trained on", "").split(", ")]


def _is_short_copy(asked: Asked, language: str) -> bool:
    return _corpus(asked, language) == "emodb" and asked.longest_s.get(language, SHORT_COPY_S) < SHORT_COPY_S


def _ours(one: Candidate, comparison: Comparison, language: str) -> Measures | None:
    """On all clips of the corpus where every training was scored so, else over folds as in the table."""
    row = next((row for row in comparison.rows if row.name == one.name), None)
    cells = comparison.cells[one.name]
    places = [place for place in places_of(one, language) if place in cells]
    if row is None or not all(language in cells[place].whole for place in places):
        return row.test.get(language) if row else None
    folds: dict[int, list[tuple[object, Scored]]] = {}
    for place in places:
        folds.setdefault(place[1], []).append((place[2], cells[place].whole[language]))
    return measures(folds)


def _percent(figure: Figure) -> str:
    return f"{100 * figure[0]:.1f} ({100 * figure[1]:.1f})"


def _our(ours: Measures | None, name: str) -> str:
    return percent(getattr(ours, name)) if ours else ABSENT


def _notes(paper: Paper, asked: Asked, comparison: Comparison) -> Iterator[str]:
    if asked.note:
        yield asked.note
    for language in asked.languages:
        if _is_short_copy(asked, language):
            yield f"{language}: EMO-DB (2 s copy) is not the paper's EMO-DB, so its figures do not stand beside ours"
    for language in asked.languages:
        if _is_trained_on(asked, _corpus(asked, language)):
            yield f"{language}: trained on its labels here, so the paper's figures do not stand beside ours"
    for name, theirs in paper.conditions.items():
        if asked.conditions.get(name) != theirs:
            yield f"{name}: the paper {theirs}; here {asked.conditions.get(name, 'not known')}"
    if comparison.shared_speakers:
        yield f"folds that are not speaker-disjoint here: {', '.join(sorted(comparison.shared_speakers))}"
