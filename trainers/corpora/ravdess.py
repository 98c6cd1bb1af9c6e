"""RAVDESS (Livingstone & Russo 2018), North American English: `ravdess/Actor_18/03-01-05-01-02-01-18.wav`.

The seven numbers: modality (03 audio only), channel (01 speech, 02 song), emotion, intensity, statement, repetition,
actor (odd numbers are men). Calm is left out: the other corpora have no such class (`ravdess_calm` takes it for
neutral, METHODS FLAG 29). A complete copy has 672 clips in the four classes: 192, 192, 96, 192 (neutral has no strong
intensity); with calm 864.
"""

import re
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from trainers.corpora.utterance import EMOTIONS, Corpus, Labels, LeftOut

EMOTION_OF_CODE = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-0[12]-(0[12])-0[12]-(\d\d)", re.ASCII)


def parse(path: PurePosixPath, *, calm: str = "calm") -> Labels | LeftOut | None:
    """Labels of `Actor_18/03-01-05-01-02-01-18.wav`; only the file name counts. `calm`: what calm clips are called."""
    match = NAME.fullmatch(path.stem)
    if match is None or match[5] not in ACTORS:
        return None
    modality, channel, code, statement, actor = match.groups()
    if (modality, channel) != ("03", "01"):
        return LeftOut("sung, not spoken" if channel == "02" else "not the audio-only recording")
    emotion = calm if EMOTION_OF_CODE[code] == "calm" else EMOTION_OF_CODE[code]
    if emotion not in EMOTIONS:
        return LeftOut(f"emotion {emotion!r} is not one of the four classes")
    return Labels(actor, "male" if int(actor) % 2 else "female", emotion, statement)


CORPUS = Corpus(
    name="ravdess",
    language="english",
    folder="ravdess",
    parse=parse,
    citation="Livingstone & Russo 2018, The Ryerson audio-visual database of emotional speech and song",
)

WITH_CALM = replace(CORPUS, name="ravdess_calm", parse=partial(parse, calm="neutral"))
"""The same recordings, calm ones as neutral."""
