"""The built-in demo: five corpora of synthesised voices and an encoder of random weights, free of any licence.

One is rich in labels (`demo_home`), three stand for low-resource languages, and `demo_talk` for Common Voice: other
speakers of one of these, who read without emotion. It is made so that the machinery has
something to learn that carries over from one language to the next, and says nothing about real emotions.
A name is `F03_s07_angry_1.wav`: speaker F03, sentence s07, emotion, take.
"""

import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.corpora import demo_encoder
from trainers.corpora.demo_cast import LANGUAGES, synthesise
from trainers.corpora.utterance import EMOTIONS, Corpus, Labels
from trainers.errors import UserError

VERSION = "1"
"""Goes up whenever a sample or a weight changes, so that an older demo on disk is made anew."""

MARKER = ".foldwise-demo"
SPEAKERS = tuple(f"{gender}{number:02d}" for number in range(1, 6) for gender in "FM")
SENTENCES, TAKES = 10, 2
SENTENCES_PER_SPEAKER = {"demo_home": 3, "demo_arda": 2, "demo_bela": 2, "demo_cyra": 2}

_NAME = re.compile(rf"(([FM])\d\d)_(s\d\d)_({'|'.join(EMOTIONS)})_\d\.wav", re.ASCII)


def parse(path: PurePosixPath) -> Labels | None:
    """`F03_s07_angry_1.wav` is speaker F03, a woman, angry, sentence s07; None for any other name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    speaker, gender, text, emotion = match.groups()
    return Labels(speaker, {"F": "female", "M": "male"}[gender], emotion, text)


CORPORA: tuple[Corpus, ...] = tuple(
    Corpus(name, name.replace("_", "-"), name, parse, "synthesised by foldwise, free of any licence")
    for name in LANGUAGES
)
"""The high-resource one first, then the three low-resource ones."""

TALK, SPOKEN = "demo_talk", "demo_arda"
TALKERS = tuple(f"{gender}{number:02d}" for number in range(6, 10) for gender in "FM")

ADAPTATION = Corpus(TALK, SPOKEN.replace("_", "-"), TALK, parse, CORPORA[0].citation)
"""Eight further speakers of one low-resource language, each with all of its sentences."""


def write(root: Path) -> Path:
    """All five corpora as 16-bit wav, `root/demo_home/F01_s00_angry_1.wav` and so on; `root` itself is returned.

    Takes about ten seconds; what is there already stays. UserError where a folder of that name is not the demo's.
    """
    for corpus in (*LANGUAGES, TALK):
        publish(root / corpus, partial(_record, corpus=corpus), names(corpus))
    return root


def write_encoder(folder: Path) -> Path:
    """The random encoder in Hugging Face's layout, unless it is there; UserError if the folder holds other things."""
    return publish(folder, demo_encoder.fill, ("config.json", "preprocessor_config.json", "model.safetensors"))


def names(corpus: str) -> tuple[str, ...]:
    """File names of a corpus: every speaker says the same few sentences in all four emotions, two takes each."""
    if corpus == TALK:
        places = product(TALKERS, range(SENTENCES), range(1, TAKES + 1))
        return tuple(f"{speaker}_s{text:02d}_neutral_{take}.wav" for speaker, text, take in places)
    texts = {place: [3 * place + i for i in range(SENTENCES_PER_SPEAKER[corpus])] for place in range(len(SPEAKERS))}
    return tuple(
        f"{speaker}_s{text % SENTENCES:02d}_{emotion}_{take}.wav"
        for place, speaker in enumerate(SPEAKERS)
        for text in texts[place]
        for emotion in EMOTIONS
        for take in range(1, TAKES + 1)
    )


def _record(folder: Path, corpus: str) -> None:
    for name in names(corpus):
        speaker, text, emotion, take = name.removesuffix(".wav").split("_")
        samples = synthesise(SPOKEN if corpus == TALK else corpus, speaker, text, emotion, int(take))
        import soundfile  # not above: a machine that only trains may lack it

        wav = BytesIO()  # so that a full disk is an OSError, which libsndfile's is not
        soundfile.write(wav, samples, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
        (folder / name).write_bytes(wav.getvalue())


def publish(folder: Path, fill: Callable[[Path], None], expected: tuple[str, ...]) -> Path:
    """`folder` as `fill` makes it, whole or not at all: filled under another name, then renamed.

    `expected` are the names that must be there for it to count as whole. UserError if `folder` is someone else's.
    """
    if _is_whole(folder, expected):
        return folder
    if folder.exists() and not (folder / MARKER).is_file() and not _is_empty(folder):
        raise UserError(f"{folder} is in the way: the demo would be written there, and it is not the demo's")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        fill(made)
        (made / MARKER).write_text(VERSION)
        _install(made, folder, Path(scratch, "outdated"), expected)
    return folder


def _install(made: Path, folder: Path, outdated: Path, expected: tuple[str, ...]) -> None:
    """Another process may be quicker, with the same bytes: then ours are dropped."""
    if _is_whole(folder, expected):
        return
    try:
        if folder.exists():
            folder.rename(outdated)
        made.rename(folder)
    except OSError:
        if not _is_whole(folder, expected):
            raise


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _is_whole(folder: Path, expected: tuple[str, ...]) -> bool:
    """The marker comes with the rename; the names tell whether anyone deleted files since."""
    marker = folder / MARKER
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return marker.is_file() and marker.read_text() == VERSION and there.issuperset(expected)
