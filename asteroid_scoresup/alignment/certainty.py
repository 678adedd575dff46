r"""How certain an alignment is, for each stretch of the recording and as a whole.

Two kinds of evidence count for a stretch. The *contrast* of an onset is how much more the levels of
a note's own partials rise there than within half a second around it, in standard deviations. It
shows whether notes begin where they should, but not whether they are those of another repetition of
the same music. The *margin* of the path does: it is what a path by way of another place of the
score would cost (:func:`.path.find_margins`). The confidence of the whole follows from how well the
coarse path fits, how steady its tempo is, and how much it covers.

The constants of the logistic functions were fitted on the songs and cases of the set ``dev`` of
``benchmarks/alignment.py``: those of a stretch to the fraction of its onsets within 100 ms, those
of the whole to right scores and scores of other songs, also of excerpts of 30 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .onsets import Groups, evidence
from .warp import CERTAINTY_STEP, Span

#: Logistic function of the certainty of a stretch: weights of its mean contrast and of its mean
#: margin, and the constant.
LOCAL = (1.23, 0.459, -6.81)
#: The whole recording: weights of the unrest of the tempo, of the share of recording and score that
#: is covered, and of the fit of the path, and the constant.
WHOLE = (-17.7, 4.09, 6.57, -4.43)
#: An alignment below this confidence is not a match, a stretch below this certainty is uncertain.
MATCH = 0.5
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
        unrest (float): Mean change of the logarithm of the tempo from one second to the next.
        audio_share (float): Share of the recording inside spans.
        score_share (float): Share of the score's onsets inside spans, at most 1.
        fit (float): Evidence minus penalties of the coarse path, per frame inside the score, above
            what a frame outside of it has.
    """

    unrest: float
    audio_share: float
    score_share: float
    fit: float

    @classmethod
    def of(
        cls, spans: Sequence[Span], n_onsets: int, n_groups: int, seconds: float, fit: float
    ) -> Signs:
        """The signs of an alignment.

        Args:
            spans (sequence of Span): Its spans.
            n_onsets (int): Groups of onsets inside them.
            n_groups (int): Groups of onsets of the score.
            seconds (float): Length of the recording.
            fit (float): As above.
        """
        changes = []
        for span in spans:
            grid = np.arange(span.audio[0], span.audio[-1], 1.0)
            passed = np.diff(span.to_score(grid))
            changes.append(np.abs(np.diff(np.log(np.maximum(passed, 0.02)))))
        joined = np.concatenate(changes) if changes else np.zeros(0)
        covered = sum(float(span.audio[-1] - span.audio[0]) for span in spans)
        return cls(
            unrest=float(joined.mean()) if len(joined) else 0.0,
            audio_share=min(1.0, covered / seconds),
            score_share=min(1.0, n_onsets / max(n_groups, 1)),
            fit=fit,
        )

    def values(self) -> list[float]:
        """The signs as :data:`WHOLE` weights them: unrest, share that is covered, and fit."""
        cover = float(np.sqrt(self.audio_share * self.score_share))
        return [self.unrest, cover, self.fit]

    def confidence(self) -> float:
        """Probability, 0 to 1, that the score belongs to the recording."""
        if self.audio_share <= 0:
            return 0.0
        total = np.dot(WHOLE[:3], self.values()) + WHOLE[3]
        return float(1 / (1 + np.exp(-total)))


def local_signs(
    at: np.ndarray,
    contrast: np.ndarray,
    margin: np.ndarray,
    spans: list[tuple[float, float]],
    seconds: float,
) -> np.ndarray:
    r"""What the certainty of successive stretches of 5 s (``CERTAINTY_STEP``) follows from.

    Args:
        at (array): Times of the onsets in the recording, in seconds.
        contrast (array): Their contrasts.
        margin (array): Margins of the path there.
        spans (list of tuple): The stretches of the recording that the score covers, in seconds.
        seconds (float): Length of the recording.

    Returns:
        :class:`numpy.ndarray`: Mean contrast and mean margin of each stretch, NaN where the score
        has nothing, shape :math:`(n, 2)`.
    """
    count = max(1, int(np.ceil(seconds / CERTAINTY_STEP)))
    found = np.full((count, 2), np.nan)
    both = np.stack([contrast, margin])
    overall = both.mean(axis=1) if len(at) else np.zeros(2)
    for number in range(count):
        start = number * CERTAINTY_STEP
        stop = min(start + CERTAINTY_STEP, seconds)
        covered = sum(max(0.0, min(b, stop) - max(a, start)) for a, b in spans)
        if covered < min(0.5, 0.5 * (stop - start)):
            continue
        near = np.abs(at - (start + stop) / 2) < _LOOK
        found[number] = (both[:, near].sum(axis=1) + _PRIOR * overall) / (near.sum() + _PRIOR)
    return found


def local_certainty(signs: np.ndarray) -> np.ndarray:
    """Certainty of each stretch, 0 to 1, NaN where the score has nothing, from `local_signs`."""
    return np.asarray(1 / (1 + np.exp(-(signs @ np.array(LOCAL[:2]) + LOCAL[2]))))


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


def merged_stretches(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches in order, those that overlap or touch as one.

    Examples
        >>> merged_stretches([(7.0, 9.0), (0.0, 5.0), (4.0, 6.0)])
        [(0.0, 6.0), (7.0, 9.0)]
    """
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(stretches):
        if merged and start <= merged[-1][1]:
            start, stop = merged[-1][0], max(merged.pop()[1], stop)
        merged.append((start, stop))
    return merged


def without_certainty(local: np.ndarray, stretches: Iterable[tuple[float, float]]) -> np.ndarray:
    """Local certainties, 0 instead of NaN where they touch some stretches of the recording."""
    found = local.copy()
    for start, stop in stretches:
        cells = found[int(start // CERTAINTY_STEP) : int(np.ceil(stop / CERTAINTY_STEP))]
        cells[np.isnan(cells)] = 0.0
    return found
