"""What takes turns in a corpus's folds: groups of speakers, or equal parts of every class.

EMO-DB: five pairs of one man and one woman. RAVDESS: twelve pairs of actors dealt to five groups (3, 3, 2, 2, 2).
SUBESCO: two women and two men a group. IEMOCAP: the two speakers of a session. CASIA: each of its four speakers.
URDU: the most even of its groupings; emotion is nearly a function of the speaker there, so none is balanced.
A corpus that tells its own folds: those. Any other corpus: its women, then its men, dealt to five groups in turn.
No generator of random numbers is asked, whose stream may change with a library's version: order comes from hashes.

These are the groups of repeat 0. Those of further repeats shuffle them, women among women and men among men
(`trainers.corpora.repeats`), so that pairs, genders and sizes stay as they are told here; URDU's are held to nearly the
evenness of the first ones. There are none where a corpus tells its folds, of IEMOCAP, whose sessions stay together,
and of four or five speakers.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from trainers.corpora.repeats import Deal, Groups, partition, partitions
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError

FOLDS = 5

EMODB_GROUPS = (("03", "08"), ("10", "09"), ("11", "13"), ("12", "14"), ("15", "16"))

URDU_GROUPS = (
    ("SM2", "SM20", "SM23", "SM27", "SM7"),
    ("SF10", "SF2", "SF3", "SF5", "SM26", "SM5"),
    ("SF11", "SF7", "SM17", "SM21", "SM22", "SM4", "SM6"),
    ("SF1", "SF4", "SF8", "SM25", "SM3"),
    ("SF6", "SF9", "SM1", "SM18", "SM19", "SM24"),
)

RAVDESS_GROUPS = tuple(
    tuple(f"{actor:02d}" for pair in range(group, 12, FOLDS) for actor in (2 * pair + 1, 2 * pair + 2))
    for group in range(FOLDS)
)

SUBESCO_GROUPS = tuple(
    tuple(f"{gender}{number:02d}" for gender in "FM" for number in (2 * group + 1, 2 * group + 2))
    for group in range(FOLDS)
)

EMOBOX_SUBESCO_GROUPS = (
    ("F03", "M03", "M08", "M09"),
    ("F01", "F04", "F10", "M07"),
    ("F06", "F08", "M05", "M06"),
    ("F05", "F07", "F09", "M04"),
    ("F02", "M01", "M02", "M10"),
)

IEMOCAP_GROUPS = tuple((f"Ses{session:02d}F", f"Ses{session:02d}M") for session in range(1, 6))

CASIA_GROUPS = (("liuchang",), ("wangzhe",), ("zhaoquanyin",), ("zhaozuoxiang",))

GROUPS = {
    "emodb": EMODB_GROUPS,
    "urdu": URDU_GROUPS,
    "ravdess": RAVDESS_GROUPS,
    "ravdess_calm": RAVDESS_GROUPS,
    "subesco": SUBESCO_GROUPS,
    "subesco_emobox": EMOBOX_SUBESCO_GROUPS,
    "iemocap": IEMOCAP_GROUPS,
    "casia": CASIA_GROUPS,
}

KEPT_TOGETHER = ("iemocap",)
"""Corpora of which no group is parted: the speakers of a session talk with each other."""

CHOSEN_TO_BE_EVEN = ("urdu",)
"""Corpora whose groups were chosen for their classes."""

Group = tuple[Utterance, ...]

Turn = tuple[int, Group]
"""The number of a group, and those of its clips that have their turn."""


def speaker_groups(corpus: str, utterances: Sequence[Utterance], repeat: int = 0) -> tuple[Group, ...]:
    """The groups that take turns, whole speakers each (five; CASIA's four); of an incomplete copy who is there.

    Where the clips tell their folds (`Utterance.fold`), fold by fold; speakers may then stand in several. UserError: a
    speaker that the corpus's grouping does not know, a group without clips, a fold told of some clips only. `repeat` is
    below `speaker_partitions`.
    """
    if tells_folds(utterances):
        return _told_groups(corpus, utterances)
    first = _first_groups(corpus, utterances)
    return _regrouped(utterances, partition(_speaker_deal(corpus, first), repeat), _speaker) if repeat else first


def speaker_partitions(corpus: str, utterances: Sequence[Utterance]) -> int:
    """How many repeats `speaker_groups` has. Of URDU they are so many that they are not counted."""
    if tells_folds(utterances) or corpus in KEPT_TOGETHER:
        return 1
    return partitions(_speaker_deal(corpus, _first_groups(corpus, utterances)))


def tells_folds(utterances: Iterable[Utterance]) -> bool:
    """Whether a corpus tells which clips are tested in which fold."""
    return any(clip.fold is not None for clip in utterances)


def _first_groups(corpus: str, utterances: Sequence[Utterance]) -> tuple[Group, ...]:
    present = {clip.speaker.removeprefix(f"{corpus}:") for clip in utterances}
    planned = GROUPS.get(corpus) or _dealt(utterances, corpus)
    strangers = present - {speaker for group in planned for speaker in group}
    if strangers:
        raise UserError(f"{corpus} has no fold for speaker {_listed(strangers)}")
    groups = tuple(
        tuple(clip for clip in utterances if clip.speaker.removeprefix(f"{corpus}:") in group) for group in planned
    )
    for group, clips in zip(planned, groups, strict=True):
        if not clips:
            raise UserError(f"{corpus} needs {len(planned)} groups of speakers; no clip is here of {_listed(group)}")
    return groups


def _speaker_deal(corpus: str, first: Sequence[Group]) -> Deal:
    everybody = [clip for group in first for clip in group]
    genders, clips = _genders(everybody), _classes(everybody) if corpus in CHOSEN_TO_BE_EVEN else {}
    return Deal(
        corpus,
        first=tuple(tuple(sorted({clip.speaker for clip in group})) for group in first),
        strata=tuple(sorted(genders.items())),
        clips=tuple(sorted((speaker, tuple(counts)) for speaker, counts in clips.items())),
    )


def _regrouped(utterances: Iterable[Utterance], groups: Groups, unit: Callable[[Utterance], str]) -> tuple[Group, ...]:
    """The clips group by group, each in the order in which they come; `unit`: what of a clip is grouped."""
    place = {name: number for number, group in enumerate(groups) for name in group}
    found: list[list[Utterance]] = [[] for _ in groups]
    for clip in utterances:
        found[place[unit(clip)]].append(clip)
    return tuple(map(tuple, found))


def _speaker(clip: Utterance) -> str:
    return clip.speaker


def _clip_id(clip: Utterance) -> str:
    return clip.id


def _genders(utterances: Iterable[Utterance]) -> dict[str, str]:
    """Speaker -> gender, although some clips may not tell it."""
    told: dict[str, str] = {}
    for clip in utterances:
        told[clip.speaker] = max(clip.gender, told.get(clip.speaker, ""))
    return told


def _classes(utterances: Iterable[Utterance]) -> dict[str, list[int]]:
    """Speaker -> number of clips of each class."""
    counts: dict[str, list[int]] = {}
    for clip in utterances:
        counts.setdefault(clip.speaker, [0] * len(EMOTIONS))[EMOTIONS.index(clip.emotion)] += 1
    return counts


def _told_groups(corpus: str, utterances: Sequence[Utterance]) -> tuple[Group, ...]:
    silent = [clip.id for clip in utterances if clip.fold is None]
    if silent:
        raise UserError(f"{corpus} tells no fold of {len(silent)} of its {len(utterances)} clips, {silent[0]!r} first")
    told = {clip.fold for clip in utterances}
    if told != set(range(FOLDS)):
        raise UserError(f"{corpus} tells the folds {_listed(map(str, told))}; it must be all of 0 to {FOLDS - 1}")
    return tuple(tuple(clip for clip in utterances if clip.fold == fold) for fold in range(FOLDS))


def _dealt(utterances: Iterable[Utterance], corpus: str) -> tuple[tuple[str, ...], ...]:
    """Women, then men, each in the order of their names, dealt to the groups in turn."""
    speakers = sorted((gender, name.removeprefix(f"{corpus}:")) for name, gender in _genders(utterances).items())
    if len(speakers) < FOLDS:
        raise UserError(f"{corpus} has {len(speakers)} speakers; five folds by speaker need at least {FOLDS}")
    return tuple(tuple(name for _, name in speakers[group::FOLDS]) for group in range(FOLDS))


def stratified_groups(
    corpus: str, utterances: Sequence[Utterance], number: int = FOLDS, repeat: int = 0
) -> tuple[Group, ...]:
    """Each class in an order that only its ids decide, dealt to `number` groups in turn; further repeats shuffle the
    clips of each class. UserError for fewer clips. `repeat` is below `stratified_partitions`."""
    if len(utterances) < number:
        raise UserError(f"{corpus} has {len(utterances)} clips; {number} folds need at least {number}")
    first = _dealt_evenly(utterances, number)
    if not repeat:
        return first
    in_order = sorted(utterances, key=_clip_id)
    return _regrouped(in_order, partition(_clip_deal(corpus, first), repeat), _clip_id)


def stratified_partitions(corpus: str, utterances: Sequence[Utterance], number: int = FOLDS) -> int:
    """How many repeats `stratified_groups` has."""
    return partitions(_clip_deal(corpus, _dealt_evenly(utterances, number)))


def _clip_deal(corpus: str, first: Sequence[Group]) -> Deal:
    emotions = sorted((clip.id, clip.emotion) for group in first for clip in group)
    return Deal(corpus, tuple(tuple(map(_clip_id, group)) for group in first), tuple(emotions))


def _dealt_evenly(clips: Sequence[Utterance], number: int) -> tuple[Group, ...]:
    shuffled = sorted(clips, key=lambda clip: (EMOTIONS.index(clip.emotion), _digest(clip.id)))
    return tuple(tuple(sorted(shuffled[group::number], key=_clip_id)) for group in range(number))


def five_turns(groups: Sequence[Group], *, halve: bool) -> tuple[Turn, ...]:
    """Five turns of five groups, or of four: then the fourth has two, with half of its clips each.

    So four speakers fit a protocol of five folds: each clip has one turn, and no two neighbours, of which one may
    validate while the other tests, are of one speaker. Without `halve` both turns have all of the fourth's clips,
    for folds that part its sentences anyway.
    """
    if len(groups) == FOLDS:
        return tuple(enumerate(groups))
    first, second, third, fourth = groups
    one, other = _dealt_evenly(fourth, 2) if halve else (fourth, fourth)
    return ((0, first), (3, one), (1, second), (3, other), (2, third))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
