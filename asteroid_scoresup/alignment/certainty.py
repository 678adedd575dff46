r"""How certain an alignment is, for each stretch of the recording and as a whole.

The evidence is how much more the levels of a note's own partials rise at its onset than within half
a second around it, in standard deviations: the *contrast*. It does not depend on how well a path
could bend to the audio, since the refinement moves onsets by hundredths of a second only. The
constants of the logistic functions were fitted by ``benchmarks/alignment.py`` on its development
set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .onsets import Groups, evidence
from .warp import CERTAINTY_STEP, Span

#: Logistic function of the certainty of a stretch: slope and center, in units of the contrast.
LOCAL = (4.0, 1.2)
#: The whole recording: weights of the mean contrast, of the unrest of the tempo, and of how much of
#: recording and score is covered, and the constant.
WHOLE = (3.0, -12.0, 8.0, -7.0)
#: An alignment below this confidence is not a match, a stretch below this certainty is uncertain.
MATCH = 0.75
CERTAIN = 0.5

_AROUND, _STEP = 0.5, 0.01  # seconds
_NEAR = 1  # steps by which an onset may be off
_LOOK = 5.0  # seconds around the middle of a stretch whose onsets count
_PRIOR = 4.0  # onsets; with fewer, the certainty tends to that of the neighborhood


def contrasts(rise: np.ndarray, groups: Groups, at: np.ndarray) -> np.ndarray:
    """Contrast of each group of onsets, shape (n,)."""
    offsets = np.arange(-_AROUND, _AROUND + _STEP / 2, _STEP)
    found = evidence(rise, groups, at, offsets)
    middle = len(offsets) // 2
    here = found[:, middle - _NEAR : middle + _NEAR + 1].max(axis=1)
    return np.asarray((here - found.mean(axis=1)) / (found.std(axis=1) + 0.05))


@dataclass(frozen=True)
class Signs:
    """What the confidence of a whole alignment follows from.

    Args:
        contrast (float): Mean contrast of the onsets.
        unrest (float): Mean change of the logarithm of the tempo from one second to the next: the
            path through a wrong score runs and waits.
        audio_share (float): Share of the recording inside spans.
        score_share (float): Share of the score's onsets inside spans, at most 1.
    """

    contrast: float
    unrest: float
    audio_share: float
    score_share: float

    @classmethod
    def of(
        cls, spans: Sequence[Span], contrast: np.ndarray, n_groups: int, seconds: float
    ) -> Signs:
        """The signs of an alignment."""
        changes = []
        for span in spans:
            grid = np.arange(span.audio[0], span.audio[-1], 1.0)
            passed = np.diff(span.to_score(grid))
            changes.append(np.abs(np.diff(np.log(np.maximum(passed, 0.02)))))
        joined = np.concatenate(changes) if changes else np.zeros(0)
        covered = sum(float(span.audio[-1] - span.audio[0]) for span in spans)
        return cls(
            contrast=float(contrast.mean()) if len(contrast) else 0.0,
            unrest=float(joined.mean()) if len(joined) else 0.0 if len(contrast) else 1.0,
            audio_share=min(1.0, covered / seconds),
            score_share=min(1.0, len(contrast) / max(n_groups, 1)),
        )

    def confidence(self) -> float:
        """Probability, 0 to 1, that the score belongs to the recording."""
        if self.audio_share <= 0:
            return 0.0
        cover = np.sqrt(self.audio_share * self.score_share)
        weights, constant = WHOLE[:3], WHOLE[3]
        total = np.dot(weights, [self.contrast, self.unrest, cover]) + constant
        return float(1 / (1 + np.exp(-total)))


def logistic(contrast: np.ndarray, constants: tuple[float, float]) -> np.ndarray:
    """Certainty, 0 to 1, from a mean contrast."""
    slope, center = constants
    return np.asarray(1 / (1 + np.exp(-slope * (contrast - center))))


def local_certainty(
    at: np.ndarray, contrast: np.ndarray, spans: list[tuple[float, float]], seconds: float
) -> np.ndarray:
    """Certainty of successive stretches of 5 s (``CERTAINTY_STEP``).

    Args:
        at (array): Times of the onsets in the recording, in seconds.
        contrast (array): Their contrasts.
        spans (list of tuple): The stretches of the recording that the score covers, in seconds.
        seconds (float): Length of the recording.

    Returns:
        :class:`numpy.ndarray`: 0 to 1, NaN where the score has nothing.
    """
    count = max(1, int(np.ceil(seconds / CERTAINTY_STEP)))
    found = np.full(count, np.nan)
    overall = float(contrast.mean()) if len(contrast) else 0.0
    for number in range(count):
        start = number * CERTAINTY_STEP
        stop = min(start + CERTAINTY_STEP, seconds)
        covered = sum(max(0.0, min(b, stop) - max(a, start)) for a, b in spans)
        if covered < min(0.5, 0.5 * (stop - start)):
            continue
        middle = (start + stop) / 2
        near = np.abs(at - middle) < _LOOK
        mean = (contrast[near].sum() + _PRIOR * overall) / (near.sum() + _PRIOR)
        found[number] = logistic(mean, LOCAL)
    return found


def uncertain_stretches(certainty: np.ndarray, seconds: float) -> tuple[tuple[float, float], ...]:
    """Stretches of the recording whose certainty is below ``CERTAIN``, joined, in seconds."""
    found: list[tuple[float, float]] = []
    for number, value in enumerate(certainty):
        if not value < CERTAIN:  # NaN is not uncertain: the score has nothing there
            continue
        start = number * CERTAINTY_STEP
        stop = min(start + CERTAINTY_STEP, seconds)
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)
