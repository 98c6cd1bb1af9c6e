"""URDU (Latif et al. 2018), talk-show speech: `urdu/Angry/SM1_F10_A010.wav` is male speaker SM1, his file 10, angry.

Speaker code: S, then M or F for the gender, then a number. The letter of the last part is the emotion, and so is the
folder; where the two differ the clip is left out. A complete copy has 400 clips, 100 a class, of 29 speakers
(18 male, 11 female; the paper says 38). Emotion is nearly a function of the speaker: folds.py says what follows.
"""

import re
from pathlib import PurePosixPath

from trainers.corpora.utterance import EMOTIONS, Corpus, Labels, LeftOut

EMOTION_OF_LETTER = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
NAME = re.compile(r"(S[MF]\d+)_F\d+_([AHNS])\d+", re.ASCII)


def parse(path: PurePosixPath) -> Labels | LeftOut | None:
    """Labels of `Angry/SM1_F10_A010.wav`; the folder need not be there, but must not contradict the name."""
    match = NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, letter = match.groups()
    emotion, folder = EMOTION_OF_LETTER[letter], path.parent.name.lower()
    if folder in EMOTIONS and folder != emotion:
        return LeftOut("the name and the folder tell different emotions")
    return Labels(speaker, "male" if speaker[1] == "M" else "female", emotion)


CORPUS = Corpus(
    name="urdu",
    language="urdu",
    folder="urdu",
    parse=parse,
    citation="Latif et al. 2018, Cross lingual speech emotion recognition: Urdu vs. western languages",
)
