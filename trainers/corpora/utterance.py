"""One recording with its labels, and what a corpus has to say about its file names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

EMOTIONS = ("angry", "happy", "neutral", "sad")
"""The four classes of Gong et al. 2025 §3.1; a label's number is its place here."""

GENDERS = ("female", "male")


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording that can be trained on or tested on.

    `path` is relative to the data root, with forward slashes (`emodb/wav/03a01Fa.wav`); it is also the utterance's id.
    `speaker` is unique across corpora (`emodb:03`), `text` names the sentence where the corpus tells it, else "".
    """

    path: str
    corpus: str
    language: str
    speaker: str
    gender: str
    emotion: str
    duration_s: float
    text: str = ""

    @property
    def id(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file name tells."""

    speaker: str
    gender: str
    emotion: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a file is no utterance of ours (`emotion 'boredom' is not one of the four classes`)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus: where it lies below the data root, its language, and how its file names are read.

    `parse` gets the path below `folder` and answers with labels, with the reason for leaving the file out, or None
    where the name is not one of this corpus at all (a stray file, which is reported too).
    """

    name: str
    language: str
    folder: str
    parse: Callable[[PurePosixPath], Labels | LeftOut | None]
    citation: str
