"""What a run has spent so far, and whether that is all it may."""

from dataclasses import dataclass

from trainers.errors import require

LONGEST_S = 60.0
"""The driver tells every second or oftener how many slots are busy; a longer silence means that the machine slept, or
was stopped, and counts as no more than this."""


@dataclass
class Budget:
    """GPU-hours (of other units, core-hours) that busy slots have taken. `hours`: what may be spent; None is any.

    `units_per_cell`: GPUs, a share of one, or cores. It counts one run: what earlier runs spent is not in it.
    """

    hours: float | None
    units_per_cell: float = 1.0
    unit: str = "GPU"
    wall_s: float = 0.0
    _slot_s: float = 0.0
    _busy: int = 0
    _at_s: float | None = None

    def __post_init__(self) -> None:
        above_0 = self.hours is None or self.hours > 0
        require(above_0, f"budget_{self.unit.lower()}_hours", self.hours, "above 0")
        require(self.units_per_cell > 0, f"{self.unit.lower()}s_per_cell", self.units_per_cell, "above 0")

    def note(self, busy_slots: int, now_s: float) -> None:
        """From now on so many slots are busy; `now_s` is of a clock that is never set back (`time.monotonic`)."""
        if self._at_s is not None:
            passed_s = min(max(0.0, now_s - self._at_s), LONGEST_S)
            self._slot_s += self._busy * passed_s
            self.wall_s += passed_s
        self._busy, self._at_s = busy_slots, now_s

    @property
    def spent_hours(self) -> float:
        return self._slot_s * self.units_per_cell / 3600

    def reason(self) -> str:
        """Why the run is to end: the budget is spent; "" until then."""
        if self.hours is None or self.spent_hours < self.hours:
            return ""
        return f"the budget of {self.hours:g} {self.unit}-hour{'' if self.hours == 1 else 's'} is spent"
