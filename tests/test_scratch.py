"""A run's scratch folder is gone after it, whoever still writes into it for a moment."""

import threading
import time
from pathlib import Path

from orchestrator.scratch import scratch_in


def test_a_folder_into_which_somebody_writes_a_little_longer_is_removed_all_the_same(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        ends_at = time.monotonic() + 0.5
        while time.monotonic() < ends_at:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
            (folder / "trials" / "state.json").write_text("{}")

    with scratch_in(tmp_path / "ray") as scratch:
        late = threading.Thread(target=write, args=(scratch,))
        late.start()
    late.join()
    assert not scratch.exists()
