"""CASIA: the published tree, 1200 names over tiny audio, in all the spellings of its folders."""

import os
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

from trainers.corpora.casia import CORPUS, parse
from trainers.corpora.scan import scan
from trainers.corpora.utterance import EMOTIONS, Labels, LeftOut

CAST = ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang")
FOLDERS = ("angry", "fear", "happy", "neutral", "sad", "surprise")


def published(root: Path, cast: tuple[str, ...] = CAST, folders: tuple[str, ...] = FOLDERS) -> Path:
    """4 speakers × 6 emotions × 50 sentences; a sound of its own for each of the 24 folders, as copies are left out."""
    for number, (speaker, emotion) in enumerate((speaker, emotion) for speaker in cast for emotion in folders):
        folder = root / "casia" / speaker / emotion
        folder.mkdir(parents=True)
        sound = root / f"{number}.wav"
        soundfile.write(sound, np.random.default_rng(number).uniform(-0.3, 0.3, 4800), 8000)
        for sentence in range(201, 251):
            os.link(sound, folder / f"{sentence}.wav")
    return root


def test_the_published_tree_has_800_of_1200_clips_in_the_four_classes_and_keeps_the_others(tmp_path: Path) -> None:
    found = scan(published(tmp_path), CORPUS)
    counts = Counter(each.emotion for each in found.utterances)
    assert counts == dict.fromkeys((*EMOTIONS, "fear", "surprise"), 200)
    assert sum(counts[emotion] for emotion in EMOTIONS) == 800
    assert not found.left_out
    assert not found.unreadable
    by_cast = Counter((each.speaker, each.gender, each.emotion) for each in found.utterances)
    assert set(by_cast.values()) == {50}
    assert {(speaker, gender) for speaker, gender, _ in by_cast} == {
        ("casia:liuchang", "female"),
        ("casia:wangzhe", "male"),
        ("casia:zhaoquanyin", "female"),
        ("casia:zhaozuoxiang", "male"),
    }
    assert {each.text for each in found.utterances} == {str(number) for number in range(201, 251)}


def test_other_spellings_of_the_folders_tell_the_same(tmp_path: Path) -> None:
    usual = scan(published(tmp_path / "usual"), CORPUS)
    folders = ("Anger", "FEAR", "Happiness", "Neutral", "sadness", "suprise")
    other = scan(
        published(tmp_path / "other", ("Chang.Liu", "Wangzhe", "zhao_quanyin", "ZHAO ZUOXIANG"), folders), CORPUS
    )
    one, two = (
        Counter((each.speaker, each.gender, each.emotion, each.text) for each in found.utterances)
        for found in (usual, other)
    )
    assert one == two
    assert one.total() == 1200


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("wangzhe/angry/201.wav", Labels("wangzhe", "male", "angry", "201")),
        ("liuchanhg/Suprise/201.wav", Labels("liuchang", "female", "surprise", "201")),
        ("CASIA database/ZhaoZuoxiang/sad/250.wav", Labels("zhaozuoxiang", "male", "sad", "250")),
    ],
)
def test_folders_tell_speaker_gender_and_emotion_and_the_name_tells_the_sentence(name: str, labels: Labels) -> None:
    assert parse(PurePosixPath(name)) == labels


def test_a_fifth_speaker_is_left_out_by_name() -> None:
    assert parse(PurePosixPath("zhangsan/angry/201.wav")) == LeftOut("speaker 'zhangsan' is not one of CASIA's four")


@pytest.mark.parametrize("name", ["angry/201.wav", "wangzhe/bored/201.wav", "wangzhe/angry/2010.wav", "201.wav"])
def test_other_names_are_not_casias(name: str) -> None:
    assert parse(PurePosixPath(name)) is None
