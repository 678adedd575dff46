r"""Clocks: the tempo of a score relative to its recording, as a smooth function of score time.

The path from recording to score is searched with a penalty for every deviation from even tempo. On
the clock of :class:`ScoreClock`, the score runs about as fast as the recording everywhere, so that
the penalty can be strict without forbidding that the tempo changes in the course of a piece. All
choices are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .jumps import find_sections

_GRID = 1.0  # seconds between the knots of a tempo curve
_MOST = 1.8  # largest factor by which the tempo is corrected at once


@dataclass(frozen=True)
class ScoreClock:
    r"""A piecewise linear map from score time to a clock at the speed of the recording.

    Args:
        score (array): Increasing times in the score, in seconds, shape :math:`(n,)`, at least two.
        clock (array): The same times on the clock, likewise.

    Examples
        >>> clock = ScoreClock.even(1.5, 10.0)
        >>> clock.of(np.array([0.0, 4.0])), clock.score_at(np.array([6.0, 18.0]))
        (array([0., 6.]), array([ 4., 12.]))
    """

    score: np.ndarray
    clock: np.ndarray

    @classmethod
    def even(cls, stretch: float, seconds: float) -> ScoreClock:
        """The clock on which each second of a score of a certain length lasts `stretch` seconds."""
        seconds = max(seconds, 1e-3)
        return cls(np.array([0.0, seconds]), np.array([0.0, stretch * seconds]))

    def of(self, score_seconds: np.ndarray) -> np.ndarray:
        """Times on the clock, extrapolated with the first and the last tempo."""
        return _linear(score_seconds, self.score, self.clock)

    def score_at(self, clock_seconds: np.ndarray) -> np.ndarray:
        """Times in the score, extrapolated likewise."""
        return _linear(clock_seconds, self.clock, self.score)

    def bent(self, path: np.ndarray, hop: float, smoothing: float) -> ScoreClock:
        """The clock corrected by the local tempo of a path.

        Args:
            path (array): Frames of the score on this clock for all frames of the recording, -1
                outside of the score.
            hop (float): Seconds per frame.
            smoothing (float): Standard deviation of the Gaussian window over which the tempo is
                averaged, in seconds.

        Returns:
            ScoreClock: The corrected clock; the same one if the path is nowhere in the score.
        """
        edges = np.arange(0.0, self.clock[-1] + _GRID, _GRID)
        total, weight = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
        for section in find_sections(path, hop):
            speed = np.diff(section.score) / np.diff(section.audio)
            speed = gaussian_filter1d(speed, smoothing / hop, mode="reflect")
            place = np.clip(section.score[:-1] / _GRID, 0, len(total) - 1).astype(np.int64)
            total += np.bincount(place, speed, len(total))
            weight += np.bincount(place, minlength=len(total))
        known = np.flatnonzero(weight)
        if not len(known):
            return self
        speed = np.interp(np.arange(len(total)), known, total[known] / weight[known])
        speed = gaussian_filter1d(speed, 0.5 * smoothing / _GRID, mode="nearest")
        lengths = _GRID / np.clip(speed, 1 / _MOST, _MOST)
        return ScoreClock(self.score_at(edges), np.concatenate([[0.0], np.cumsum(lengths)]))


def _linear(wanted: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.interp(wanted, x, y)
    first, last = ((y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in (0, -2))
    found = np.where(wanted < x[0], y[0] + (wanted - x[0]) * first, found)
    return np.asarray(np.where(wanted > x[-1], y[-1] + (wanted - x[-1]) * last, found))
