"""Limits of what a MusicXML file may ask for: a small file could take hours, or all memory.

Each is far beyond what programs write.
"""

from __future__ import annotations

import math
from fractions import Fraction

#: Most measures of all parts together; an opera with 50 parts has about 500,000.
MAX_CELLS = 2_000_000
#: Most bits of the common denominator of all durations; programs need about 20.
MOST_BITS = 512


def require_few_parts(n_parts: int, n_measures: int) -> None:
    """Refuses more parts and measures than a score has: all parts have all measures.

    Args:
        n_parts (int): Number of parts.
        n_measures (int): Number of measures, as written or as played.

    Raises:
        ValueError: if there are too many.
    """
    if n_parts * n_measures > MAX_CELLS:
        raise ValueError(
            f"it has {n_parts} parts of {n_measures} measures, expected at most {MAX_CELLS} "
            "measures in all parts together"
        )


class Denominators:
    """The common denominator of the durations of a score.

    Without one, sums of durations are fractions that become longer with every term.
    """

    def __init__(self) -> None:
        self._common = 1

    def add(self, duration: Fraction) -> None:
        """Takes a duration into account.

        Args:
            duration (Fraction): In quarter notes.

        Raises:
            ValueError: if the common denominator becomes too large.
        """
        if self._common % duration.denominator:
            self._common = math.lcm(self._common, duration.denominator)
            if self._common.bit_length() > MOST_BITS:
                raise ValueError("its durations are not multiples of a common unit")
