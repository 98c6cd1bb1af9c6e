"""Prepared audio: the right samples, decoded once, found again, and never half there."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from trainers.corpora import CORPORA, preparing
from trainers.corpora.prepared import Prepared, open_prepared, prepare
from trainers.corpora.scan import scan
from trainers.errors import UserError

NAMES = ("03a01Wa", "03a02Fa", "08a01Na", "08a02Ta")


def tone(seconds: float, rate_hz: int, pitch_hz: float = 440.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with an EMO-DB of four tones of different pitch."""
    folder = tmp_path / "root" / "emodb" / "wav"
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        soundfile.write(folder / f"{name}.wav", tone(1, 16_000, 300 + 100 * number), 16_000)
    return tmp_path / "root"


def emodb(root: Path, name: str = NAMES[0]) -> Path:
    return root / "emodb" / "wav" / f"{name}.wav"


def prepared_folder(store: Path) -> Path:
    (folder,) = (store / "prepared").glob("emodb-????????????????")
    return folder


def counted(root: Path, store: Path) -> tuple[Prepared, list[str]]:
    """Prepare, and what was reported; a corpus that is decoded says "storing"."""
    said: list[str] = []
    return prepare(root, ["emodb"], store, report=said.append), said


def middle(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the resampler's edges."""
    return samples[800:-800]


def test_a_clip_at_16_khz_mono_is_kept_sample_by_sample(root: Path, tmp_path: Path) -> None:
    found = prepare(root, ["emodb"], tmp_path)
    for name in NAMES:
        told, _ = soundfile.read(emodb(root, name), dtype="float32")
        assert np.array_equal(found.samples(f"emodb/wav/{name}.wav"), told)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_at_another_rate_becomes_the_same_tone_at_16_khz(root: Path, tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(emodb(root), tone(2, rate_hz), rate_hz, subtype="FLOAT")
    samples = prepare(root, ["emodb"], tmp_path).samples("emodb/wav/03a01Wa.wav")
    assert len(samples) == 32_000
    assert np.allclose(middle(samples), middle(tone(2, 16_000).astype(np.float32)), atol=1e-3)


def test_stereo_is_the_average_of_its_channels(root: Path, tmp_path: Path) -> None:
    left, right = tone(1, 16_000), tone(1, 16_000, 1000)
    soundfile.write(emodb(root), np.stack([left, right], 1), 16_000, subtype="FLOAT")
    samples = prepare(root, ["emodb"], tmp_path).samples("emodb/wav/03a01Wa.wav")
    assert np.allclose(samples, (left + right) / 2, atol=1e-6)


def test_eight_bits_are_read_to_within_their_step(root: Path, tmp_path: Path) -> None:
    soundfile.write(emodb(root), tone(1, 16_000), 16_000, subtype="PCM_U8")
    samples = prepare(root, ["emodb"], tmp_path).samples("emodb/wav/03a01Wa.wav")
    assert np.abs(samples - tone(1, 16_000)).max() <= 1 / 128


@pytest.mark.parametrize(("seconds", "reason"), [(0.2, "shorter than 0.5 s"), (40, "longer than 12 s")])
def test_a_clip_of_another_length_is_left_out_and_said(root: Path, tmp_path: Path, seconds: float, reason: str) -> None:
    soundfile.write(emodb(root), tone(seconds, 16_000), 16_000)
    found = prepare(root, ["emodb"], tmp_path)
    assert found.left_out == {"emodb/wav/03a01Wa.wav": reason}
    assert len(found.utterances) == 3


def with_nan(path: Path) -> None:
    soundfile.write(path, np.r_[tone(1, 16_000), np.nan], 16_000, subtype="FLOAT")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(b"not a sound" * 100)


@pytest.mark.parametrize("damage", [with_nan, emptied, garbled])
def test_an_unreadable_file_stops_before_training_unless_it_is_allowed(
    root: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(emodb(root))
    for _ in range(2):  # the second time the other clips are prepared already
        with pytest.raises(UserError, match=r"^1 file cannot be read, --max-bad allows 0: emodb/wav/03a01Wa\.wav \("):
            prepare(root, ["emodb"], tmp_path)
    found = prepare(root, ["emodb"], tmp_path, max_bad=1)
    assert [clip.path for clip in found.utterances] == [f"emodb/wav/{name}.wav" for name in NAMES[1:]]
    assert list(found.unreadable) == ["emodb/wav/03a01Wa.wav"]


def test_of_many_unreadable_files_some_are_named_and_all_counted_in_one_line(root: Path, tmp_path: Path) -> None:
    for name in NAMES:
        garbled(emodb(root, name))
    with pytest.raises(UserError) as refused:
        prepare(root, ["emodb"], tmp_path, max_bad=3)
    assert str(refused.value).startswith("4 files cannot be read, --max-bad allows 3: emodb/wav/03a01Wa.wav (")
    assert str(refused.value).endswith("and 1 more")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", [with_nan, garbled])
def test_a_corpus_without_one_usable_clip_is_refused(
    root: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for name in NAMES:
        damage(emodb(root, name))
    with pytest.raises(UserError, match="emodb"):
        prepare(root, ["emodb"], tmp_path, max_bad=99)


def test_nothing_is_decoded_twice(root: Path, tmp_path: Path) -> None:
    first, said = counted(root, tmp_path)
    written = (prepared_folder(tmp_path) / "audio.f32").stat().st_mtime_ns
    second, said_again = counted(root, tmp_path)
    assert any("storing" in line for line in said)
    assert said_again == []
    assert (prepared_folder(tmp_path) / "audio.f32").stat().st_mtime_ns == written
    assert (second.fingerprint, second.fingerprints) == (first.fingerprint, first.fingerprints)


def test_unchanged_sources_are_not_even_read_again(root: Path, tmp_path: Path) -> None:
    """Only their headers are: /proc/self/io counts the bytes of every read, from the cache too."""
    for name in NAMES:
        soundfile.write(emodb(root, name), tone(11, 16_000), 16_000)
    prepare(root, ["emodb"], tmp_path)
    before = _bytes_read()
    prepare(root, ["emodb"], tmp_path)
    assert _bytes_read() - before < emodb(root).stat().st_size


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def test_a_copy_elsewhere_with_other_dates_is_the_same_corpus(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    assert prepare(root, ["emodb"], tmp_path).fingerprint == prepare(tmp_path / "copy", ["emodb"], tmp_path).fingerprint
    assert prepared_folder(tmp_path)


def test_other_content_of_the_same_size_and_date_is_another_corpus(root: Path, tmp_path: Path) -> None:
    before, times = prepare(root, ["emodb"], tmp_path), emodb(root).stat()
    soundfile.write(emodb(root), tone(1, 16_000, 999), 16_000)
    os.utime(emodb(root), ns=(times.st_atime_ns, times.st_mtime_ns))
    after = prepare(root, ["emodb"], tmp_path)
    assert emodb(root).stat().st_size == times.st_size
    assert after.fingerprint != before.fingerprint
    changed = {name for name in after.fingerprints if after.fingerprints[name] != before.fingerprints[name]}
    assert changed == {"emodb/wav/03a01Wa.wav"}


def test_another_name_is_another_corpus(root: Path, tmp_path: Path) -> None:
    before = prepare(root, ["emodb"], tmp_path)
    emodb(root).rename(emodb(root, "03a01Wb"))
    assert prepare(root, ["emodb"], tmp_path).fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"/x": 3}', b"\xff"])
def test_a_damaged_memory_of_hashes_costs_time_only(root: Path, tmp_path: Path, damage: bytes) -> None:
    before = prepare(root, ["emodb"], tmp_path)
    (tmp_path / "prepared" / "emodb.sources.json").write_bytes(damage)
    assert prepare(root, ["emodb"], tmp_path).fingerprint == before.fingerprint


def test_a_slot_reopens_all_it_needs_without_the_data(root: Path, tmp_path: Path) -> None:
    first = prepare(root, ["emodb"], tmp_path)
    clips = [np.array(first.samples(number)) for number in range(4)]
    shutil.rmtree(root)
    for again in (open_prepared(first.paths), pickle.loads(pickle.dumps(first))):
        assert again.utterances == first.utterances
        assert (again.fingerprint, again.fingerprints, again.index) == (
            first.fingerprint,
            first.fingerprints,
            first.index,
        )
        assert all(np.array_equal(again.samples(number), clip) for number, clip in enumerate(clips))


def test_prepared_clips_cross_to_other_processes_as_names_not_as_sound(root: Path, tmp_path: Path) -> None:
    found = prepare(root, ["emodb"], tmp_path)
    found.samples(0)
    assert len(pickle.dumps(found)) < 1000


def test_samples_are_a_read_only_view_of_the_file(root: Path, tmp_path: Path) -> None:
    found = prepare(root, ["emodb"], tmp_path)
    assert np.shares_memory(found.samples(0), found.samples("emodb/wav/03a01Wa.wav"))
    with pytest.raises(ValueError, match="read-only"):
        found.samples(0)[0] = 1


def test_several_corpora_are_numbered_in_the_order_of_their_paths(root: Path, tmp_path: Path) -> None:
    other = root / "ravdess" / "Actor_01" / "03-01-05-01-02-01-01.wav"
    other.parent.mkdir(parents=True)
    soundfile.write(other, tone(1, 16_000, 900), 16_000, subtype="FLOAT")
    found = prepare(root, ["ravdess", "emodb", "ravdess"], tmp_path)
    assert [clip.path for clip in found.utterances] == sorted(found.index)
    assert [found.index[clip.id] for clip in found.utterances] == list(range(5))
    assert np.allclose(found.samples("ravdess/Actor_01/03-01-05-01-02-01-01.wav"), tone(1, 16_000, 900), atol=1e-6)
    assert prepare(root, ["emodb", "ravdess"], tmp_path).fingerprint == found.fingerprint
    assert prepare(root, ["emodb"], tmp_path).fingerprint != found.fingerprint


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("audio.f32", cut),
        ("audio.f32", Path.unlink),
        ("manifest.parquet", flip),
        ("manifest.parquet", cut),
        ("manifest.parquet", Path.unlink),
        ("manifest.sha256", Path.unlink),
    ],
)
def test_damaged_prepared_audio_is_set_aside_said_and_made_anew(
    root: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    whole, _ = counted(root, tmp_path)
    damage(prepared_folder(tmp_path) / name)
    with pytest.raises(UserError, match="prepared audio is damaged"):
        open_prepared(whole.paths)
    again, said = counted(root, tmp_path)
    assert said[0].startswith("warning: prepared audio was damaged")
    assert again.fingerprints == whole.fingerprints
    assert len(list((tmp_path / "prepared").glob("*.damaged-1"))) == 1
    assert counted(root, tmp_path)[1] == []


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_a_flipped_bit_of_prepared_audio_is_heard_by_nobody_and_made_anew(root: Path, tmp_path: Path, bit: int) -> None:
    """One bit of one sample changes no length and makes no NaN."""
    whole, _ = counted(root, tmp_path)
    kept = {clip.id: whole.samples(clip.id).tobytes() for clip in whole.utterances}
    audio = prepared_folder(tmp_path) / "audio.f32"
    data = bytearray(audio.read_bytes())
    data[len(data) // 2] ^= 1 << bit
    audio.write_bytes(data)
    opened = open_prepared(whole.paths)
    refused = []
    for clip in opened.utterances:
        try:
            assert opened.samples(clip.id).tobytes() == kept[clip.id]
        except UserError as error:
            refused.append(str(error))
    (only,) = refused
    assert "is damaged: not as it was written; the next sweep makes it anew" in only
    with pytest.raises(UserError, match="prepared audio is damaged"):
        open_prepared(whole.paths)
    again, said = counted(root, tmp_path)
    assert said[0].startswith("warning: prepared audio was damaged")
    assert {clip.id: again.samples(clip.id).tobytes() for clip in again.utterances} == kept


DIES_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from trainers.corpora.prepared import prepare

def die(line):
    if "storing" in line:
        os.kill(os.getpid(), signal.SIGKILL)

prepare(Path(sys.argv[1]), ["emodb"], Path(sys.argv[2]), report=die)
"""


def test_a_process_killed_before_the_rename_leaves_nothing_half_read(root: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_RENAME, root, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not list((tmp_path / "prepared").glob("emodb-*"))
    assert len(list((tmp_path / "prepared").glob(".scratch.*"))) == 1
    found, said = counted(root, tmp_path)
    assert any("storing" in line for line in said)
    assert len(found.utterances) == 4
    assert not list((tmp_path / "prepared").glob(".scratch.*"))


PREPARES = """
import sys
from pathlib import Path
from trainers.corpora.prepared import prepare

prepare(Path(sys.argv[1]), ["emodb"], Path(sys.argv[2]), report=print)
"""


def test_of_two_processes_at_once_one_decodes_and_both_have_it(root: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-c", PREPARES, str(root), str(tmp_path)]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("storing" in each for each in said) == 1


def test_a_process_that_ends_right_after_opening_prepared_audio_ends_well(root: Path, tmp_path: Path) -> None:
    """pyarrow's reading threads made every second such process abort at its exit."""
    line = [sys.executable, "-c", PREPARES, str(root), str(tmp_path)]
    assert [subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode for _ in range(6)] == [0] * 6


ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from trainers.corpora.prepared import prepare
from trainers.errors import UserError

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    prepare(Path(sys.argv[1]), ["emodb"], Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def test_a_store_that_takes_no_more_bytes_is_said_in_one_line_and_left_clean(root: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: a write fails in the same place, for real."""
    line = [sys.executable, "-c", ON_A_FULL_DISK, str(root), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout == f"cannot write prepared audio to {tmp_path}/prepared: File too large\n"
    assert not list((tmp_path / "prepared").glob("emodb-*"))
    assert not list((tmp_path / "prepared").glob(".scratch.*"))


def test_a_disk_that_is_too_small_is_said_before_anything_is_decoded(root: Path, tmp_path: Path) -> None:
    found = scan(root, CORPORA["emodb"])
    endless = replace(found, utterances=tuple(replace(clip, duration_s=1e12) for clip in found.utterances))
    with pytest.raises(UserError, match=r"GB free; emodb needs 256000000\.00 GB there"):
        preparing.part_of(endless, root, tmp_path / "prepared", lambda _: None)


@pytest.mark.parametrize("place", ["file", "/proc/foldwise"])
def test_a_store_that_cannot_be_written_to_is_named(root: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    store = tmp_path / place
    with pytest.raises(UserError, match=f"cannot write prepared audio to {store}/prepared: "):
        prepare(root, ["emodb"], store)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_store_is_enough_for_what_is_prepared_and_named_for_what_is_not(root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare(root, ["emodb"], store)
    (store / "prepared").chmod(0o555)
    try:
        assert len(prepare(root, ["emodb"], store).utterances) == 4
        flip(emodb(root))
        with pytest.raises(UserError, match="cannot write prepared audio to"):
            prepare(root, ["emodb"], store)
    finally:
        (store / "prepared").chmod(0o755)


def test_a_source_that_changes_while_it_is_read_is_refused(root: Path, tmp_path: Path) -> None:
    before = (1, 1, 1)
    with pytest.raises(UserError, match="changed while it was read"):
        preparing._samples((emodb(root), before))
    assert not (tmp_path / "prepared").exists()


@pytest.mark.slow
def test_the_real_corpora_are_prepared_whole(data_root: Path, tmp_path: Path) -> None:
    found = prepare(data_root, ["ravdess", "urdu", "emodb"], tmp_path)
    assert len(found.utterances) == 672 + 400 + 339
    for number, clip in enumerate(found.utterances):
        samples = found.samples(number)
        assert abs(len(samples) - clip.duration_s * 16_000) <= 1
        assert np.abs(samples).max() > 0
    assert not found.unreadable
