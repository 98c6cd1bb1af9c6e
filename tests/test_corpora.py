"""Corpora: what file names tell, and what becomes of every file in a folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.tiny_audio import Sounds
from trainers.corpora import CORPORA, corpus_named, emodb, ravdess, urdu
from trainers.corpora.prepared import prepare
from trainers.corpora.scan import Scan, scan
from trainers.corpora.utterance import FURTHER_EMOTIONS, UNLABELLED, Corpus, Labels, LeftOut, Parse
from trainers.errors import UserError

Damage = Callable[[Path], object]
Emodb = tuple[Path, Callable[..., Scan]]

EMODB, URDU, RAVDESS = emodb.CORPUS, urdu.CORPUS, ravdess.CORPUS


def clip(path: Path, *, seconds: float = 1.0, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (round(seconds * rate_hz), channels))
    soundfile.write(path, noise, rate_hz)
    return path


def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "trainers.corpora", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "120"})


@pytest.mark.parametrize(
    ("corpus", "name", "labels"),
    [
        (EMODB, "wav/03a01Wa.wav", Labels("03", "male", "angry", "a01")),
        (EMODB, "16b10Tb.wav", Labels("16", "female", "sad", "b10")),
        (EMODB, "wav/12a07Fa.WAV", Labels("12", "male", "happy", "a07")),
        (URDU, "Angry/SM1_F10_A010.wav", Labels("SM1", "male", "angry")),
        (URDU, "anywhere/SF10_F1_H07.wav", Labels("SF10", "female", "happy")),
        (RAVDESS, "Actor_18/03-01-05-01-02-01-18.wav", Labels("18", "female", "angry", "02")),
        (RAVDESS, "03-01-01-01-01-02-07.wav", Labels("07", "male", "neutral", "01")),
    ],
)
def test_a_name_tells_speaker_gender_emotion_and_text(corpus: Corpus, name: str, labels: Labels) -> None:
    assert corpus.parse(PurePosixPath(name)) == labels


@pytest.mark.parametrize(
    ("corpus", "name", "part_of_reason"),
    [
        (EMODB, "03a01La.wav", "boredom"),
        (EMODB, "99a01Wa.wav", "'99'"),
        (URDU, "Happy/SM1_F10_A010.wav", "different emotions"),
        (RAVDESS, "03-01-02-01-02-01-18.wav", "calm"),
        (RAVDESS, "03-02-05-01-02-01-18.wav", "sung"),
        (RAVDESS, "01-01-05-01-02-01-18.wav", "audio-only"),
    ],
)
def test_a_known_name_of_no_use_is_left_out_with_its_reason(corpus: Corpus, name: str, part_of_reason: str) -> None:
    verdict = corpus.parse(PurePosixPath(name))
    assert isinstance(verdict, LeftOut)
    assert part_of_reason in verdict.reason


BY_NAME = {name: corpus.parse for name, corpus in CORPORA.items() if corpus.parse}


@pytest.mark.parametrize("parse", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize(
    "name", ["", "song.wav", "._03a01Wa.wav", "03a01Wa (1).wav", "03-01-05-01-02-01-25.wav", "٠٣a01Wa"]
)
def test_other_names_are_of_no_corpus(parse: Parse, name: str) -> None:
    assert parse(PurePosixPath(name)) is None


def test_labels_are_told_either_by_names_or_by_label_files() -> None:
    assert all((corpus.parse is None) != (corpus.labels_in is None) for corpus in CORPORA.values())


def test_an_unknown_corpus_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown corpus 'emdb'; there are: .*emodb, .* ravdess_calm, subesco"):
        corpus_named("emdb")


@pytest.mark.parametrize(
    ("name", "emotions", "genders"),
    [
        ("emodb", (127, 71, 79, 62), {"female": 5, "male": 5}),
        ("urdu", (100, 100, 100, 100), {"female": 11, "male": 18}),
        ("ravdess", (192, 192, 96, 192), {"female": 12, "male": 12}),
    ],
)
def test_the_real_corpora_have_the_published_counts(
    data_root: Path, name: str, emotions: tuple[int, ...], genders: dict[str, int]
) -> None:
    found = scan(data_root, CORPORA[name])
    counts = Counter(clip.emotion for clip in found.utterances)
    assert tuple(counts[emotion] for emotion in ("angry", "happy", "neutral", "sad")) == emotions
    assert Counter(gender for gender, _ in {(c.gender, c.speaker) for c in found.utterances}) == genders
    assert not found.unreadable


@pytest.mark.parametrize("name", ["emodb", "urdu", "ravdess"])
def test_every_real_audio_file_is_used_or_left_out_for_a_reason(data_root: Path, name: str) -> None:
    found = scan(data_root, CORPORA[name])
    files = {path.relative_to(data_root).as_posix() for path in (data_root / name).rglob("*.wav")}
    used = {clip.path for clip in found.utterances}
    assert used | set(found.left_out) == files
    assert not used & set(found.left_out)
    assert [clip.path for clip in found.utterances] == sorted(used)


def test_the_real_counts_of_what_is_left_out_are_the_published_ones(data_root: Path) -> None:
    assert len(scan(data_root, EMODB).left_out) == 535 - 339
    calm = scan(data_root, RAVDESS).left_out.values()
    assert Counter(calm) == {"emotion 'calm' is not one of the four classes": 24}


@pytest.fixture
def emodb_of(tmp_path: Path) -> Emodb:
    """Scan an EMO-DB of one good file and whatever `add` put beside it."""
    folder = tmp_path / "emodb" / "wav"
    clip(folder / "03a01Wa.wav")

    def scanned(thorough: bool = True) -> Scan:
        return scan(tmp_path, EMODB, thorough=thorough)

    return folder, scanned


@pytest.mark.parametrize("seconds", [0.5, 12.0])
def test_the_shortest_and_the_longest_allowed_clips_are_kept(emodb_of: Emodb, seconds: float) -> None:
    folder, scanned = emodb_of
    clip(folder / "03a02Wa.wav", seconds=seconds)
    assert [each.duration_s for each in scanned().utterances] == [1.0, seconds]


@pytest.mark.parametrize(("seconds", "reason"), [(0.2, "shorter than 0.5 s"), (40.0, "longer than 12 s")])
def test_clips_of_another_length_are_left_out_with_the_rule(emodb_of: Emodb, seconds: float, reason: str) -> None:
    folder, scanned = emodb_of
    clip(folder / "03a02Wa.wav", seconds=seconds)
    assert scanned().left_out == {"emodb/wav/03a02Wa.wav": reason}


def write_bytes(data: bytes) -> Damage:
    return lambda path: path.write_bytes(data)


def write_float(value: float) -> Damage:
    return lambda path: soundfile.write(path, np.r_[np.zeros(9000), value], 16_000, subtype="FLOAT")


def cut_in_half(path: Path) -> None:
    data = clip(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (write_bytes(b""), "empty"),
        (write_bytes(b"no audio at all" * 99), "not recognised"),
        (lambda path: soundfile.write(path, np.zeros(0), 16_000), "no samples"),
        (write_float(np.nan), "NaN or infinite"),
        (write_float(np.inf), "NaN or infinite"),
        (cut_in_half, "cut short"),
        (lambda path: path.symlink_to("nowhere.wav"), "no regular file"),
        (os.mkfifo, "no regular file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_cause(
    emodb_of: Emodb, damage: Callable[[Path], object], cause: str
) -> None:
    folder, scanned = emodb_of
    damage(folder / "03a02Wa.wav")
    found = scanned()
    assert [each.path for each in found.utterances] == ["emodb/wav/03a01Wa.wav"]
    assert list(found.unreadable) == ["emodb/wav/03a02Wa.wav"]
    assert cause in found.unreadable["emodb/wav/03a02Wa.wav"]


def test_a_stray_file_is_reported_and_what_is_no_audio_is_not(emodb_of: Emodb) -> None:
    folder, scanned = emodb_of
    clip(folder / "holiday.wav")
    (folder / "notes.txt").write_text("03a01Wa is loud")
    assert scanned().left_out == {"emodb/wav/holiday.wav": "its name is not one of this corpus"}


def test_a_corpus_that_is_there_twice_counts_once(emodb_of: Emodb) -> None:
    folder, scanned = emodb_of
    shutil.copytree(folder, folder.parent / "copy")
    assert len(scanned().utterances) == 1
    assert list(scanned().left_out.values()) == ["a copy of another file"]


def test_two_recordings_of_one_name_are_both_kept(emodb_of: Emodb) -> None:
    folder, scanned = emodb_of
    clip(folder.parent / "more" / "03a01Wa.wav", seconds=2)
    assert len(scanned().utterances) == 2


def test_a_link_out_of_the_corpus_is_not_followed_and_said(emodb_of: Emodb, tmp_path: Path) -> None:
    folder, scanned = emodb_of
    (folder / "03a02Wa.wav").symlink_to(clip(tmp_path / "elsewhere" / "secret.wav"))
    (folder.parent / "more").symlink_to(tmp_path / "elsewhere")
    found = scanned()
    assert len(found.utterances) == 1
    assert found.left_out == {
        "emodb/wav/03a02Wa.wav": "a link that leads out of the corpus's folder",
        "emodb/more": "a linked folder is not entered",
    }


def test_a_path_that_is_no_utf8_is_named_without_breaking_the_print(emodb_of: Emodb) -> None:
    folder, scanned = emodb_of
    strange = Path(os.fsdecode(os.fsencode(folder) + b"\xff"))
    strange.mkdir()
    clip(folder / "03a02Wa.wav").rename(strange / "03a02Wa.wav")
    unreadable = scanned().unreadable
    assert unreadable == {"emodb/wav\\xff/03a02Wa.wav": "its path is not UTF-8"}


def test_a_missing_corpus_names_the_folder_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"corpus urdu is not here; its folder is expected at {tmp_path}/urdu"):
        scan(tmp_path, URDU)


@pytest.mark.parametrize("strays", [[], ["a.wav"]])
def test_a_folder_without_any_known_name_is_refused(tmp_path: Path, strays: list[str]) -> None:
    (tmp_path / "urdu").mkdir()
    for name in strays:
        clip(tmp_path / "urdu" / name)
    with pytest.raises(UserError, match=r"no file below .*/urdu has a name of corpus urdu"):
        scan(tmp_path, URDU)


def test_the_command_tells_counts_lengths_formats_and_reasons_as_json(emodb_of: Emodb, tmp_path: Path) -> None:
    folder, _ = emodb_of
    clip(folder / "08a02Na.wav", seconds=3, rate_hz=48_000, channels=2)
    clip(folder / "08a02Aa.wav")
    (told,) = json.loads(command(tmp_path, "--json").stdout)
    assert told["emotions"] == {"angry": 1, "happy": 0, "neutral": 1, "sad": 0}
    assert told["genders"] == {"female": 1, "male": 1}
    assert (told["total_s"], told["min_s"], told["mean_s"], told["max_s"]) == (4, 1, 2, 3)
    assert told["sample_rates_hz"] == {"16000": 1, "48000": 1}
    assert told["channels"] == {"1": 1, "2": 1}
    assert told["left_out"] == {"emotion 'fear' is not one of the four classes": 1}


def test_the_command_names_each_unreadable_file_and_fails_above_max_bad(emodb_of: Emodb, tmp_path: Path) -> None:
    folder, _ = emodb_of
    write_bytes(b"")(folder / "03a02Wa.wav")
    write_float(np.nan)(folder / "03a04Wa.wav")
    strict, lenient = command(tmp_path), command(tmp_path, "--max-bad", "2")
    for name in ("03a02Wa.wav", "03a04Wa.wav"):
        assert f"unreadable: emodb/wav/{name}: " in lenient.stdout
    assert (strict.returncode, lenient.returncode) == (2, 0)
    assert strict.stderr.startswith("error: 2 files cannot be read, --max-bad allows 0: ")


@pytest.mark.parametrize("root", ["missing", "empty"])
def test_a_wrong_root_is_answered_in_one_line(tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()
    done = command(tmp_path / root)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / root) in done.stderr


def test_the_command_tells_further_emotions_unlabelled_clips_splits_and_manifests(tmp_path: Path) -> None:
    sounds = Sounds(tmp_path)
    sounds.at("mine/a.wav", "mine/b.wav", "mine/c.wav", "common_voice/ur/clips/u.mp3", rate_hz=16_000)
    rows = ("a.wav,dutch,an,,fear,train,0", "b.wav,dutch,bo,male,sad,test,1", "c.wav,dutch,bo,male,,test,1")
    sounds.text("mine/manifest.csv", "path,language,speaker,gender,emotion,split,fold", *rows)
    for name, clips in (("train", []), ("dev", ["x\tu.mp3\tSalaam\tfemale_feminine"]), ("test", [])):
        sounds.text(f"common_voice/ur/{name}.tsv", "client_id\tpath\tsentence\tgender", *clips)
    done = command(tmp_path, "--json")
    voices, mine = json.loads(done.stdout)
    assert (done.returncode, voices["corpus"], mine["corpus"]) == (0, "common_voice_ur", "mine")
    none = dict.fromkeys(("angry", "happy", "neutral", "sad"), 0)
    assert voices["emotions"] == none | {"unlabelled": 1}
    assert voices["splits"] == {"train": 0, "valid": 1, "test": 0}
    assert mine["emotions"] == none | {"fear": 1, "sad": 1, "unlabelled": 1}
    assert mine["splits"] == {"train": 1, "valid": 0, "test": 2}
    assert mine["folds"] == {"0": 1, "1": 2}
    assert mine["speakers_by_gender"] == {"female": 0, "male": 1, "unknown": 1}
    table = command(tmp_path).stdout
    assert all(told in table for told in ("1 unlabelled", "1 fear", "1 valid", "2 test", "2 in 1", "1 unknown"))


def test_the_command_refuses_a_bad_manifest_with_all_that_is_wrong(tmp_path: Path) -> None:
    Sounds(tmp_path).text("mine/manifest.csv", "path,language,speaker,gender,emotion", "a.wav,dutch,,x,sad")
    done = command(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: corpus mine has 3 errors:",
        "manifest.csv line 2: path 'a.wav' is no file",
        "manifest.csv line 2: speaker is empty",
        "manifest.csv line 2: gender is 'x'; it must be female, male or empty",
    ]


def test_further_emotions_are_kept_only_where_the_corpus_says_so(tmp_path: Path) -> None:
    clip(tmp_path / "toy" / "fear.wav")
    clip(tmp_path / "toy" / "sad.wav")
    toy = Corpus("toy", "toyish", "toy", lambda path: Labels("1", "male", path.stem), "made up")
    found = scan(tmp_path, toy)
    assert [each.emotion for each in found.utterances] == ["sad"]
    assert found.left_out == {"toy/fear.wav": "emotion 'fear' is not one of the four classes"}
    more = scan(tmp_path, replace(toy, further_emotions=("fear",)))
    assert [each.emotion for each in more.utterances] == ["fear", "sad"]
    assert not more.left_out


def test_every_further_emotion_has_a_known_name() -> None:
    assert {name for corpus in CORPORA.values() for name in corpus.further_emotions} <= {*FURTHER_EMOTIONS, UNLABELLED}


def test_a_corpus_prepared_before_there_were_splits_is_found_and_not_decoded_again(tmp_path: Path) -> None:
    clip(tmp_path / "emodb" / "wav" / "03a01Wa.wav")
    store = tmp_path / "store"
    (home,) = prepare(tmp_path, ["emodb"], store).paths
    (before,) = prepare(tmp_path, ["emodb"], store).utterances
    path = tmp_path / before.path
    facts = [before.path, "emodb", "german", "emodb:03", "male", "angry", 1.0, "a01"]
    told = [[facts, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()]]
    assert home.name == f"emodb-{hashlib.sha256(json.dumps([1, told]).encode()).hexdigest()[:16]}"
    table = (
        pq.ParquetFile(home / "manifest.parquet", pre_buffer=False)
        .read(use_threads=False)
        .drop_columns(["split", "fold"])
    )
    pq.write_table(table, home / "manifest.parquet")
    digest = hashlib.sha256((home / "manifest.parquet").read_bytes()).hexdigest()
    (home / "manifest.sha256").write_text(digest)
    said: list[str] = []
    assert prepare(tmp_path, ["emodb"], store, report=said.append).utterances == (before,)
    assert said == []


@pytest.mark.slow
def test_the_command_on_the_real_corpora_prints_a_column_each(data_root: Path) -> None:
    done = command(data_root)
    assert done.returncode == 0
    for told in ("emodb", "urdu", "ravdess", "127 angry", "29 (11 female, 18 male)", "1 at 48000", "1 with 2"):
        assert told in done.stdout


def test_calm_may_count_as_neutral_in_a_corpus_of_its_own(data_root: Path) -> None:
    """METHODS FLAG 29: 864 clips instead of 672, all 192 more of them neutral."""
    found = scan(data_root, ravdess.WITH_CALM)
    plain = scan(data_root, RAVDESS)
    more = {clip.path: clip.emotion for clip in found.utterances if clip.path not in {c.path for c in plain.utterances}}
    assert Counter(more.values()) == {"neutral": len(found.utterances) - len(plain.utterances)}
    assert all(Path(path).stem.split("-")[2] == "02" for path in more)
