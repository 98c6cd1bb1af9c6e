"""SUBESCO: the published tree, 7000 names over tiny audio, and what its names tell."""

import os
from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pytest
import soundfile

from trainers.corpora.scan import Scan, scan
from trainers.corpora.subesco import CORPUS, parse
from trainers.corpora.utterance import EMOTIONS, Labels, LeftOut

WORDS = ("ANGRY", "DISGUST", "FEAR", "HAPPY", "NEUTRAL", "SAD", "SURPRISE")


def published_names() -> list[str]:
    """20 speakers × 10 sentences × 7 emotions × 5 takes, one of them with the bracket that it was published with."""
    cast = [(gender, number) for gender in "FM" for number in range(1, 11)]
    names = [
        f"{gender}_{number:02d}_NAME{chr(64 + number)}_S_{sentence}_{emotion}_{take}".replace("NAMEB", "MONIKA")
        for gender, number in cast
        for sentence in range(1, 11)
        for emotion in WORDS
        for take in range(1, 6)
    ]
    return [f"{name}]" if name == "F_02_MONIKA_S_2_SURPRISE_3" else name for name in names]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    root = tmp_path_factory.mktemp("corpora")
    (root / "subesco").mkdir()
    sound = root / "sound.wav"
    soundfile.write(sound, np.random.default_rng(0).uniform(-0.3, 0.3, 5600), 8000)
    for name in published_names():
        os.link(sound, root / "subesco" / f"{name}.wav")
    return scan(root, CORPUS)


def test_the_published_tree_has_4000_of_7000_clips_in_the_four_classes(whole: Scan) -> None:
    assert Counter(each.emotion for each in whole.utterances) == dict.fromkeys(EMOTIONS, 1000)
    assert Counter(whole.left_out.values()) == {
        f"emotion {emotion!r} is not one of the four classes": 1000 for emotion in ("disgust", "fear", "surprise")
    }
    assert not whole.unreadable


def test_ten_women_and_ten_men_say_ten_sentences_twenty_times_each(whole: Scan) -> None:
    cast = Counter((each.gender, each.speaker, each.text) for each in whole.utterances)
    assert set(cast.values()) == {20}
    assert len(cast) == 200
    assert Counter(gender for gender, _ in {key[:2] for key in cast}) == {"female": 10, "male": 10}
    assert {text for _, _, text in cast} == {f"{number:02d}" for number in range(1, 11)}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("F_02_MONIKA_S_4_ANGRY_3.wav", Labels("F02", "female", "angry", "04")),
        ("SUBESCO/F_01_OISHI_S_10_SAD_1.wav", Labels("F01", "female", "sad", "10")),
        ("M_10_NAME_S_1_NEUTRAL_5.WAV", Labels("M10", "male", "neutral", "01")),
    ],
)
def test_a_name_tells_speaker_gender_emotion_and_sentence(name: str, labels: Labels) -> None:
    assert parse(PurePosixPath(name)) == labels


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("F_02_MONIKA_S_2_SURPRISE_3].wav", "emotion 'surprise' is not one of the four classes"),
        ("F_11_NAME_S_2_SAD_3.wav", "speaker 'F11' is not one of SUBESCO's twenty"),
    ],
)
def test_a_known_name_of_no_use_is_left_out_with_its_reason(name: str, reason: str) -> None:
    assert parse(PurePosixPath(name)) == LeftOut(reason)


@pytest.mark.parametrize("name", ["F_02_MONIKA_S_4_BORED_3.wav", "f_02_monika_s_4_angry_3.wav", "F_02_S_4_ANGRY_3.wav"])
def test_other_names_are_not_subescos(name: str) -> None:
    assert parse(PurePosixPath(name)) is None
