"""Five folds of a corpus, always the same ones: who trains, who validates, who tests.

EMO-DB: five pairs of one man and one woman. RAVDESS: twelve pairs of actors dealt to five groups (3, 3, 2, 2, 2).
URDU by speaker: the most even of its groupings; emotion is nearly a function of the speaker there, so none is
balanced. URDU (or any corpus) stratified: every class in equal parts, but speakers on both sides.
Any other corpus: its women, then its men, dealt to five groups in turn.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError, unknown

FOLDS = 5
KINDS = ("speaker", "stratified")

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

GROUPS = {"emodb": EMODB_GROUPS, "urdu": URDU_GROUPS, "ravdess": RAVDESS_GROUPS}

Group = tuple[Utterance, ...]


@dataclass(frozen=True)
class Fold:
    """Utterance ids of one fold (`index` 0 to 4). No id stands in two parts; no part but `valid` may be empty.

    `speaker_disjoint` is False where speakers of `test` are also in `train`; tables must then say so.
    """

    index: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    speaker_disjoint: bool = True

    def __post_init__(self) -> None:
        everything = self.train + self.valid + self.test
        if len(set(everything)) != len(everything):
            raise ValueError(f"fold {self.index} has an utterance twice: {_first_repeated(everything)!r}")
        if not self.train or not self.test:
            counts = f"{len(self.train)} clips to train on and {len(self.test)} to test on"
            raise ValueError(f"fold {self.index} has {counts}; it needs some of both")

    @classmethod
    def of(cls, index: int, train: Group, valid: Group, test: Group, *, speaker_disjoint: bool = True) -> "Fold":
        """The fold of these utterances; ValueError where a speaker stands in two parts of a speaker-disjoint one."""
        if speaker_disjoint:
            speakers = [speaker for part in (train, valid, test) for speaker in {clip.speaker for clip in part}]
            if len(set(speakers)) != len(speakers):
                raise ValueError(f"fold {index} has speaker {_first_repeated(speakers)!r} in two parts")
        return cls(index, _ids(train), _ids(valid), _ids(test), speaker_disjoint)


def high_resource_folds(corpus: str, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Five folds of a corpus whose labels are trained on: group r validates, r + 1 tests, the three others train.

    Always by speaker. UserError: a speaker that the corpus's grouping does not know, or a group without clips.
    """
    groups = speaker_groups(corpus, utterances)
    parts = [(groups[r], groups[(r + 1) % FOLDS], _others(groups, r, (r + 1) % FOLDS)) for r in range(FOLDS)]
    return tuple(Fold.of(r, train, valid, test) for r, (valid, test, train) in enumerate(parts))


def low_resource_folds(corpus: str, utterances: Sequence[Utterance], *, kind: str = "speaker") -> tuple[Fold, ...]:
    """Five folds of a corpus whose labels are not trained on: group r tests, the other four train without labels.

    `kind`: "speaker" (no speaker on both sides), or "stratified" (each class spread evenly; speakers ARE on both
    sides, which each fold's `speaker_disjoint` says). UserError as for `high_resource_folds`.
    """
    if kind not in KINDS:
        raise unknown("kind of folds", kind, KINDS)
    by_speaker = kind == "speaker"
    groups = speaker_groups(corpus, utterances) if by_speaker else _stratified_groups(corpus, utterances)
    return tuple(
        Fold.of(r, _others(groups, r), (), group, speaker_disjoint=by_speaker) for r, group in enumerate(groups)
    )


def speaker_groups(corpus: str, utterances: Sequence[Utterance]) -> tuple[Group, ...]:
    """The five groups that take turns, whole speakers each; of an incomplete copy the speakers that are there."""
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
            raise UserError(f"{corpus} needs five groups of speakers; no clip is here of {_listed(group)}")
    return groups


def _dealt(utterances: Iterable[Utterance], corpus: str) -> tuple[tuple[str, ...], ...]:
    """Women, then men, each in the order of their names, dealt to the groups in turn."""
    speakers = sorted({(clip.gender, clip.speaker.removeprefix(f"{corpus}:")) for clip in utterances})
    if len(speakers) < FOLDS:
        raise UserError(f"{corpus} has {len(speakers)} speakers; five folds by speaker need at least {FOLDS}")
    return tuple(tuple(name for _, name in speakers[group::FOLDS]) for group in range(FOLDS))


def _stratified_groups(corpus: str, utterances: Sequence[Utterance]) -> tuple[Group, ...]:
    """Each class in an order that only its ids decide, dealt to the groups in turn; no generator whose stream may
    change with a library's version."""
    if len(utterances) < FOLDS:
        raise UserError(f"{corpus} has {len(utterances)} clips; five folds need at least {FOLDS}")
    shuffled = sorted(utterances, key=lambda clip: (EMOTIONS.index(clip.emotion), _digest(clip.id)))
    return tuple(tuple(sorted(shuffled[group::FOLDS], key=lambda clip: clip.id)) for group in range(FOLDS))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _others(groups: Sequence[Group], *without: int) -> Group:
    """The clips of all groups but these, in the order of their paths."""
    clips = (clip for number, group in enumerate(groups) if number not in without for clip in group)
    return tuple(sorted(clips, key=lambda clip: clip.id))


def _ids(clips: Iterable[Utterance]) -> tuple[str, ...]:
    return tuple(clip.id for clip in clips)


def _first_repeated(values: Sequence[str]) -> str:
    return min(value for value in set(values) if values.count(value) > 1)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
