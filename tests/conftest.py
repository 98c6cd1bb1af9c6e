"""Where the real speech and the real encoder lie; tests that need them skip where they are absent."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Every test computes with one thread, as a slot does."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder with `emodb`, `urdu` and `ravdess` (README: where to get them)."""
    return _present(SHARED / "data")


@pytest.fixture(scope="session")
def encoder_dir() -> Path:
    """Folder with Whisper tiny.en's encoder."""
    return _present(SHARED / "models" / "whisper-tiny.en-encoder")


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"real files are not here: ../shared/{folder.relative_to(SHARED)}")
    return folder
