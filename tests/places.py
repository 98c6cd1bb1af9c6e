"""Where real speech and a real encoder lie, for those who have them."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
