"""What is gained over the reference against how far a language is from English."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes

from orchestrator.answers.distance import ENOUGH, spearman
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import BELOW, INK, Picture, hollow, picture, slug
from orchestrator.pictures.material import Material
from trainers.corpora.distances import FROM_ENGLISH

SHOWN = ("featural", "syntax", "phonology", "geographic")

Gains = Mapping[str, Mapping[str, float]]


def chapter(material: Material) -> Chapter:
    title = "Gain and linguistic distance"
    known = [language for language in material.languages if language in FROM_ENGLISH]
    gains = gained(material, known)
    if len(known) < 2 or not gains:
        why = "fewer than two of the languages have a known distance" if len(known) < 2 else "nothing is to be compared"
        return Chapter(title, (f"Left out: {why} from English.",) if len(known) < 2 else (f"Left out: {why}.",))
    panels = tuple(_panel(material, kind, gains) for kind in SHOWN)
    return Chapter(title, _read(len(known)), (Group("One mark for each language and configuration.", panels),))


def _read(count: int) -> tuple[str, ...]:
    told = (
        "Test UAR gained over the reference, in points, against the distance of the language from English (cosine on "
        "URIEL kNN features; 0 is alike)."
    )
    if count < ENOUGH:
        return (
            f"{told} Descriptive: with {count} languages, fewer than {ENOUGH}, no correlation can be claimed, and any "
            "line that the eye draws is its own.",
        )
    return (f"{told} Correlations are tested by permuting languages; of several distances some correlate by chance.",)


def gained(material: Material, languages: Sequence[str]) -> dict[str, dict[str, float]]:
    """Configuration -> language -> test UAR over the reference's; nothing without a complete reference."""
    if not material.reference:
        return {}
    before = material.rows[material.reference].test
    return {
        name: {
            language: material.rows[name].test[language].uar.mean - before[language].uar.mean
            for language in languages
            if language in before and language in material.rows[name].test
        }
        for name in material.few_and_chosen
        if name != material.reference
    }


def _panel(material: Material, kind: str, gains: Gains) -> Picture:
    told = []
    for name, own in gains.items():
        points = ", ".join(
            f"{language} {getattr(FROM_ENGLISH[language], kind):.2f}: {100 * gain:+.1f}"
            for language, gain in own.items()
        )
        told.append(f"{name}: {points}{_correlation(kind, own)}")
    alt = f"UAR points gained over {material.reference} against {kind} distance from English. {'; '.join(told)}."
    draw = partial(_draw, kind=kind, gains={material.label(name): own for name, own in gains.items()})
    return picture(slug(f"distance-{kind}"), f"{kind} distance", alt, draw, height_in=2.9)


def _correlation(kind: str, own: Mapping[str, float]) -> str:
    if len(own) < 3:
        return ""
    rho, p = spearman(list(own.values()), [getattr(FROM_ENGLISH[language], kind) for language in own])
    said = "descriptive" if len(own) < ENOUGH else f"p = {p:.3f}"
    return f" (Spearman {rho:.2f}, {said})"


def _draw(axes: Axes, kind: str, gains: Gains) -> None:
    axes.axhline(0, color=INK, linewidth=0.8)
    highest: dict[str, float] = {}
    for number, (label, own) in enumerate(gains.items()):
        at = [getattr(FROM_ENGLISH[language], kind) for language in own]
        values = [100 * gain for gain in own.values()]
        axes.scatter(at, values, label=label, **hollow(number, 30))
        for language, value in zip(own, values, strict=True):
            highest[language] = max(value, highest.get(language, value))
    for language, value in highest.items():
        at_language = getattr(FROM_ENGLISH[language], kind)
        axes.annotate(language, (at_language, value), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.margins(0.18)
    axes.set_ylabel("UAR points gained")
    axes.legend(bbox_to_anchor=(0.5, -0.13), ncol=2, **BELOW)
