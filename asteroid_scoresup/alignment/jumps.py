r"""From the coarse path to sections: stretches of audio in which the score is played through.

A section ends where the path jumps in the score or is interrupted. Jumps of less than
:data:`SMALLEST_JUMP` are irregularities of the tempo, and sections shorter than
:data:`SHORTEST_SECTION` are spurious: their time is assigned to their neighbors, or to no section.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .path import MOST_ADVANCE

#: Shortest jump, in seconds of the score.
SMALLEST_JUMP = 1.0
#: Shortest section, in seconds of audio.
SHORTEST_SECTION = 2.5

_SMOOTHING = 0.5  # seconds of audio, standard deviation


@dataclass(frozen=True)
class Section:
    r"""A stretch of audio with its places in the score.

    Args:
        audio (array): Increasing times in the recording, in seconds, shape :math:`(n,)`.
        score (array): Strictly increasing times in the score, likewise.
    """

    audio: np.ndarray
    score: np.ndarray

    def to_audio(self, score_seconds: np.ndarray) -> np.ndarray:
        """Times in the recording, extrapolated beyond the ends with the mean tempo near them."""
        return _continued(score_seconds, self.score, self.audio)

    def to_score(self, audio_seconds: np.ndarray) -> np.ndarray:
        """Times in the score, extrapolated beyond the ends with the mean tempo near them."""
        return _continued(audio_seconds, self.audio, self.score)


def _continued(wanted: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.interp(wanted, x, y)
    near = min(len(x), 40)
    head = (y[near - 1] - y[0]) / max(x[near - 1] - x[0], 1e-6)
    tail = (y[-1] - y[-near]) / max(x[-1] - x[-near], 1e-6)
    found = np.where(wanted < x[0], y[0] + (wanted - x[0]) * np.clip(head, 0.3, 3), found)
    found = np.where(wanted > x[-1], y[-1] + (wanted - x[-1]) * np.clip(tail, 0.3, 3), found)
    return np.asarray(found)


def find_sections(path: np.ndarray, hop: float) -> list[Section]:
    """The sections of a path.

    Args:
        path (array): From :func:`~asteroid_scoresup.alignment.path.find_path`.
        hop (float): Seconds per frame, of the recording and of the score.

    Returns:
        list of Section: In the order of the recording.
    """
    runs = _runs(path)
    runs = _joined(runs, path, hop)
    runs = [(a, b) for a, b in runs if (b - a) * hop >= SHORTEST_SECTION]
    runs = _joined(runs, path, hop)
    return [_smooth(path, a, b, hop) for a, b in runs]


def _runs(path: np.ndarray) -> list[tuple[int, int]]:
    """First and last + 1 frames of the uninterrupted stretches of a path."""
    inside = path >= 0
    change = np.diff(path)
    breaks = (change < 0) | (change > MOST_ADVANCE) | (inside[1:] != inside[:-1])
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(path)]
    return [(a, b) for a, b in zip(edges, edges[1:]) if inside[a]]


def _joined(runs: list[tuple[int, int]], path: np.ndarray, hop: float) -> list[tuple[int, int]]:
    """Joins runs between which recording and score advance by about the same time."""
    joined: list[tuple[int, int]] = []
    for first, stop in runs:
        if joined:
            before = joined[-1]
            audio = (first - before[1] + 1) * hop
            score = (path[first] - path[before[1] - 1]) * hop
            if score >= 0 and abs(score - audio) < SMALLEST_JUMP + 0.2 * audio:
                joined[-1] = (before[0], stop)
                continue
        joined.append((first, stop))
    return joined


def _smooth(path: np.ndarray, first: int, stop: int, hop: float) -> Section:
    """A section with its staircase smoothed; the ends of rests are left where they are."""
    frames = np.arange(first, stop)
    frames = frames[path[first:stop] >= 0]
    place = np.maximum.accumulate(path[frames]).astype(np.float64)
    audio = (np.arange(first, stop) + 0.5) * hop
    score = np.interp(np.arange(first, stop), frames, place + 0.5) * hop
    line = np.polyval(np.polyfit(audio, score, 1), audio) if len(audio) > 1 else score
    score = line + gaussian_filter1d(score - line, _SMOOTHING / hop, mode="nearest")
    score = np.maximum.accumulate(score) + 1e-6 * np.arange(len(score))
    return Section(audio, score)
