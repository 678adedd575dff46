"""The tempo map of an aligned MIDI file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..midi.events import TempoMap
from .warp import Span

#: Largest error at a knot, in seconds, and how much more there may be between two knots.
TOLERANCE, TOLERANCE_BETWEEN = 0.00025, 0.001
_SLOWEST = 2**24 - 1  # microseconds per quarter note


def knots(span: Span, seconds: TempoMap, beats: np.ndarray) -> Iterator[tuple[int, float]]:
    """The ticks between which the tempo is constant, and their times in the recording.

    They are the beats, and further ticks in beats within which the tempo of the recording changes.

    Args:
        span (Span): Score time to audio time.
        seconds (TempoMap): Converts ticks of the score to seconds.
        beats (array): The first tick, the beats, and the last tick.

    Yields:
        tuple: Tick of the score, and seconds in the recording.
    """
    anchors = seconds.ticks(span.score)
    bends = np.concatenate([np.floor(anchors), np.ceil(anchors), seconds.changes])
    bends = np.unique(bends.astype(np.int64))
    bends = bends[(bends > beats[0]) & (bends < beats[-1])]
    ticks = beats
    while True:
        straight = np.interp(bends, ticks, span.to_audio(seconds(ticks)))
        error = np.abs(span.to_audio(seconds(bends)) - straight)
        # The worst tick of each beat becomes a knot, until all errors are small.
        bad = np.flatnonzero(error > TOLERANCE_BETWEEN)
        if not len(bad):
            break
        bad = bad[np.argsort(-error[bad], kind="stable")]
        _, worst = np.unique(np.searchsorted(ticks, bends[bad], side="right"), return_index=True)
        ticks = np.union1d(ticks, bends[bad[worst]])
    yield from zip(ticks.tolist(), span.to_audio(seconds(ticks)).tolist())


def tempi(knots: Sequence[tuple[int, float]], quarter: int) -> Iterator[tuple[int, int]]:
    """Tempo changes that put every knot at its time.

    A tempo is kept as long as it is accurate. Rounding errors do not accumulate: every change aims
    at the time of the next knot.

    Args:
        knots (sequence of tuple): Ticks and their times in seconds, in order.
        quarter (int): Ticks per quarter note.

    Yields:
        tuple: Tick, and microseconds per quarter note from then on.

    Examples
        >>> list(tempi([(0, 0.0), (96, 0.5), (192, 1.0), (288, 2.0)], 96))
        [(0, 500000), (192, 1000000)]
    """
    now, tempo = 0.0, 0
    for (tick, _), (following, target) in zip(knots, knots[1:]):
        quarters = (following - tick) / quarter
        if abs(now + quarters * tempo / 1e6 - target) > TOLERANCE:
            tempo = min(max(round((target - now) / quarters * 1e6), 1), _SLOWEST)
            yield tick, tempo
        now += quarters * tempo / 1e6
