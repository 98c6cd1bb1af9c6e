"""MSP-Podcast (Lotfian & Busso 2019), English podcasts: `Audios/MSP-PODCAST_0001_0008.wav`, labelled in one table.

`Labels/labels_consensus.csv` (older releases: `labels_concensus.csv`) has a row a clip: FileName, EmoClass, EmoAct,
EmoVal, EmoDom, SpkrID, Gender, Split_Set. The wavs lie in `Audios`, `Audio` or `Audios/Audio`. Of the letters in
EmoClass A, H, N, S are the four classes; U, F, D, C, O (other) and X (no agreement) are left out. Split_Set is Train,
Development (older: Validation) or one of Test1, Test2, Test3, which all count as the test part.
"""

from pathlib import Path

from trainers.corpora.label_files import gender_of, refuse, rows_of
from trainers.corpora.utterance import Corpus, Labels, LeftOut, Table
from trainers.errors import UserError, unknown

LABEL_FILES = ("labels_consensus.csv", "labels_concensus.csv")
AUDIO_FOLDERS = ("Audios/Audio", "Audios", "Audio")
COLUMNS = ("FileName", "EmoClass", "SpkrID", "Gender", "Split_Set")
EMOTION_OF_LETTER = {
    "A": "angry",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "O": "other",
    "X": "no-agreement",
}
PART_OF_SET = {
    "Train": "train",
    "Development": "valid",
    "Validation": "valid",
    "Test1": "test",
    "Test2": "test",
    "Test3": "test",
}
GENDERS = ("Female", "Male", "Unknown")
NOBODY = ("", "Unknown")


def labels_in(folder: Path) -> Table:
    """Labels of every row, the official split among them. UserError lists the rows that are not as above."""
    file = _first_there(folder / "Labels", LABEL_FILES, "label file")
    audio = _first_there(folder, AUDIO_FOLDERS, "folder").relative_to(folder).as_posix()
    problems: list[str] = []
    table: dict[str, Labels | LeftOut] = {}
    for line, row in rows_of(file, COLUMNS, problems):
        try:
            labels = _labels(row)
            if table.setdefault(f"{audio}/{row['FileName']}", labels) != labels:
                raise UserError(f"{row['FileName']} has other labels than in a row above")
        except UserError as error:
            problems.append(f"{file.name} line {line}: {error}")
    refuse(problems, "corpus msp_podcast")
    return table


def _first_there(folder: Path, names: tuple[str, ...], kind: str) -> Path:
    there = [folder / name for name in names if (folder / name).exists()]
    if not there:
        raise UserError(f"corpus msp_podcast has no {kind} {' or '.join(names)} in {folder}")
    return there[0]


def _labels(row: dict[str, str]) -> Labels | LeftOut:
    """Labels of a row; UserError with the value and the choices where one of them is unknown."""
    if not row["FileName"]:
        raise UserError("FileName is empty")
    if row["Gender"] not in (*GENDERS, ""):
        raise unknown("Gender", row["Gender"], GENDERS)
    if row["Split_Set"] not in PART_OF_SET:
        raise unknown("Split_Set", row["Split_Set"], PART_OF_SET)
    if not row["EmoClass"]:
        return LeftOut("it has no emotion label")
    if row["EmoClass"] not in EMOTION_OF_LETTER:
        raise unknown("EmoClass", row["EmoClass"], EMOTION_OF_LETTER)
    emotion = EMOTION_OF_LETTER[row["EmoClass"]]
    return Labels(_speaker(row), gender_of(row["Gender"]), emotion, split=PART_OF_SET[row["Split_Set"]])


def _speaker(row: dict[str, str]) -> str:
    """Clips whose speaker nobody knows are each a speaker of their own: taking them for one would be a false label."""
    return f"unknown-{Path(row['FileName']).stem}" if row["SpkrID"] in NOBODY else row["SpkrID"]


CORPUS = Corpus(
    name="msp_podcast",
    language="english",
    folder="msp_podcast",
    parse=None,
    citation="Lotfian & Busso 2019, Building naturalistic emotionally balanced speech corpus from podcast recordings",
    labels_in=labels_in,
)
