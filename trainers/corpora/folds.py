"""The folds of a corpus, always the same ones: who trains, who validates, who tests.

Protocols have five folds, and so has every corpus here; CASIA's four speakers make five by splitting the turn of one
(`five_turns`). Only `within_folds` may have another number: four for CASIA, ten where they are random.

Kinds. "speaker": no speaker on both sides (the groups: `trainers.corpora.groups`). "speaker+sentence": nor any
sentence; speakers r are tested on sentences r only, and training loses whatever says one of these. The price: EMO-DB's
folds test on 12 to 18 clips instead of 51 to 81, and train on 201 to 235 instead of 258 to 288. "stratified" and
"random": every class in equal parts, speakers on both sides, which each fold's `speaker_disjoint` says.

A corpus published with a split (MSP-Podcast, or a manifest's own column) is heard by it wherever folds go by speaker:
all five are then the same. A corpus that tells its folds is heard by those. Whether a published split or fold parts
the speakers is not ours to promise: it is looked up, and `speaker_disjoint` says what was found.

A partition may be repeated: repeat 0 is the partition that it always was, and others deal speakers (stratified and
random folds: clips) anew, as often as `partitions` says. Their folds are numbered on: fold f is fold f mod K of repeat
f // K, where a partition has K folds. Whatever has only one partition has no repeats, rather than the same folds again:
a method that hears nothing else would be trained twice to the same numbers, which would count as two (VALIDITY §5).

Folds hold clips of the four classes only; those of a corpus's further emotions are `further_clips`.
"""

from collections.abc import Collection, Iterable, Sequence

from trainers.corpora.fold import Fold as Fold
from trainers.corpora.fold import shared_speakers, texts_of
from trainers.corpora.groups import FOLDS as FOLDS
from trainers.corpora.groups import (
    KEPT_TOGETHER,
    Group,
    Turn,
    five_turns,
    speaker_groups,
    speaker_partitions,
    stratified_groups,
    stratified_partitions,
    tells_folds,
)
from trainers.corpora.sentences import sentence_groups
from trainers.corpora.utterance import EMOTIONS, SPLITS, Utterance
from trainers.errors import UserError, unknown

KINDS = ("speaker", "speaker+sentence", "stratified")
WITHIN_KINDS = ("speaker", "speaker+sentence", "random")
BY_CLIP = {"stratified": FOLDS, "random": 10}
"""Kinds that deal clips instead of speakers, with the number of their folds."""

Role = tuple[int, int | None]
"""Which turn tests and which validates in a fold."""


def high_resource_folds(
    corpus: str, utterances: Sequence[Utterance], *, kind: str = "speaker", repeat: int = 0
) -> tuple[Fold, ...]:
    """Five folds of a corpus whose labels are trained on: group r validates, r + 1 tests, the three others train.

    `kind` is one of `KINDS`. Validation says the sentences of training, by other speakers; the sentences that are
    tested it does not hear either. UserError: what `speaker_groups` and `sentence_groups` refuse; a fold that is left
    without clips; a `repeat` that is not below `partitions`.
    """
    roles = [((r + 1) % FOLDS, r) for r in range(FOLDS)]
    return _five_folds(corpus, utterances, kind, repeat, roles)


def low_resource_folds(
    corpus: str, utterances: Sequence[Utterance], *, kind: str = "speaker", repeat: int = 0
) -> tuple[Fold, ...]:
    """Five folds of a corpus whose labels are not trained on: group r tests, the other four train without labels.

    `kind` is one of `KINDS`; nothing validates. Over the five folds each clip is tested once, except where folds go by
    sentence too (then each is tested at most once) or by a published split. UserError as for `high_resource_folds`.
    """
    return _five_folds(corpus, utterances, kind, repeat, [(r, None) for r in range(FOLDS)])


def within_folds(
    corpus: str, utterances: Sequence[Utterance], *, kind: str = "speaker", repeat: int = 0
) -> tuple[Fold, ...]:
    """Folds for a classifier that is trained on this very corpus's labels: group r tests, r + 1 validates.

    `kind` is one of `WITHIN_KINDS`. By speaker there are as many folds as the corpus has groups: CASIA four (one
    speaker left out of each), the others five. "random" is ten equal parts of every class, speakers on both sides, as
    much of the literature has it. UserError as for `high_resource_folds`.
    """
    if kind not in WITHIN_KINDS:
        raise unknown("kind of folds", kind, WITHIN_KINDS)
    clips = _of_four_classes(utterances)
    _require_repeat(corpus, clips, kind, repeat)
    if kind not in BY_CLIP and _has_split(corpus, clips):
        return _split_folds(corpus, clips, kind, validated=True)
    groups = _groups(corpus, clips, kind, repeat)
    roles = [(r, (r + 1) % len(groups)) for r in range(len(groups))]
    return _folds_in_turn(corpus, groups, tuple(enumerate(groups)), kind, repeat, roles)


def partitions(corpus: str, utterances: Sequence[Utterance], *, kind: str = "speaker") -> int:
    """How many partitions there are, repeat 0 included: at most `repeats.MOST_REPEATS`, at least 1.

    `kind`: any of folds. A published split, folds that a corpus tells, IEMOCAP's sessions and no more speakers than
    groups make one partition (`only_partition` says which).
    """
    clips = _of_four_classes(utterances)
    if kind in BY_CLIP:
        return stratified_partitions(corpus, clips, BY_CLIP[kind])
    return 1 if _has_split(corpus, clips) else speaker_partitions(corpus, clips)


def only_partition(corpus: str, utterances: Iterable[Utterance], *, kind: str = "speaker") -> str:
    """Why a corpus has only one partition, in words that follow its name."""
    clips = _of_four_classes(utterances)
    if kind not in BY_CLIP:
        if _has_split(corpus, clips):
            return "is heard by its published split"
        if tells_folds(clips):
            return "tells its folds"
        if corpus in KEPT_TOGETHER:
            return "has sessions that stay together"
    return "is too small for a second partition"


def further_clips(fold: Fold, utterances: Iterable[Utterance]) -> tuple[str, ...]:
    """Ids of clips of emotions beyond the four that may be heard in training beside `fold.train`.

    Not those of a speaker, where the fold keeps speakers apart, or of a sentence, where it keeps sentences apart, that
    is tested; nor of a speaker that validates; nor any that a published split puts elsewhere than in training.
    `utterances`: the whole corpus.
    """
    known = {clip.id: clip for clip in utterances}
    held_out = [known[each] for each in fold.test + fold.valid] if fold.speaker_disjoint else []
    speakers = {clip.speaker for clip in held_out}
    texts = texts_of(known[each] for each in fold.test) if fold.sentence_disjoint else set()
    return tuple(
        name
        for name, clip in sorted(known.items())
        if clip.emotion not in EMOTIONS
        and clip.speaker not in speakers
        and clip.text not in texts
        and clip.split in ("", "train")
    )


def _five_folds(
    corpus: str, utterances: Sequence[Utterance], kind: str, repeat: int, roles: Sequence[Role]
) -> tuple[Fold, ...]:
    if kind not in KINDS:
        raise unknown("kind of folds", kind, KINDS)
    clips = _of_four_classes(utterances)
    _require_repeat(corpus, clips, kind, repeat)
    if kind not in BY_CLIP and _has_split(corpus, clips):
        return _split_folds(corpus, clips, kind, validated=roles[0][1] is not None)
    groups = _groups(corpus, clips, kind, repeat)
    turns = five_turns(groups, halve=kind != "speaker+sentence")
    return _folds_in_turn(corpus, groups, turns, kind, repeat, roles)


def _groups(corpus: str, clips: Sequence[Utterance], kind: str, repeat: int) -> tuple[Group, ...]:
    if kind in BY_CLIP:
        return stratified_groups(corpus, clips, BY_CLIP[kind], repeat)
    return speaker_groups(corpus, clips, repeat)


def _require_repeat(corpus: str, clips: Sequence[Utterance], kind: str, repeat: int) -> None:
    if repeat == 0:
        return  # always there, so that nothing is counted
    there_are = partitions(corpus, clips, kind=kind)
    if repeat not in range(there_are):
        why = f": it {only_partition(corpus, clips, kind=kind)}" if there_are == 1 else ""
        raise UserError(f"repeat is {repeat}; {corpus} has {there_are} of folds by {kind}, from 0{why}")


def _folds_in_turn(
    corpus: str, groups: Sequence[Group], turns: Sequence[Turn], kind: str, repeat: int, roles: Sequence[Role]
) -> tuple[Fold, ...]:
    """A fold for each role: whoever has no turn in it trains."""
    sentences = sentence_groups(corpus, [clips for _, clips in turns], repeat) if kind == "speaker+sentence" else ()
    told = tells_folds(clip for group in groups for clip in group)
    folds = []
    for index, (test, valid) in enumerate(roles):
        owners = [turns[turn][0] for turn in (test, valid) if turn is not None]
        parts = _others(groups, *owners), () if valid is None else turns[valid][1], turns[test][1]
        if sentences:
            parts = _parted_by_sentence(parts, sentences[test])
        folds.append(_fold(corpus, repeat * len(roles) + index, parts, kind, told=told))
    return tuple(folds)


def _fold(corpus: str, index: int, parts: tuple[Group, Group, Group], kind: str, *, told: bool) -> Fold:
    """`told`: the corpus tells its folds or its split, so that its speakers need not be apart."""
    train, _, test = parts
    if not train or not test:
        counts = f"{len(train)} clips to train on and {len(test)} to test on"
        raise UserError(f"fold {index} of {corpus} by {kind} has {counts}; it needs some of both")
    apart = kind not in BY_CLIP and not (told and shared_speakers(*parts))
    return Fold.of(index, *parts, speaker_disjoint=apart, sentence_disjoint=kind == "speaker+sentence")


def _parted_by_sentence(parts: tuple[Group, Group, Group], tested: Collection[str]) -> tuple[Group, Group, Group]:
    """What is tested says these sentences; what is heard before says others."""
    train, valid, test = parts
    before = [tuple(clip for clip in part if clip.text not in tested) for part in (train, valid)]
    return before[0], before[1], tuple(clip for clip in test if clip.text in tested)


def _has_split(corpus: str, clips: Sequence[Utterance]) -> bool:
    """UserError where only some clips tell their part."""
    silent = [clip.id for clip in clips if not clip.split]
    if silent and len(silent) < len(clips):
        raise UserError(f"{corpus} tells no split of {len(silent)} of its {len(clips)} clips, {silent[0]!r} first")
    return bool(clips) and not silent


def _split_folds(corpus: str, clips: Sequence[Utterance], kind: str, *, validated: bool) -> tuple[Fold, ...]:
    """Five times the published split; by sentence its test stays whole, and training loses what it says."""
    train, valid, test = (tuple(clip for clip in clips if clip.split == split) for split in SPLITS)
    parts = train, valid if validated else (), test
    if kind == "speaker+sentence":
        if "" in texts_of(clips):
            raise UserError(f"{corpus} tells no sentences of some clips: folds by speaker+sentence need them")
        parts = _parted_by_sentence(parts, texts_of(test))
    return tuple(_fold(corpus, index, parts, kind, told=True) for index in range(FOLDS))


def _of_four_classes(utterances: Iterable[Utterance]) -> Group:
    """In the order of their paths."""
    return tuple(sorted((clip for clip in utterances if clip.emotion in EMOTIONS), key=lambda clip: clip.id))


def _others(groups: Sequence[Group], *without: int) -> Group:
    """The clips of all groups but these, in the order of their paths."""
    clips = (clip for number, group in enumerate(groups) if number not in without for clip in group)
    return tuple(sorted(clips, key=lambda clip: clip.id))
