"""The audit: what is shared beside a brute-force count, real and planted leaks in folds, and a sweep of the demo."""

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.asked import write
from orchestrator.audit import main
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from tests.synthetic_sweeps import asked
from tests.test_cell import TARGET, spec, workspace
from tests.test_copies import noise
from trainers import cell
from trainers.leakage import Known, leaks

IDS = [f"c{number}" for number in range(8)]
some = st.sets(st.sampled_from(IDS))


@given(
    heard=some,
    tested=some,
    speakers=st.dictionaries(st.sampled_from(IDS), st.sampled_from("ab")),
    audio=st.dictionaries(st.sampled_from(IDS), st.sampled_from("xyz")),
    pairs=st.sets(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=4),
)
def test_what_is_shared_is_what_a_look_at_every_pair_finds(
    heard: set[str],
    tested: set[str],
    speakers: dict[str, str],
    audio: dict[str, str],
    pairs: set[tuple[str, str]],
) -> None:
    twins: dict[str, set[str]] = {}
    for one, other in pairs:
        twins.setdefault(one, set()).add(other)
        twins.setdefault(other, set()).add(one)
    found = leaks(heard, tested, Known(speakers, audio, twins))
    assert set(found.clips) == heard & tested
    both = [(h, t) for h, t in product(heard, tested) if h in speakers and speakers.get(t) == speakers[h]]
    assert set(found.speakers) == {speakers[h] for h, _ in both}
    apart = [(h, t) for h, t in product(heard, tested) if h not in tested]
    same = {t for h, t in apart if h in audio and audio.get(t) == audio[h]}
    assert {t for _, t in found.audio} == same
    assert all(audio[h] == audio[t] and h in heard for h, t in found.audio)
    near = {t for h, t in apart if (h, t) in pairs or (t, h) in pairs}
    assert {t for _, t in found.copies} == near - same
    assert bool(found) == bool(found.clips or found.speakers or found.audio or found.copies)


# --- anybody's folds


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Six clips: b is a's samples, c overlaps with a, the others have nothing in common."""
    whole = noise(4.0)
    made = {
        "a": whole[:48000],
        "b": whole[:48000],
        "c": whole[16000:],
        "d": noise(2.0, 1),
        "e": noise(2.0, 2),
        "f": noise(2.0, 3),
    }
    for name, samples in made.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
    return tmp_path


def dealt(
    folder: Path, rows: Iterable[Sequence[str]], heading: Sequence[str] = ("fold", "part", "path", "speaker")
) -> Path:
    file = folder / "folds.csv"
    with file.open("w", newline="") as text:
        csv.writer(text).writerows([heading, *rows])
    return file


def test_every_kind_of_leak_in_somebodys_folds_is_told_by_fold(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = {
        "clean": [("train", "d.wav", "S1"), ("valid", "e.wav", "S2"), ("test", "f.wav", "S3")],
        "clip": [("train", "d.wav", "S1"), ("test", "d.wav", "S1")],
        "speaker": [("valid", "d.wav", "S1"), ("test", "a.wav", "S1")],
        "audio": [("train", "a.wav", "S1"), ("test", "b.wav", "S2")],
        "recording": [("train", "a.wav", "S1"), ("test", "c.wav", "S2")],
    }
    rows = [(fold, *line) for fold, lines in folds.items() for line in lines]
    assert main(["--splits", str(dealt(recordings, rows)), "--data", str(recordings)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "✓ fold clean: 1 test part, nothing of what is tested was heard",
        "✗ fold clip: 1 of 1 test part heard something of what is tested",
        "    clips: d.wav",
        "    speakers: S1",
        "✗ fold speaker: 1 of 1 test part heard something of what is tested",
        "    speakers: S1",
        "✗ fold audio: 1 of 1 test part heard something of what is tested",
        "    same audio: a.wav = b.wav",
        "✗ fold recording: 1 of 1 test part heard something of what is tested",
        "    same recording: a.wav ~ c.wav",
    ]
    assert main(["--splits", str(dealt(recordings, rows[:3])), "--data", str(recordings)]) == 0


@pytest.mark.parametrize(
    ("rows", "heading", "said"),
    [
        ([("0", "tset", "a.wav", "")], None, "unknown part in line 2 of"),
        ([("0", "test", "../a.wav", "")], None, "it must lie below --data"),
        ([("0", "test", "no.wav", "")], None, "no.wav cannot be read"),
        ([], None, "has no line below its heading"),
        ([("0", "test")], ("fold", "part"), "lacks the column 'path'; it must have fold, part, path"),
    ],
)
def test_folds_that_cannot_be_read_are_told_in_one_line(
    recordings: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[Sequence[str]],
    heading: Sequence[str] | None,
    said: str,
) -> None:
    file = dealt(recordings, rows, heading) if heading else dealt(recordings, rows)
    assert main(["--splits", str(file), "--data", str(recordings)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.slow
def test_urdus_published_clips_dealt_by_class_leak_and_the_audit_names_the_clips(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["Happy/SF1_F4_H04.wav", "Happy/SF4_F3_H019.wav", "Sad/SM24_F2_S014.wav"]
    rows = [("0", part, name) for part, name in zip(("train", "test", "train"), names, strict=True)]
    file = dealt(tmp_path, rows, ("fold", "part", "path"))
    assert main(["--splits", str(file), "--data", str(data_root / "urdu")]) == 1
    told = capsys.readouterr().out
    assert "same recording: Happy/SF1_F4_H04.wav ~ Happy/SF4_F3_H019.wav" in told
    assert "speakers were not compared" in told


# --- a sweep that was run


@pytest.mark.slow
def test_a_sweep_is_clean_until_a_result_says_that_it_was_tested_on_what_it_heard(
    demo_ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(demo_ground.prepared.paths[0].parent, tmp_path / "prepared")
    one = spec(demo_ground)
    result = cell.run(one, workspace(demo_ground, tmp_path))
    ledger = Ledger(tmp_path)
    ledger.write(result)
    write(tmp_path, replace(asked({"byol": [result]}), shared_speakers=()))
    assert main(["byol_tau", "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "✓ demo-arda: 1 cell, nothing of what is tested was heard",
        "✓ demo-home: 1 cell, nothing of what is tested was heard",
    ]
    split = workspace(demo_ground, tmp_path).split(one)
    trained_on = split.unlabelled[TARGET][0]
    ledger.set_aside([one.key()])
    ledger.write(replace(result, predictions=[*result.predictions, {**result.predictions[0], "id": trained_on}]))
    assert main(["byol_tau", "--store", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert f"clips: {trained_on}" in told
    assert "speakers: " in told
    shutil.rmtree(tmp_path / "prepared")
    assert main(["byol_tau", "--store", str(tmp_path)]) == 1
    assert "1 of 1 cells cannot be checked" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["byol_tau", "--splits", "x.csv"], ["nothing"], ["--splits", "x.csv"]])
def test_bad_words_are_answered_in_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--store", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# --- verdicts that were wrong


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([("0", "train", "d.wav", "S1")], 1, "✗ fold 0: nothing is tested"),
        ([("0", "test", "d.wav", "S1")], 1, "✗ fold 0: nothing is trained on"),
        ([("0", "train", "./d.wav", "S1"), ("0", "test", "d.wav", "S1")], 1, "clips: d.wav"),
        (
            [("0", "train", "d.wav", "S1"), ("0", "test", "e.wav", "S1"), ("1", "train", "e.wav", "S2")],
            2,
            "tells two speakers of 'e.wav': 'S1', 'S2'",
        ),
        (
            [("0", "train", "d.wav", "S1"), ("0", "test", "e.wav", "")],
            0,
            "· 1 clips have no speaker and were compared by their sound alone, e.wav first",
        ),
    ],
)
def test_what_was_not_compared_is_not_called_clean(
    recordings: Path, capsys: pytest.CaptureFixture[str], rows: list[Sequence[str]], code: int, said: str
) -> None:
    assert main(["--splits", str(dealt(recordings, rows)), "--data", str(recordings)]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err


@pytest.mark.slow
def test_a_result_that_names_no_test_is_not_checked_and_a_damaged_older_preparation_hinders_nothing(
    demo_ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "prepared"
    shutil.copytree(demo_ground.prepared.paths[0].parent, home)
    older = home / "demo_home-0123456789abcdef"  # sorts as the newest
    shutil.copytree(next(home.glob("demo_home-*")), older)
    (older / "manifest.sha256").write_text("torn")
    result = cell.run(spec(demo_ground), workspace(demo_ground, tmp_path))
    ledger = Ledger(tmp_path)
    ledger.write(result)
    write(tmp_path, replace(asked({"byol": [result]}), shared_speakers=()))
    assert main(["byol_tau", "--store", str(tmp_path)]) == 0
    ledger.set_aside([result.spec.key()])
    ledger.write(replace(result, predictions=[]))
    assert main(["byol_tau", "--store", str(tmp_path)]) == 1
    assert "✗ 1 of 1 cells cannot be checked: their results do not name" in capsys.readouterr().out
