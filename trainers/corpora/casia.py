"""CASIA, Mandarin acted speech: `casia/wangzhe/angry/201.wav` is speaker wangzhe, angry, sentence 201.

Two women and two men say the same fifty sentences (201 to 250) in six emotions: a complete copy has 1200 clips, 800
of them in the four classes, 200 each; the 400 of fear and surprise are kept beside them. Copies differ in how they
spell the folders (`ZhaoZuoxiang`, `liuchanhg` for Liu Chang, `Chang.Liu`, `suprise`), so case, the order of a name and
the spellings below do not matter. No paper that was read tells the speakers' genders; those here are how users of the
corpus file their voices.
"""

import re
from pathlib import PurePosixPath

from trainers.corpora.utterance import EMOTIONS, Corpus, Labels, LeftOut

FURTHER = ("fear", "surprise")

GENDER_OF_SPEAKER = {"liuchang": "female", "wangzhe": "male", "zhaoquanyin": "female", "zhaozuoxiang": "male"}
SPEAKER_OF_FOLDER = {
    **{name: name for name in GENDER_OF_SPEAKER},
    "liuchanhg": "liuchang",
    "changliu": "liuchang",
    "zhewang": "wangzhe",
    "quanyinzhao": "zhaoquanyin",
    "zuoxiangzhao": "zhaozuoxiang",
}
EMOTION_OF_FOLDER = {
    **{emotion: emotion for emotion in (*EMOTIONS, *FURTHER)},
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
    "fearful": "fear",
    "surprised": "surprise",
    "suprise": "surprise",
}
NAME = re.compile(r"\d{3}", re.ASCII)


def parse(path: PurePosixPath) -> Labels | LeftOut | None:
    """Labels of `wangzhe/angry/201.wav`, wherever below the corpus's folder the two folders lie."""
    emotion = EMOTION_OF_FOLDER.get(_letters(path.parent.name))
    folder = path.parent.parent.name
    if emotion is None or not folder or NAME.fullmatch(path.stem) is None:
        return None
    speaker = SPEAKER_OF_FOLDER.get(_letters(folder))
    if speaker is None:
        return LeftOut(f"speaker {folder!r} is not one of CASIA's four")
    return Labels(speaker, GENDER_OF_SPEAKER[speaker], emotion, path.stem)


def _letters(folder: str) -> str:
    return re.sub("[^a-z]", "", folder.lower())


CORPUS = Corpus(
    name="casia",
    language="mandarin",
    folder="casia",
    parse=parse,
    citation="Institute of Automation, Chinese Academy of Sciences, CASIA Chinese emotional speech corpus",
    further_emotions=FURTHER,
)
