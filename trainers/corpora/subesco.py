"""SUBESCO (Sultana et al. 2021), Bangla acted speech: `subesco/F_02_MONIKA_S_4_ANGRY_3.wav` is a woman, her number 2.

The parts of a name: gender, number within the gender (1 to 10), first name, sentence (1 to 10), emotion, take. Twenty
speakers say ten sentences five times in each of seven emotions: a complete copy has 7000 clips, 4000 of them in the
four classes, 1000 each. One published name has a stray bracket (`F_02_MONIKA_S_2_SURPRISE_3].wav`); it is read too.
"""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from trainers.corpora.utterance import EMOTIONS, Corpus, Labels, LeftOut

OTHER_EMOTIONS = ("disgust", "fear", "surprise")
SPEAKERS = tuple(f"{gender}{number:02d}" for gender in "FM" for number in range(1, 11))
NAME = re.compile(r"([MF])_(\d+)_[A-Z]+_S_(\d+)_([A-Z]+)_\d\]?", re.ASCII)


def parse(path: PurePosixPath) -> Labels | LeftOut | None:
    """Labels of `F_02_MONIKA_S_4_ANGRY_3.wav`: speaker F02, sentence 04; only the file name counts."""
    match = NAME.fullmatch(path.stem)
    if match is None:
        return None
    gender, number, sentence, emotion = match[1], int(match[2]), int(match[3]), match[4].lower()
    if emotion not in (*EMOTIONS, *OTHER_EMOTIONS):
        return None
    speaker = f"{gender}{number:02d}"
    if speaker not in SPEAKERS:
        return LeftOut(f"speaker {speaker!r} is not one of SUBESCO's twenty")
    if emotion in OTHER_EMOTIONS:
        return LeftOut(f"emotion {emotion!r} is not one of the four classes")
    return Labels(speaker, {"F": "female", "M": "male"}[gender], emotion, f"{sentence:02d}")


CORPUS = Corpus(
    name="subesco",
    language="bangla",
    folder="subesco",
    parse=parse,
    citation="Sultana et al. 2021, SUST Bangla emotional speech corpus (SUBESCO)",
)

IN_EMOBOX_FOLDS = replace(CORPUS, name="subesco_emobox")
"""The same recordings in EmoBox's folds, which part the speakers but not the genders evenly (METHODS FLAG 30)."""
