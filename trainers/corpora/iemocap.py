"""IEMOCAP (Busso et al. 2008), English dialogues of ten actors: turn `Ses01F_impro01_M003` of session 1, spoken by M.

Below the folder, or below `IEMOCAP_full_release` in it, as it unpacks:

Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav   a turn
Session1/dialog/EmoEvaluation/Ses01F_impro01.txt                its label: `[7.5712 - 10.4750]<tab>TURN<tab>fru<tab>[…]`
Session1/dialog/transcriptions/Ses01F_impro01.txt               its words, if there: `TURN [007.5712-010.4750]: Well …`

A speaker is a session and the letter of the turn's last part; the letter before it tells who wore the markers.
Excited counts as happy (Gong et al. 2025 §3.1). A complete copy has 5531 turns in the four classes, 5322 of them of
at most 12 s: 1068, 1578, 1681, 995; by session 1032, 977, 1124, 1001, 1188. Turns of other labels are kept as well.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from trainers.corpora.label_files import lines_of, refuse
from trainers.corpora.utterance import Corpus, Labels, LeftOut, Table
from trainers.errors import UserError

EMOTION_OF_CODE = {
    "ang": "angry",
    "hap": "happy",
    "exc": "happy",
    "neu": "neutral",
    "sad": "sad",
    "fru": "frustration",
    "sur": "surprise",
    "fea": "fear",
    "dis": "disgust",
    "oth": "other",
    "xxx": "no-agreement",
}
RELEASE = "IEMOCAP_full_release"
LABEL_FILES = "Session[1-5]/dialog/EmoEvaluation/Ses*.txt"
LABEL = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\s+(\S+)\s+(\S+)\s+\[.*\]")
TURN = re.compile(r"(Ses0[1-5])[FM]_((?:impro\d\d|script\d\d_\d)[a-z]?)_([FM])(?:\d{3}|XX\d)", re.ASCII)
WORDS = re.compile(r"(\S+) \[[^]]*\]: *(.*)")


def labels_in(folder: Path) -> Table:
    """Labels of every turn in the label files. UserError lists the lines that are not as above."""
    home = folder / RELEASE if (folder / RELEASE).is_dir() else folder
    files = sorted(home.glob(LABEL_FILES))
    if not files:
        raise UserError(f"corpus iemocap has no label file {LABEL_FILES} below {home}")
    problems: list[str] = []
    table: dict[str, Labels | LeftOut] = {}
    for file in files:
        session = file.parents[2]
        wavs = (session / "sentences" / "wav" / file.stem).relative_to(folder).as_posix()
        for turn, labels in _turns(file, _words(session, file.name, problems), problems):
            if table.setdefault(f"{wavs}/{turn}.wav", labels) != labels:
                problems.append(f"{file.name}: turn {turn!r} has two emotions")
    refuse(problems, "corpus iemocap")
    return table


def _turns(file: Path, words: dict[str, str], problems: list[str]) -> Iterator[tuple[str, Labels]]:
    """Each turn with its labels; lines that do not open with a bracket are the single raters'."""
    for number, line in lines_of(file, problems):
        if line.startswith("["):
            try:
                yield _turn(line, file.stem, words)
            except ValueError as error:
                problems.append(f"{file.name} line {number}: {error}")


def _turn(line: str, dialogue: str, words: dict[str, str]) -> tuple[str, Labels]:
    """`[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5, 2.5, 2.5]`; ValueError names the rule that is broken."""
    match = LABEL.fullmatch(line.strip())
    if match is None:
        raise ValueError("it must read [begin - end] turn emotion [valence, activation, dominance]")
    turn, code = match.groups()
    named = TURN.fullmatch(turn)
    if named is None or not turn.startswith(f"{dialogue}_"):
        raise ValueError(f"turn {turn!r} is none of dialogue {dialogue}")
    if code not in EMOTION_OF_CODE:
        raise ValueError(f"emotion {code!r} is unknown; there are: {', '.join(EMOTION_OF_CODE)}")
    session, scene, letter = named.groups()
    gender = "female" if letter == "F" else "male"
    return turn, Labels(f"{session}{letter}", gender, EMOTION_OF_CODE[code], _text(scene, words.get(turn, "")))


def _text(scene: str, words: str) -> str:
    """The scene (`impro03`, `script01_2`); what is read from a script has a sentence too, if it is transcribed."""
    plain = " ".join(re.findall(r"[a-z0-9']+", words.lower()))
    return f"{scene}: {plain}" if scene.startswith("script") and plain else scene


def _words(session: Path, name: str, problems: list[str]) -> dict[str, str]:
    """Turn -> its words, of a dialogue that is transcribed."""
    file = session / "dialog" / "transcriptions" / name
    if not file.is_file():
        return {}
    return {match[1]: match[2] for _, line in lines_of(file, problems) if (match := WORDS.match(line))}


CORPUS = Corpus(
    name="iemocap",
    language="english",
    folder="iemocap",
    parse=None,
    citation="Busso et al. 2008, IEMOCAP: interactive emotional dyadic motion capture database",
    labels_in=labels_in,
    further_emotions=("disgust", "fear", "frustration", "no-agreement", "other", "surprise"),
)
