"""What takes turns in a corpus's folds: groups of speakers, groups of sentences, or equal parts of every class.

EMO-DB: five pairs of one man and one woman. RAVDESS: twelve pairs of actors dealt to five groups (3, 3, 2, 2, 2).
SUBESCO: two women and two men a group. IEMOCAP: the two speakers of a session. CASIA: each of its four speakers.
URDU: the most even of its groupings; emotion is nearly a function of the speaker there, so none is balanced.
A corpus that tells its own folds: those. Any other corpus: its women, then its men, dealt to five groups in turn.
No generator of random numbers is asked, whose stream may change with a library's version: order comes from hashes.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

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

DEALS = 500
"""Ways of dealing sentences that are compared; fewer of more than a hundred sentences, which come out even anyway."""

Group = tuple[Utterance, ...]

Turn = tuple[int, Group]
"""The number of a group, and those of its clips that have their turn."""


def speaker_groups(corpus: str, utterances: Sequence[Utterance]) -> tuple[Group, ...]:
    """The groups that take turns, whole speakers each (five; CASIA's four); of an incomplete copy who is there.

    Where the clips tell their folds (`Utterance.fold`), fold by fold; speakers may then stand in several. UserError: a
    speaker that the corpus's grouping does not know, a group without clips, a fold told of some clips only.
    """
    if any(clip.fold is not None for clip in utterances):
        return _told_groups(corpus, utterances)
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
    speakers = sorted({(clip.gender, clip.speaker.removeprefix(f"{corpus}:")) for clip in utterances})
    if len(speakers) < FOLDS:
        raise UserError(f"{corpus} has {len(speakers)} speakers; five folds by speaker need at least {FOLDS}")
    return tuple(tuple(name for _, name in speakers[group::FOLDS]) for group in range(FOLDS))


def stratified_groups(corpus: str, utterances: Sequence[Utterance], count: int = FOLDS) -> tuple[Group, ...]:
    """Each class in an order that only its ids decide, dealt to `count` groups in turn; UserError for fewer clips."""
    if len(utterances) < count:
        raise UserError(f"{corpus} has {len(utterances)} clips; {count} folds need at least {count}")
    return _dealt_evenly(utterances, count)


def _dealt_evenly(clips: Sequence[Utterance], count: int) -> tuple[Group, ...]:
    shuffled = sorted(clips, key=lambda clip: (EMOTIONS.index(clip.emotion), _digest(clip.id)))
    return tuple(tuple(sorted(shuffled[group::count], key=lambda clip: clip.id)) for group in range(count))


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


def sentence_groups(corpus: str, turns: Sequence[Group]) -> tuple[frozenset[str], ...]:
    """For each turn the sentences that are tested in it; no other turn has them, unless sentences are too few.

    Each sentence belongs to one turn (of fewer sentences than turns, such as RAVDESS's two, to every second, third …
    turn). Of `DEALS` ways of dealing them, the first in their own order and the others shuffled by hashes, that one
    is taken in which the fewest turns lack a class; of those the one whose smallest class in any turn is largest; of
    those the one that tests most clips. What is tested of a sentence is lost to training from all other speakers, so
    that one also trains on most. UserError: a clip without a text, or only one sentence.
    """
    silent = sorted(clip.id for turn in turns for clip in turn if not clip.text)
    if silent:
        raise UserError(f"{corpus} tells no sentences (of {silent[0]!r}, for one): folds by speaker+sentence need them")
    texts = sorted({clip.text for turn in turns for clip in turn})
    if len(texts) < 2:
        raise UserError(f"{corpus} has {len(texts)} sentence; folds by speaker+sentence need at least 2")
    count = min(len(turns), len(texts))
    counts = _counts(turns, texts)
    deals = (_deal(texts, number, count) for number in range(max(1, min(DEALS, 100 * DEALS // len(texts)))))
    best = max(deals, key=lambda deal: _merit(deal, counts))
    return tuple(
        frozenset(text for text, group in zip(texts, best, strict=True) if group == turn % count)
        for turn in range(len(turns))
    )


def _deal(texts: Sequence[str], number: int, count: int) -> NDArray[np.int64]:
    """(texts,) the group of each."""
    shuffled = sorted(texts, key=lambda text: _digest(f"{number}/{text}")) if number else list(texts)
    place = {text: position % count for position, text in enumerate(shuffled)}
    return np.array([place[text] for text in texts])


def _counts(turns: Sequence[Group], texts: Sequence[str]) -> NDArray[np.int64]:
    """(turns, texts, classes) number of clips."""
    counts = np.zeros((len(turns), len(texts), len(EMOTIONS)), dtype=np.int64)
    place = {text: position for position, text in enumerate(texts)}
    for number, turn in enumerate(turns):
        for clip in turn:
            counts[number, place[clip.text], EMOTIONS.index(clip.emotion)] += 1
    return counts


def _merit(deal: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[int, int, int]:
    """To be maximised, the first number first: see `sentence_groups`."""
    turns = np.arange(len(counts)) % (deal.max() + 1)
    tested = np.einsum("tx,txc->tc", deal[None, :] == turns[:, None], counts)
    return -int((tested == 0).sum()), int(tested.min()), int(tested.sum())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
