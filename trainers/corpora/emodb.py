"""EMO-DB (Burkhardt et al. 2005), German acted speech: `emodb/wav/03a01Wa.wav` is speaker 03, text a01, Wut, version a.

The letter is the German word's: Wut, Freude, Trauer, neutral are kept; Langeweile, Ekel, Angst are left out. The
genders are those of the corpus's own page. A complete copy has 339 clips in the four classes: 127, 71, 79, 62.
"""

import re
from pathlib import PurePosixPath

from trainers.corpora.utterance import Corpus, Labels, LeftOut

EMOTION_OF_LETTER = {
    "W": "angry",
    "F": "happy",
    "N": "neutral",
    "T": "sad",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
}
GENDER_OF_SPEAKER = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
NAME = re.compile(r"(\d\d)([ab]\d\d)([WFNTLEA])[a-z]", re.ASCII)


def parse(path: PurePosixPath) -> Labels | LeftOut | None:
    """Labels of `wav/03a01Wa.wav`; only the file name counts, the original has all clips in `wav`."""
    match = NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, text, letter = match.groups()
    if speaker not in GENDER_OF_SPEAKER:
        return LeftOut(f"speaker {speaker!r} is not one of EMO-DB's ten")
    emotion = EMOTION_OF_LETTER[letter]
    if emotion in ("boredom", "disgust", "fear"):
        return LeftOut(f"emotion {emotion!r} is not one of the four classes")
    return Labels(speaker, GENDER_OF_SPEAKER[speaker], emotion, text)


CORPUS = Corpus(
    name="emodb",
    language="german",
    folder="emodb",
    parse=parse,
    citation="Burkhardt et al. 2005, A database of German emotional speech",
)
