"""Trees of thousands of recordings that cost next to nothing: one file of noise a length, linked under every name."""

import os
from pathlib import Path

import numpy as np
import soundfile


class Sounds:
    """Recordings of noise below `root`; of each length, rate and format one is written and the others are links."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: dict[tuple[float, int, int, str], Path] = {}

    def at(self, *names: str, seconds: float = 0.6, rate_hz: int = 8000, channels: int = 1) -> None:
        """Recordings of these names, in the format of their suffix."""
        for name in names:
            path = self.root / name
            key = seconds, rate_hz, channels, path.suffix
            path.parent.mkdir(parents=True, exist_ok=True)
            if key in self._written and self._written[key].exists():
                os.link(self._written[key], path)
            else:
                noise = np.random.default_rng(0).uniform(-0.3, 0.3, (round(seconds * rate_hz), channels))
                soundfile.write(path, noise, rate_hz)
                self._written[key] = path

    def text(self, name: str, *lines: str, encoding: str = "utf-8") -> Path:
        """A text file below `root`."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return path
