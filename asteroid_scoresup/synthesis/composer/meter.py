"""Meters, and the metrical weight of each position in a bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meter:
    """A meter with `beats` quarter notes per bar and pulses of `pulse` quarter notes."""

    name: str
    beats: float
    pulse: float
    upper: int
    lower: int

    def weight(self, position: float) -> float:
        """Metrical weight, 0 to 1, of a position in the bar, in quarter notes."""
        if abs(position) < 1e-6:
            return 1.0
        if abs(position % self.pulse) < 1e-6:
            middle = abs(position - self.beats / 2) < 1e-6
            return 0.8 if middle else 0.6
        return 0.35 if abs(position % 0.5) < 1e-6 else 0.15


METERS = (
    Meter("4/4", 4.0, 1.0, 4, 4),
    Meter("3/4", 3.0, 1.0, 3, 4),
    Meter("6/8", 3.0, 1.5, 6, 8),
    Meter("12/8", 6.0, 1.5, 12, 8),
    Meter("5/4", 5.0, 1.0, 5, 4),
)
METER_WEIGHTS = (0.62, 0.14, 0.13, 0.06, 0.05)
