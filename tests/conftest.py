"""Where the real speech and the real encoder lie; tests that need them skip where they are absent."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.object_server import serving
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.ground import Ground
    from tests.object_server import ObjectServer


settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # a machine may stall in the middle of any example


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


@pytest.fixture(scope="module")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ObjectServer]":
    """A real S3 server on loopback, to which this process's environment leads."""
    with pytest.MonkeyPatch.context() as patch, serving(tmp_path_factory.mktemp("object_server"), patch) as found:
        yield found


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own for `demo_ground`; the demo's recordings lie in `demo/data`, its encoder in `demo/encoder`."""
    return tmp_path_factory.mktemp("demo_store")


@pytest.fixture(scope="session")
def demo_ground(demo_store: Path) -> "Ground":
    """The built-in demo, synthesised and prepared once for all tests; takes about ten seconds."""
    from orchestrator.ground import Places, find

    return find(Places(demo_store, None, None, "demo"), lambda _: None)


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"real files are not here: ../shared/{folder.relative_to(SHARED)}")
    return folder
