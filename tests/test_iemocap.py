"""IEMOCAP: the published tree of 10,039 turns over tiny audio, and what its label files tell."""

from collections import Counter, defaultdict
from itertools import cycle
from pathlib import Path

import pytest

from tests.tiny_audio import Sounds
from trainers.corpora.iemocap import CORPUS, labels_in
from trainers.corpora.scan import Scan, scan
from trainers.corpora.utterance import EMOTIONS, Labels
from trainers.errors import UserError

SHORT = {"ang": 1068, "hap": 574, "exc": 1004, "neu": 1681, "sad": 995}
LONG = {"ang": 35, "hap": 21, "exc": 37, "neu": 27, "sad": 89}
OTHERS = {"fru": 1849, "sur": 107, "fea": 40, "dis": 2, "oth": 3, "xxx": 2507}
PER_SESSION = (1032, 977, 1124, 1001, 1188)
SCENES = [f"impro{number:02d}" for number in range(1, 9)] + [
    "script01_1", "script01_2", "script01_3", "script02_1", "script02_2", "script03_1", "script03_2"
]  # fmt: skip
SUFFIXED = {3: ("Ses03M_impro05a", "Ses03M_impro05b"), 5: ("Ses05M_script01_1b",)}
HEADER = ("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", "")
RATERS = ("C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", "")


def dialogues(session: int) -> list[str]:
    return [f"Ses{session:02d}{letter}_{scene}" for letter in "FM" for scene in SCENES] + [*SUFFIXED.get(session, ())]


def label(turn: str, code: str) -> str:
    return f"[6.2901 - 8.2357]\t{turn}\t{code}\t[2.5000, 2.5000, 2.5000]"


class Release:
    """IEMOCAP below `root/iemocap`, filled turn by turn as the corpus is laid out."""

    def __init__(self, root: Path, below: str = "") -> None:
        self.sounds = Sounds(root / "iemocap" / below)
        self.labels: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        self._next = {session: cycle(dialogues(session)) for session in range(1, 6)}
        self._letters = cycle("FM")
        self._numbers: Counter[tuple[str, str]] = Counter()

    def add(self, session: int, code: str, seconds: float) -> None:
        dialogue, letter = next(self._next[session]), next(self._letters)
        turn = f"{dialogue}_{letter}{self._numbers[dialogue, letter]:03d}"
        self._numbers[dialogue, letter] += 1
        self.sounds.at(f"Session{session}/sentences/wav/{dialogue}/{turn}.wav", seconds=seconds)
        self.labels[session, dialogue] += [label(turn, code), *RATERS]

    def written(self) -> None:
        for (session, dialogue), lines in self.labels.items():
            folder = f"Session{session}/dialog"
            self.sounds.text(f"{folder}/EmoEvaluation/{dialogue}.txt", *HEADER, *lines)
            self.sounds.text(f"{folder}/EmoEvaluation/Attribute/{dialogue}_e1_atr.txt", "no label of ours")
            self.sounds.text(f"{folder}/EmoEvaluation/._{dialogue}.txt", "\0\x05\x16\x07")
            self.sounds.at(f"{folder}/wav/{dialogue}.wav", seconds=12.5)


def spelt_out(counts: dict[str, int]) -> list[str]:
    return [code for code, count in counts.items() for _ in range(count)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    root = tmp_path_factory.mktemp("corpora")
    release = Release(root)
    sessions = [session for session, count in enumerate(PER_SESSION, start=1) for _ in range(count)]
    for code, session in zip(spelt_out(SHORT), sessions, strict=True):
        release.add(session, code, 0.6)
    for code, session in zip(spelt_out(LONG), cycle(range(1, 6)), strict=False):
        release.add(session, code, 12.5)
    for code, session in zip(spelt_out(OTHERS), cycle(range(1, 6)), strict=False):
        release.add(session, code, 0.6)
    release.written()
    return scan(root, CORPUS)


def four(found: Scan) -> list[str]:
    return [clip.emotion for clip in found.utterances if clip.emotion in EMOTIONS]


def test_5322_of_the_5531_published_turns_of_the_four_classes_are_short_enough(whole: Scan) -> None:
    assert Counter(four(whole)) == {"angry": 1068, "happy": 1578, "neutral": 1681, "sad": 995}
    assert len(four(whole)) == 5322
    assert Counter(whole.left_out.values())["longer than 12 s"] == 5531 - 5322
    assert not whole.unreadable


def test_the_sessions_have_their_published_counts(whole: Scan) -> None:
    counts = Counter(clip.speaker[:13] for clip in whole.utterances if clip.emotion in EMOTIONS)
    assert counts == {f"iemocap:Ses0{number}": count for number, count in enumerate(PER_SESSION, start=1)}


def test_turns_of_other_labels_are_kept_under_their_names(whole: Scan) -> None:
    further = Counter(clip.emotion for clip in whole.utterances if clip.emotion not in EMOTIONS)
    assert further == {
        "frustration": 1849, "surprise": 107, "fear": 40, "disgust": 2, "other": 3, "no-agreement": 2507
    }  # fmt: skip
    assert set(further) == set(CORPUS.further_emotions)


def test_the_ten_speakers_are_told_by_the_last_letter_and_not_by_the_dialogues(whole: Scan) -> None:
    cast = {(clip.gender, clip.speaker) for clip in whole.utterances}
    assert cast == {
        (gender, f"iemocap:Ses0{session}{gender[0].upper()}")
        for gender in ("female", "male")
        for session in range(1, 6)
    }
    crossed = {clip.speaker for clip in whole.utterances if "/Ses01F_" in clip.path}
    assert crossed == {"iemocap:Ses01F", "iemocap:Ses01M"}


def test_whole_dialogues_are_left_out_and_counted(whole: Scan) -> None:
    assert Counter(whole.left_out.values())["no label file lists it"] == 5 * 30 + 3


def small(
    root: Path, *lines: str, below: str = "", words: tuple[str, ...] = (), dialogue: str = "Ses01F_impro01"
) -> Sounds:
    """One dialogue with these label lines, and a recording of each turn named in them."""
    sounds = Sounds(root / "iemocap" / below)
    for turn in {line.split("\t")[1] for line in lines if line.count("\t") == 3}:
        sounds.at(f"Session1/sentences/wav/{dialogue}/{turn}.wav")
    sounds.text(f"Session1/dialog/EmoEvaluation/{dialogue}.txt", *HEADER, *lines)
    if words:
        sounds.text(f"Session1/dialog/transcriptions/{dialogue}.txt", *words)
    return sounds


def test_the_folder_that_the_corpus_unpacks_to_may_stand_between(tmp_path: Path) -> None:
    small(tmp_path, label("Ses01F_impro01_M003", "exc"), below="IEMOCAP_full_release")
    (clip,) = scan(tmp_path, CORPUS).utterances
    wav = "IEMOCAP_full_release/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav"
    assert (clip.path, clip.emotion, clip.gender) == (f"iemocap/{wav}", "happy", "male")


@pytest.mark.parametrize(
    ("dialogue", "words", "text"),
    [
        ("Ses01F_impro01", (), "impro01"),
        ("Ses01F_impro01", ("Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.",), "impro01"),
        ("Ses05M_script01_1b", (), "script01_1b"),
        ("Ses03M_impro05a", (), "impro05a"),
        (
            "Ses01F_script02_2",
            ("Ses01F_script02_2_F000 [1.0-2.0]: I'm sorry...  Oh, GOD!", "M: [LAUGHTER]"),
            "script02_2: i'm sorry oh god",
        ),
        ("Ses01F_script02_2", ("Ses01F_script02_2_M000 [1.0-2.0]: Another turn.",), "script02_2"),
    ],
)
def test_the_text_is_the_scene_and_where_it_is_read_its_sentence(
    tmp_path: Path, dialogue: str, words: tuple[str, ...], text: str
) -> None:
    small(tmp_path, label(f"{dialogue}_F000", "neu"), words=words, dialogue=dialogue)
    assert [clip.text for clip in scan(tmp_path, CORPUS).utterances] == [text]


def test_a_labelled_turn_without_its_recording_is_named(tmp_path: Path) -> None:
    sounds = small(tmp_path, label("Ses01F_impro01_F000", "neu"), label("Ses01F_impro01_FXX0", "fru"))
    (sounds.root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_FXX0.wav").unlink()
    assert scan(tmp_path, CORPUS).unreadable == {
        "iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_FXX0.wav": (
            "the label files list it, but it is not there"
        )
    }


def test_all_bad_lines_of_the_label_files_are_said_at_once(tmp_path: Path) -> None:
    bad = (
        "[6.2901 - 8.2357] Ses01F_impro01_F000",
        label("Ses01F_impro02_F000", "neu"),
        label("Ses01F_impro01_F001", "sed"),
        label("Ses01F_impro01_X001", "sad"),
    )
    small(tmp_path, label("Ses01F_impro01_F009", "neu"), *bad)
    with pytest.raises(UserError) as refused:
        scan(tmp_path, CORPUS)
    codes = "ang, hap, exc, neu, sad, fru, sur, fea, dis, oth, xxx"
    assert str(refused.value).splitlines() == [
        "corpus iemocap has 4 errors:",
        "Ses01F_impro01.txt line 4: it must read [begin - end] turn emotion [valence, activation, dominance]",
        "Ses01F_impro01.txt line 5: turn 'Ses01F_impro02_F000' is none of dialogue Ses01F_impro01",
        f"Ses01F_impro01.txt line 6: emotion 'sed' is unknown; there are: {codes}",
        "Ses01F_impro01.txt line 7: turn 'Ses01F_impro01_X001' is none of dialogue Ses01F_impro01",
    ]


def test_a_turn_of_two_emotions_is_refused(tmp_path: Path) -> None:
    for folder, codes in (("same", ("exc", "hap")), ("two", ("neu", "sad"))):
        small(tmp_path / folder, *(label("Ses01F_impro01_F000", code) for code in codes))
    assert len(labels_in(tmp_path / "same" / "iemocap")) == 1
    with pytest.raises(UserError, match=r"Ses01F_impro01.txt: turn 'Ses01F_impro01_F000' has two emotions"):
        labels_in(tmp_path / "two" / "iemocap")


def test_a_line_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    Sounds(tmp_path).text(file, *HEADER, "C-E2:\tNeutral;\t(naïve)", encoding="latin-1")
    with pytest.raises(UserError, match=r"^corpus iemocap has 1 error:\nSes01F_impro01.txt line 3: it is not UTF-8$"):
        labels_in(tmp_path / "iemocap")


def test_a_folder_without_label_files_is_refused_in_one_line(tmp_path: Path) -> None:
    Sounds(tmp_path).at("iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    with pytest.raises(UserError, match=r"corpus iemocap has no label file Session\[1-5\]/dialog/EmoEvaluation/Ses\*"):
        scan(tmp_path, CORPUS)


def test_a_turn_with_overlapping_speech_is_its_speakers(tmp_path: Path) -> None:
    small(tmp_path, label("Ses01F_impro01_MXX0", "sad"))
    (labels,) = labels_in(tmp_path / "iemocap").values()
    assert labels == Labels("Ses01M", "male", "sad", "impro01")
