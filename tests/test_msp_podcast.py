"""MSP-Podcast: both spellings of the label file and of the splits, and every letter of its emotions."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tiny_audio import Sounds
from trainers.corpora.msp_podcast import CORPUS, labels_in
from trainers.corpora.prepared import prepare
from trainers.corpora.scan import Scan, scan
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
STEREO = "MSP-PODCAST_1023_0235.wav"


def row(number: int, emotion: str = "N", speaker: str = "30", gender: str = "Male", split: str = "Train") -> str:
    return f"MSP-PODCAST_0001_{number:04d}.wav,{emotion},2.2,4.0,2.6,{speaker},{gender},{split}"


def corpus(root: Path, *rows: str, labels: str = "labels_consensus.csv", audio: str = "Audios") -> Path:
    """Label file and a recording for each row; the corpus's folder."""
    sounds = Sounds(root / "msp_podcast")
    for name in {line.split(",")[0] for line in rows}:
        sounds.at(f"{audio}/{name}")
    return sounds.text(f"Labels/{labels}", HEADER, *rows).parents[1]


def found(root: Path) -> Scan:
    return scan(root, CORPUS)


@pytest.mark.parametrize("labels", ["labels_consensus.csv", "labels_concensus.csv"])
@pytest.mark.parametrize("valid", ["Development", "Validation"])
@pytest.mark.parametrize("audio", ["Audios", "Audio", "Audios/Audio"])
def test_every_published_spelling_gives_the_official_split(tmp_path: Path, labels: str, valid: str, audio: str) -> None:
    sets = ("Train", valid, "Test1", "Test2", "Test3")
    corpus(tmp_path, *(row(n, split=each) for n, each in enumerate(sets)), labels=labels, audio=audio)
    assert [clip.split for clip in found(tmp_path).utterances] == ["train", "valid", "test", "test", "test"]
    assert found(tmp_path).utterances[0].path == f"msp_podcast/{audio}/MSP-PODCAST_0001_0000.wav"


def test_four_of_the_ten_letters_are_classes_and_the_others_are_left_out_by_name(tmp_path: Path) -> None:
    corpus(tmp_path, *(row(n, letter) for n, letter in enumerate("AHNSUFDCOX")), row(10, ""))
    assert [clip.emotion for clip in found(tmp_path).utterances] == list(EMOTIONS)
    reasons = Counter(found(tmp_path).left_out.values())
    named = ("surprise", "fear", "disgust", "contempt", "other", "no-agreement")
    expected = {f"emotion {name!r} is not one of the four classes": 1 for name in named}
    assert reasons == expected | {"it has no emotion label": 1}


def test_speakers_and_genders_are_those_of_the_table_and_unknown_ones_are_never_joined(tmp_path: Path) -> None:
    corpus(
        tmp_path,
        row(1, speaker="30"),
        row(2, speaker="30"),
        row(3, speaker="39", gender="Female"),
        row(4, speaker="Unknown", gender="Unknown"),
        row(5, speaker="Unknown", gender="Unknown"),
    )
    assert [(clip.speaker.removeprefix("msp_podcast:"), clip.gender) for clip in found(tmp_path).utterances] == [
        ("30", "male"),
        ("30", "male"),
        ("39", "female"),
        ("unknown-MSP-PODCAST_0001_0004", ""),
        ("unknown-MSP-PODCAST_0001_0005", ""),
    ]


def test_the_one_stereo_clip_at_44100_hz_is_heard_as_the_mean_of_its_channels(tmp_path: Path) -> None:
    folder = corpus(tmp_path, row(1), row(2).replace("MSP-PODCAST_0001_0002.wav", STEREO))
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    soundfile.write(folder / "Audios" / STEREO, np.stack([tone, 0 * tone], 1), 44_100)
    prepared = prepare(tmp_path, ["msp_podcast"], tmp_path / "store")
    samples = prepared.samples(f"msp_podcast/Audios/{STEREO}")
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(samples) == 16_000
    assert np.allclose(samples[800:-800], expected[800:-800], atol=1e-3)


def test_the_split_outlives_preparation(tmp_path: Path) -> None:
    corpus(tmp_path, row(1), row(2, split="Test1"))
    for _ in ("decoded", "found again"):
        prepared = prepare(tmp_path, ["msp_podcast"], tmp_path / "store")
        assert [(clip.split, clip.fold) for clip in prepared.utterances] == [("train", None), ("test", None)]
    moved = row(2, split="Train")
    corpus_file = tmp_path / "msp_podcast" / "Labels" / "labels_consensus.csv"
    corpus_file.write_text("\n".join([HEADER, row(1), moved]))
    assert prepare(tmp_path, ["msp_podcast"], tmp_path / "store").fingerprint != prepared.fingerprint


def test_a_row_without_its_recording_and_a_recording_without_a_row_are_both_said(tmp_path: Path) -> None:
    folder = corpus(tmp_path, row(1), row(2), row(3, "U"))
    for number in (2, 3):
        (folder / "Audios" / f"MSP-PODCAST_0001_000{number}.wav").rename(folder / "Audios" / f"extra_{number}.wav")
    told = found(tmp_path)
    assert told.unreadable == {
        "msp_podcast/Audios/MSP-PODCAST_0001_0002.wav": "the label files list it, but it is not there"
    }
    assert Counter(told.left_out.values()) == {"no label file lists it": 2}


def test_all_bad_rows_are_said_at_once(tmp_path: Path) -> None:
    corpus(
        tmp_path,
        row(1),
        row(2, "Z"),
        row(3, split="Dev"),
        row(4, gender="Man"),
        "MSP-PODCAST_0001_0005.wav,N,1,2",
        row(1, "S"),
        row(1),
    )
    with pytest.raises(UserError) as refused:
        found(tmp_path)
    assert str(refused.value).splitlines() == [
        "corpus msp_podcast has 5 errors:",
        "labels_consensus.csv line 3: unknown EmoClass 'Z'; there are: A, C, D, F, H, N, O, S, U, X",
        "labels_consensus.csv line 4: unknown Split_Set 'Dev'; "
        "there are: Development, Test1, Test2, Test3, Train, Validation",
        "labels_consensus.csv line 5: unknown Gender 'Man'; there are: Female, Male, Unknown",
        "labels_consensus.csv line 6: it has 4 fields, the header 8",
        "labels_consensus.csv line 7: MSP-PODCAST_0001_0001.wav has other labels than in a row above",
    ]


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("FileName,EmoClass,SpkrID,Gender", "lacks column Split_Set; it must have FileName, EmoClass, SpkrID, "),
        ("FileName,EmoClass,SpkrID,Gender,Split_Set,Gender", "has column Gender twice"),
        ("", "lacks column FileName, EmoClass, SpkrID, Gender, Split_Set; "),
    ],
)
def test_a_label_file_without_its_columns_is_refused_in_one_line(tmp_path: Path, header: str, cause: str) -> None:
    folder = corpus(tmp_path, row(1))
    (folder / "Labels" / "labels_consensus.csv").write_text(header)
    with pytest.raises(UserError, match=r"labels_consensus.csv " + cause) as refused:
        found(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_label_file_in_another_encoding_names_the_rows(tmp_path: Path) -> None:
    folder = corpus(tmp_path, row(1))
    file = folder / "Labels" / "labels_consensus.csv"
    file.write_bytes("\n".join([HEADER, row(1), row(2, speaker="Zoë")]).encode("latin-1"))
    with pytest.raises(UserError, match=r"has 1 error:\nlabels_consensus.csv line 3: it is not UTF-8$"):
        labels_in(folder)


@pytest.mark.parametrize(
    ("absent", "cause"),
    [
        ("Labels", "no label file labels_consensus.csv or labels_concensus.csv in "),
        ("Audios", "no folder Audios/Audio or Audios or Audio in "),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, absent: str, cause: str) -> None:
    folder = corpus(tmp_path, row(1))
    (folder / absent).rename(folder / "elsewhere")
    with pytest.raises(UserError, match=f"^corpus msp_podcast has {cause}"):
        found(tmp_path)
