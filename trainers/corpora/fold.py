"""One fold: who trains, who validates, who tests, and what it keeps apart."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainers.corpora.groups import Group
from trainers.corpora.utterance import Utterance


@dataclass(frozen=True)
class Fold:
    """Utterance ids of one fold. No id stands in two parts; no part but `valid` may be empty.

    `index` is from 0, through all repeats. `speaker_disjoint` is False where a speaker may stand in two parts; tables
    must then say so. `sentence_disjoint` is True where no sentence of `test` is in `train` or `valid`; False where that
    is not so or nobody looked.
    """

    index: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    speaker_disjoint: bool = True
    sentence_disjoint: bool = False

    def __post_init__(self) -> None:
        everything = self.train + self.valid + self.test
        if len(set(everything)) != len(everything):
            raise ValueError(f"fold {self.index} has an utterance twice: {_first_repeated(everything)!r}")
        if not self.train or not self.test:
            counts = f"{len(self.train)} clips to train on and {len(self.test)} to test on"
            raise ValueError(f"fold {self.index} has {counts}; it needs some of both")

    @classmethod
    def of(
        cls,
        index: int,
        train: Group,
        valid: Group,
        test: Group,
        *,
        speaker_disjoint: bool = True,
        sentence_disjoint: bool = False,
    ) -> "Fold":
        """The fold of these utterances; ValueError where they do not keep apart what they are said to keep apart."""
        shared = shared_speakers(train, valid, test)
        if speaker_disjoint and shared:
            raise ValueError(f"fold {index} has speaker {min(shared)!r} in two parts")
        repeated = texts_of(test) & texts_of(train + valid)
        if sentence_disjoint and (repeated or "" in texts_of(test)):
            raise ValueError(f"fold {index} tests sentence {min(repeated or {''})!r}, which is heard before")
        return cls(index, _ids(train), _ids(valid), _ids(test), speaker_disjoint, sentence_disjoint)


def shared_speakers(*parts: Group) -> set[str]:
    """Who is in more than one of these parts."""
    heard = Counter(speaker for part in parts for speaker in {clip.speaker for clip in part})
    return {speaker for speaker, count in heard.items() if count > 1}


def texts_of(clips: Iterable[Utterance]) -> set[str]:
    """What is said, "" where some clip does not tell."""
    return {clip.text for clip in clips}


def _ids(clips: Iterable[Utterance]) -> tuple[str, ...]:
    return tuple(clip.id for clip in clips)


def _first_repeated(values: Sequence[str]) -> str:
    return min(value for value in set(values) if values.count(value) > 1)
