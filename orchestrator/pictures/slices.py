"""Women and men, and single speakers: who is understood by whom."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from orchestrator.answers.claims import points
from orchestrator.answers.section import Section, share
from orchestrator.answers.slices import (
    FEWEST_CLIPS,
    FEWEST_OF_SPEAKER,
    Floats,
    Slice,
    by_gender,
    by_speaker,
    confounds,
    sliced,
)
from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import INK, Picture, hollow, picture, slug
from orchestrator.pictures.material import Material
from orchestrator.pictures.places import rows
from trainers.corpora.utterance import EMOTIONS, GENDERS

READ = (
    "Scores of women and men, and of each speaker, of all folds' clips together. UAR of a group is the mean recall "
    "over the emotions that the group has clips of, so read the counts first: a group that lacks an emotion, or has "
    "mostly one, is scored on something else than the other group. No test was made of these numbers: they describe.",
)

ROW = ("configuration", "UAR all", "UAR women", "UAR men", "gap", "gap, alike", "acc women", "acc men", "worst speaker")


def chapter(material: Material) -> Chapter:
    title = "Women, men and single speakers"
    if not material.listed:
        return Chapter(title, ("No configuration is complete, so no group can be scored.",))
    genders = _genders(material)
    counts = {language: _counts(material, language) for language in material.languages}
    told = [language for language in material.languages if any(counts[language].values())]
    if not told:
        return Chapter(title, ("The results do not tell who spoke, so no group can be scored.",))
    sections = [part for language in told for part in _tables(material, language, counts[language], genders)]
    panels = [_panel(material, language, counts[language], genders) for language in told]
    caption = (
        f"Each mark is a speaker with at least {FEWEST_OF_SPEAKER} test clips: UAR over the emotions that this speaker "
        "has. Circles: women; squares: men; triangles: gender not known; the upright line is the UAR of all. Small "
        "sets of clips scatter by chance alone."
    )
    return Chapter(title, READ, (Group(caption, tuple(panels)),), tuple(sections))


def _genders(material: Material) -> dict[str, str]:
    """Speaker -> gender, as the clips of one configuration tell it; all were tested on the same speakers."""
    found = material.whole(material.reference or material.listed[0])
    return {row["speaker"]: row["gender"] for result in found.values() for row in result.predictions}


def _counts(material: Material, language: str) -> dict[str, dict[str, Floats]]:
    """Configuration -> speaker -> counts."""
    cells = material.comparison.cells
    return {name: by_speaker(cells[name], language, material.times(name, language)) for name in material.listed}


def _tables(
    material: Material, language: str, counts: Mapping[str, Mapping[str, Floats]], genders: Mapping[str, str]
) -> Iterator[Section]:
    speakers = next(own for own in counts.values() if own)
    yield _clips(language, speakers, genders)
    scored = {name: sliced(own, genders) for name, own in counts.items() if own}
    notes = (
        "in %; gap: UAR of women less that of men, in points; alike: the mean difference of recall over the emotions "
        f"that both have at least {FEWEST_CLIPS} clips of, which no difference in emotions can make",
        f"worst speaker: the least UAR of a speaker with at least {FEWEST_OF_SPEAKER} clips; of many speakers the "
        "worst one is low by chance, too",
    )
    yield Section(
        f"{language}: women, men, worst speaker",
        ROW,
        tuple(_row(material, name, one) for name, one in scored.items()),
        notes,
    )


def _row(material: Material, name: str, one: Slice) -> tuple[str, ...]:
    worst = f"{one.worst} {share(one.worst_uar)}" if one.worst else "–"
    gaps = (points(one.gap, signed=True), points(one.gap_alike, signed=True))
    return (material.label(name), *map(share, (one.of_all, *one.uar)), *gaps, *map(share, one.accuracy), worst)


def _clips(language: str, speakers: Mapping[str, Floats], genders: Mapping[str, str]) -> Section:
    """How many clips of each emotion are of women, of men, and of others, and what that makes of scores by gender."""
    clips = by_gender(speakers, genders).sum(2)
    every = np.sum(list(speakers.values()), axis=0).sum(1)
    groups = [("women", clips[0], "female"), ("men", clips[1], "male"), ("not known", every - clips.sum(0), "")]
    rows_of = tuple(
        (name, *(f"{count:.0f}" for count in own), f"{own.sum():.0f}", str(_people(speakers, genders, gender)))
        for name, own, gender in groups
        if own.sum() or gender
    )
    said = [f"{language}: {sentence}" for sentence in confounds(clips)]
    headings = ("test clips of", *EMOTIONS, "all", "speakers")
    notes = said or (f"{language}: both genders have clips of every emotion",)
    return Section(f"{language}: test clips by gender and emotion", headings, rows_of, tuple(notes))


def _people(speakers: Mapping[str, Floats], genders: Mapping[str, str], gender: str) -> int:
    known = [genders.get(name, "") for name in speakers]
    return sum(one == gender if gender else one not in GENDERS for one in known)


def _panel(
    material: Material, language: str, counts: Mapping[str, Mapping[str, Floats]], genders: Mapping[str, str]
) -> Picture:
    scored = {name: sliced(own, genders) for name, own in counts.items() if own}
    told = "; ".join(
        f"{name}: {len(one.speakers)} speakers from {share(min(one.speakers.values()))} to "
        f"{share(max(one.speakers.values()))}, worst {one.worst}"
        for name, one in scored.items()
        if one.speakers
    )
    alt = f"UAR of each speaker in {language}, in %. {told or 'No speaker has enough clips'}."
    draw = partial(_draw, labels=[material.label(name) for name in scored], scored=list(scored.values()), known=genders)
    title = f"{language}: UAR of speakers, %"
    return picture(slug(f"speakers-{language}"), title, alt, draw, height_in=0.9 + 0.3 * len(scored))


def _draw(axes: Axes, labels: Sequence[str], scored: Sequence[Slice], known: Mapping[str, str]) -> None:
    rows(axes, labels)
    axes.set_xlim(-3, 103)
    for place, one in enumerate(scored):
        for number, gender in enumerate((*GENDERS, "")):
            values = [100 * value for name, value in one.speakers.items() if _gender(known, name) == gender]
            axes.scatter(values, [place + 0.16 * (number - 1)] * len(values), **hollow(number))
        if one.of_all == one.of_all:
            axes.plot([100 * one.of_all] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.2, zorder=2)


def _gender(known: Mapping[str, str], name: str) -> str:
    gender = known.get(name, "")
    return gender if gender in GENDERS else ""
