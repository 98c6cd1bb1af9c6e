"""One recording with its labels, and how a corpus tells them: by its file names or by its label files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

EMOTIONS = ("angry", "happy", "neutral", "sad")
"""The four classes of Gong et al. 2025 §3.1; a label's number is its place here."""

FURTHER_EMOTIONS = (
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "fear",
    "frustration",
    "no-agreement",
    "other",
    "surprise",
)
"""Names for what else a corpus may be labelled with; `no-agreement` is a clip on which the raters differ."""

UNLABELLED = ""
"""The emotion of a clip that nobody has labelled (Common Voice)."""

GENDERS = ("female", "male")
"""Where a gender is not known it is ""."""

SPLITS = ("train", "valid", "test")
"""The parts of a split that a corpus was published with; "" where it has none."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording that can be trained on or tested on.

    `path` is relative to the data root, with forward slashes (`emodb/wav/03a01Fa.wav`); it is also the utterance's id.
    `speaker` is unique across corpora (`emodb:03`), `text` names the sentence where the corpus tells it, else "".
    `emotion` is one of `EMOTIONS`, or one of its corpus's `further_emotions`. `split` is one of `SPLITS`, "" where the
    corpus was published without; `fold` (0 to 4) is the fold that tests it, None where the corpus does not say.
    """

    path: str
    corpus: str
    language: str
    speaker: str
    gender: str
    emotion: str
    duration_s: float
    text: str = ""
    split: str = ""
    fold: int | None = None

    @property
    def id(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file name, or a row of a label file, tells."""

    speaker: str
    gender: str
    emotion: str
    text: str = ""
    split: str = ""
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a file is no utterance of ours (`emotion 'boredom' is not one of the four classes`)."""

    reason: str


Parse = Callable[[PurePosixPath], Labels | LeftOut | None]
"""The path below the corpus's folder -> labels, the reason for leaving the file out, or None: not of this corpus."""

Table = Mapping[str, Labels | LeftOut]
"""The path below the corpus's folder, with forward slashes -> what the label files tell of it."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus: where it lies below the data root, its language, and who tells the labels.

    `parse` reads a file's name; a name that is not one of this corpus at all is a stray file, which is reported too.
    Where label files tell, `labels_in` reads them once a scan (it gets the corpus's folder and raises UserError with
    what is wrong in them) and `parse` is None. `further_emotions` are kept beside the four: most protocols train and
    test on the four only, some methods hear the others as well.
    """

    name: str
    language: str
    folder: str
    parse: Parse | None
    citation: str
    labels_in: Callable[[Path], Table] | None = None
    further_emotions: tuple[str, ...] = ()

    @property
    def emotions(self) -> tuple[str, ...]:
        """All whose clips are kept."""
        return EMOTIONS + self.further_emotions
