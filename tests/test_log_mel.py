"""Our log-mel against transformers' WhisperFeatureExtractor."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from trainers.audio.log_mel import log_mel, mel_filters

SECOND = 16_000
TOLERANCE = 1e-4


def reference(clips: list[NDArray[np.float32]], seconds: int) -> torch.Tensor:
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=seconds)
    features = extractor(clips, sampling_rate=SECOND, return_tensors="pt").input_features
    assert features.shape == (len(clips), 80, 100 * seconds)
    return features


def noise(n: int, level: float, seed: int = 0) -> NDArray[np.float32]:
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone(hz: float, n: int, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hz * np.arange(n) / SECOND)).astype(np.float32)


N = 3 * SECOND
CLIPS = {
    "noise": noise(N, 0.1),
    "faint noise": noise(N, 1e-5),
    "loud noise": noise(N, 30.0),
    "tone": tone(440, N),
    "tone between bins": tone(1234.5, N),
    "silence": np.zeros(N, np.float32),
    "click": np.eye(1, N, 20_000, dtype=np.float32)[0],
    "half silence": np.concatenate([noise(N // 2, 0.1), np.zeros(N // 2, np.float32)]),
}


@pytest.mark.parametrize("name", CLIPS)
def test_equal_to_whispers_own(name: str) -> None:
    clip = CLIPS[name]
    torch.testing.assert_close(
        log_mel(torch.from_numpy(clip)[None], n_samples=N), reference([clip], 3), atol=TOLERANCE, rtol=0
    )


@pytest.mark.parametrize("n", [1, 399, 20_000, N - 1, N, N + 1, 70_000])
def test_short_clips_are_padded_and_long_ones_cut_as_whispers_own(n: int) -> None:
    clip = noise(n, 0.1)
    ours = log_mel(torch.from_numpy(clip)[None], n_samples=N)
    torch.testing.assert_close(ours, reference([clip], 3), atol=TOLERANCE, rtol=0)


def test_a_batch_is_its_clips_one_by_one() -> None:
    """Above all the clamp at 80 dB below the maximum, which is each clip's own."""
    clips = torch.from_numpy(np.stack([*CLIPS.values()] * 5))
    batch = log_mel(clips, n_samples=N)
    one_by_one = torch.cat([log_mel(clip[None], n_samples=N) for clip in clips])
    torch.testing.assert_close(batch, one_by_one, atol=1e-6, rtol=0)
    torch.testing.assert_close(batch[:8], reference(list(CLIPS.values()), 3), atol=TOLERANCE, rtol=0)


def test_four_seconds_as_whispers_own() -> None:
    clip = noise(4 * SECOND, 0.1)
    ours = log_mel(torch.from_numpy(clip)[None], n_samples=4 * SECOND)
    torch.testing.assert_close(ours, reference([clip], 4), atol=TOLERANCE, rtol=0)


def test_real_speech_as_whispers_own(data_root: Path) -> None:
    folders = [data_root / corpus for corpus in ("emodb", "urdu", "ravdess")]
    files = [file for folder in folders for file in sorted(folder.rglob("*.wav"))[::97][:4]]
    clips = [soundfile.read(file, dtype="float32", always_2d=True)[0][:, 0].copy() for file in files]
    padded = [np.pad(clip[:N], (0, max(0, N - len(clip)))) for clip in clips]
    ours = log_mel(torch.from_numpy(np.stack(padded)), n_samples=N)
    torch.testing.assert_close(ours, reference(clips, 3), atol=TOLERANCE, rtol=0)


def test_filters_are_slaneys() -> None:
    theirs = mel_filter_bank(201, 80, 0.0, 8000.0, SECOND, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters().T.numpy(), theirs, atol=1e-12)


def test_autocast_and_float64_input_change_nothing() -> None:
    clip = torch.from_numpy(noise(N, 0.1))[None]
    plain = log_mel(clip, n_samples=N)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_mel(clip, n_samples=N), plain)
    assert torch.equal(log_mel(clip.double(), n_samples=N), plain)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_cuda_hears_what_the_cpu_hears() -> None:
    clips = torch.from_numpy(np.stack(list(CLIPS.values())))
    on_gpu = log_mel(clips.cuda(), n_samples=N).cpu()
    torch.testing.assert_close(on_gpu, log_mel(clips, n_samples=N), atol=TOLERANCE, rtol=0)
