"""Copies of recordings: bits beside a plain loop, real corpora beside their waveforms, codecs, and what splits do."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import correlate, resample_poly

from tests.unheard import Unheard, clips
from trainers.corpora.copies import (
    BANDS,
    FRAME,
    HIGHEST_HZ,
    HOP,
    LOWEST_HZ,
    RATE_HZ,
    Copy,
    copies_among,
    fingerprint,
    known_copies,
    twins,
)
from trainers.corpora.prepared import Prepared, prepare
from trainers.methods.configs import BaselineConfig, ByolConfig, ClConfig, SupConConfig
from trainers.protocols import protocol_named
from trainers.split import Split, without_copies
from trainers.splits import Splits

Samples = NDArray[np.float32]


def noise(seconds: float, seed: int = 0) -> Samples:
    """Noise whose colour changes some times a second, as that of speech does."""
    random = np.random.default_rng(seed)
    pieces = [
        np.convolve(random.normal(size=1600), random.normal(size=16) * np.hanning(16), mode="same")
        for _ in range(round(10 * seconds))
    ]
    return (0.1 * np.concatenate(pieces)).astype(np.float32)


def errors_of(one: Samples, other: Samples) -> float:
    """Of the copies that two clips are; 1 where they are none."""
    found = copies_among(["one", "other"], [fingerprint(one), fingerprint(other)])
    return found[0].errors if found else 1.0


# --- the bits


def test_bits_say_where_the_difference_of_neighbouring_bands_grew() -> None:
    """A loop over frames and bands with numpy's transform in double precision."""
    samples = noise(1.0)
    halved = resample_poly(samples.astype(np.float64), 1, 2)
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    energies = []
    for start in range(0, len(halved) - FRAME + 1, HOP):
        power = np.abs(np.fft.rfft(halved[start : start + FRAME] * np.hanning(FRAME))) ** 2
        hertz = np.arange(len(power)) * RATE_HZ / FRAME
        energies.append([power[(low <= hertz) & (hertz < high)].sum() for low, high in pairwise(edges)])
    wanted = []
    for before, now in pairwise(energies):
        grew = [now[m] - now[m + 1] > before[m] - before[m + 1] for m in range(BANDS - 1)]
        wanted.append(int("".join("01"[int(bit)] for bit in grew), 2))
    found = fingerprint(samples).bits.tolist()
    assert len(found) == len(wanted)
    differing = sum((one ^ other).bit_count() for one, other in zip(found, wanted, strict=True))
    assert differing <= 0.001 * 32 * len(wanted), "single precision may turn a bit of equal energies"


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(100), np.zeros(16000), np.full(16000, 0.5), np.sin(np.arange(32000) / 8)]
)
def test_what_holds_no_sound_or_one_tone_alone_is_no_copy_of_anything(samples: NDArray[np.float64]) -> None:
    plain = samples.astype(np.float32)
    assert errors_of(plain, plain.copy()) == 1.0 or samples.any()
    assert errors_of(plain, noise(2.0)) == 1.0


def test_where_one_clip_begins_later_than_the_other_the_overlap_is_told() -> None:
    whole = noise(4.0)
    (copy,) = copies_among(["a", "b"], [fingerprint(whole[: 16000 * 3]), fingerprint(whole[16000:])])
    assert copy.overlap_s == pytest.approx(2.0, abs=0.05)
    assert copy.errors < 0.1


def test_an_overlap_of_less_than_a_second_is_not_told() -> None:
    whole = noise(4.0)
    assert errors_of(whole[: 16000 * 2], whole[round(16000 * 1.3) :]) == 1.0


@given(order=st.permutations(range(4)))
def test_the_order_of_clips_changes_nothing_but_the_order_of_a_pair(order: list[int]) -> None:
    whole = noise(3.0)
    made = {"a": whole[:32000], "b": whole[8000:], "c": noise(2.0, 7), "d": 0.1 * whole[:30000]}
    names = [list(made)[place] for place in order]
    found = copies_among(names, [fingerprint(made[name].astype(np.float32)) for name in names])
    assert {frozenset((copy.one, copy.other)) for copy in found} == {frozenset(pair) for pair in combinations("abd", 2)}


# --- real speech


def recoded(samples: Samples, kind: str, encoding: str, rate: int = 16000, **how: float) -> Samples:
    file = io.BytesIO()
    soundfile.write(
        file, np.clip(resample_poly(samples, rate, 16000), -1, 1), rate, format=kind, subtype=encoding, **how
    )
    file.seek(0)
    again, _ = soundfile.read(file, dtype="float32")
    return np.asarray(resample_poly(again, 16000, rate), dtype=np.float32)


CHANGES: dict[str, Callable[[Samples], Samples]] = {
    "MP3": lambda clip: recoded(clip, "MP3", "MPEG_LAYER_III"),
    "MP3 of the lowest rate": lambda clip: recoded(clip, "MP3", "MPEG_LAYER_III", compression_level=0.99),
    "Vorbis": lambda clip: recoded(clip, "OGG", "VORBIS"),
    "telephone": lambda clip: recoded(clip, "WAV", "ULAW", 8000),
    "softer, and cut elsewhere": lambda clip: 0.2 * clip[4877:],
    "its second half": lambda clip: clip[len(clip) // 2 :],
}


@pytest.fixture(scope="module")
def urdu(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(data_root, ["urdu"], tmp_path_factory.mktemp("copies"))


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_copy_went_through_does_not_hide_it(urdu: Prepared, change: str) -> None:
    found = [
        errors_of(urdu.samples(number), CHANGES[change](np.array(urdu.samples(number)))) for number in range(0, 400, 40)
    ]
    assert sum(errors < 1 for errors in found) >= 9, found


@pytest.mark.slow
def test_urdus_clips_that_overlap_are_found_and_their_waveforms_are_the_same(urdu: Prepared) -> None:
    """Two of the pairs are of speakers with different names."""
    names = {frozenset((copy.one, copy.other)) for copy in urdu.copies}
    assert frozenset(("urdu/Happy/SF1_F4_H04.wav", "urdu/Happy/SF4_F3_H019.wav")) in names
    assert 5 <= len(names) <= 20
    for copy in urdu.copies:
        assert alike(urdu.samples(copy.one), urdu.samples(copy.other)) > 0.9, copy
    others = [
        ("urdu/Happy/SF1_F4_H04.wav", "urdu/Happy/SF1_F1_H01.wav"),
        ("urdu/Sad/SM24_F2_S014.wav", "urdu/Sad/SM24_F4_S016.wav"),
    ]
    assert all(alike(urdu.samples(one), urdu.samples(other)) < 0.7 for one, other in others)


def alike(one: Samples, other: Samples) -> float:
    """The highest correlation of half a second of one clip with any half second of the other."""
    best = 0.0
    for start in range(0, len(one) - 8000, 2000):
        piece = one[start : start + 8000].astype(np.float64)
        if piece.std() < 0.3 * one.std():
            continue
        length = np.sqrt(np.convolve(other.astype(np.float64) ** 2, np.ones(8000), mode="valid"))
        best = max(
            best, float(np.max(np.abs(correlate(other, piece, mode="valid")) / (length * np.linalg.norm(piece) + 1e-9)))
        )
    return best


# --- kept beside the prepared audio


def test_copies_are_looked_for_once_and_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    whole, heard = noise(3.0), []

    def samples(number: int) -> Samples:
        heard.append(number)
        return whole[8000 * number :]

    first = known_copies(tmp_path, "f" * 64, ["a", "b"], samples)
    assert [(copy.one, copy.other) for copy in first] == [("a", "b")]
    assert known_copies(tmp_path, "f" * 64, ["a", "b"], samples) == first
    assert heard == [0, 1]
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-9])
    assert known_copies(tmp_path, "f" * 64, ["a", "b"], samples) == first
    assert heard == [0, 1, 0, 1]
    assert known_copies(tmp_path / "nowhere", "f" * 64, ["a", "b"], samples) == first


# --- splits

IDS = [f"c{number}" for number in range(30)]


@st.composite
def splits_with_copies(draw: st.DrawFn) -> tuple[Split, list[Copy]]:
    role = {
        name: draw(st.sampled_from(["labelled", "unlabelled", "stage", "valid", "test", "whole", ""])) for name in IDS
    }
    part = {which: tuple(name for name in IDS if role[name] == which) for which in role.values()}
    get: Callable[[str], tuple[str, ...]] = lambda which: part.get(which, ())  # noqa: E731
    split = Split(
        get("labelled"),
        {"x": get("unlabelled")},
        {"hrl": get("valid")},
        {"x": get("test")},
        {"x": get("whole")},
        {"x": get("stage")},
    )
    pairs = draw(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=20))
    return split, [Copy(one, other, 1.0, 0.0) for one, other in pairs if one != other]


@given(drawn=splits_with_copies())
def test_nothing_that_is_heard_holds_a_copy_of_what_is_tested_and_nothing_else_is_left_out(
    drawn: tuple[Split, list[Copy]],
) -> None:
    split, copies = drawn
    left = without_copies(split, twins(copies))
    tested = {*split.test["x"], *split.whole["x"]}
    pairs = {frozenset((copy.one, copy.other)) for copy in copies}

    def stays(name: str) -> bool:
        return not any(frozenset((name, other)) in pairs for other in tested)

    before = heard(split)
    assert heard(left) == [[name for name in part if stays(name)] for part in before]
    assert (left.test, left.whole) == (split.test, split.whole)
    assert list(left.copies) == sorted({name for part in before for name in part if not stays(name)})


def heard(split: Split) -> list[list[str]]:
    return [list(part) for part in (split.labelled, split.unlabelled["x"], split.stage["x"], split.valid["hrl"])]


@pytest.mark.parametrize(
    "config",
    [BaselineConfig(), ByolConfig(), ClConfig(), ClConfig(adapt_on="target"), SupConConfig()],
    ids=lambda config: type(config).__name__,
)
def test_no_cell_hears_a_copy_of_its_test_whatever_the_method(config: BaselineConfig | ByolConfig) -> None:
    corpora = ["demo_home", "demo_arda", "demo_bela", "demo_cyra"]
    plain = Unheard(clips(corpora))
    of = {name: [clip.id for clip in plain.utterances if clip.corpus == name] for name in corpora}
    copies = [
        Copy(one, other, 1.0, 0.0) for name in corpora for one, other in zip(of[name], of[name][7:], strict=False)
    ]
    copied = replace(plain, copies=tuple(copies))
    target = "demo-arda" if isinstance(config, ByolConfig) or getattr(config, "adapt_on", "") == "target" else None
    fewer = 0
    for fold in range(5):
        split = Splits(protocol_named("demo"), copied.prepared).of(target, fold, config)
        tested = {name for ids in (*split.test.values(), *split.whole.values()) for name in ids}
        used = {
            *split.labelled,
            *(name for part in (split.unlabelled, split.stage, split.valid) for ids in part.values() for name in ids),
        }
        assert not [
            copy for copy in copies if len({copy.one, copy.other} & tested) == len({copy.one, copy.other} & used) == 1
        ]
        assert used
        fewer += len(split.copies)
    assert fewer > 0


def names_of(copies: Sequence[Copy]) -> set[str]:
    return {name for copy in copies for name in (copy.one, copy.other)}


@pytest.mark.slow
def test_the_demos_voices_hold_no_copies(demo_ground: object) -> None:
    assert not names_of(demo_ground.prepared.copies)
