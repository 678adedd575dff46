r"""Drums before the first pitched note of a score, and after its last.

The path follows pitched notes. Where only drums play, the warp goes on from its ends, a second of
the score at a time: the hits are expected at the tempo that the warp has there, and each moves
to where the recording becomes louder in many bands, as the onsets of pitched notes do
(:mod:`.onsets`). All choices are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..score import Notes
from ..score.defaults import HIT_SECONDS
from .features import HOP, loudness
from .onsets import PASSES, TOGETHER, posterior, rises
from .warp import LEAST_GAP, Span, Warp, first_tempo

#: Function of times in the recording.
_Heard = Callable[[np.ndarray], Any]
_BLOCK = 1.0  # seconds of the score that are followed at a time
_TEMPO_SECONDS = 3.0  # of audio, whose tempo is that of the next block
_LOUD = 0.95  # quantile of the rises of the music that is a loud onset
_AUDIBLE = 0.15  # mean rise of hits that are heard, relative to loud onsets
_LEAD = 2 * TOGETHER  # seconds of the score before the first hit, and after the last
_CLOSEST = 0.01  # seconds between hits that are anchors, in both clocks


def follow_drums(
    warp: Warp, notes: Notes, drums: Notes, levels: np.ndarray, seconds: float
) -> tuple[Warp, list[tuple[float, float]]]:
    """The warp continued to the drums before the first pitched note and after the last.

    It ends where hits are not heard any more.

    Args:
        warp (Warp): Where the recording plays the pitched notes.
        notes (Notes): The pitched notes, on the clock of the score.
        drums (Notes): The drums, likewise.
        levels (array): From :func:`~asteroid_scoresup.alignment.features.band_levels`.
        seconds (float): Length of the recording.

    Returns:
        tuple: The warp, and the stretches of more than a second by which it is longer, as (start,
        stop) in seconds of the recording.
    """
    hits = np.unique(drums.onset[drums.onset >= 0])
    hits = hits[np.diff(hits, prepend=-1.0) > TOGETHER]
    if not len(hits) or not warp.spans:
        return warp, []
    spans = list(warp.spans)
    begin, end = float(spans[0].score[0]), float(spans[-1].score[-1])
    # Where the recording begins or ends with another part of the score, nothing is known of them.
    early = hits[hits < begin] if begin <= notes.onset.min() else hits[:0]
    last = float(notes.onset.max())
    late = hits[hits > last] if end >= last else hits[:0]
    if not len(early) and not len(late):
        return warp, []
    heard = _loudness_rises(levels, warp)
    spans[0] = _continued(spans[0], early, heard, 0.0)
    first = float(spans[0].score[0])
    if first < begin:
        first -= _LEAD
    # Beyond the last onset, the warp is a guess: hits there are evidence.
    kept = int(np.sum(spans[-1].score <= last + 1e-6))
    if kept >= 2 and len(late):
        cut = Span(spans[-1].score[:kept], spans[-1].audio[:kept])
        # The same backward in time: the end is a beginning.
        turned = [partial(_at_turned, one) for one in heard]
        spans[-1] = _turned(_continued(_turned(cut), -late[::-1], turned, -seconds))
        followed = drums.onset <= spans[-1].score[-1]
        releases = np.minimum(drums.release, drums.onset + HIT_SECONDS)[followed]
        if spans[-1].score[-1] > end:
            end = float(spans[-1].score[-1]) + _LEAD
        end = max(end, float(releases.max(initial=end)))
    longer = Warp(tuple(spans)).extended(first, end, seconds)
    edges = (
        (longer.spans[0].audio[0], warp.spans[0].audio[0]),
        (warp.spans[-1].audio[-1], longer.spans[-1].audio[-1]),
    )
    return longer, [(float(a), float(b)) for a, b in edges if b - a > LEAST_GAP]


def _loudness_rises(levels: np.ndarray, warp: Warp) -> list[_Heard]:
    """For each pass, how much the bands rise on average at given times, 1 for a loud onset."""
    loud = loudness(levels)
    found: list[_Heard] = []
    music = slice(int(warp.spans[0].audio[0] / HOP), int(warp.spans[-1].audio[-1] / HOP) + 1)
    for one in PASSES:
        rise = rises(levels, loud, one.before, one.after).mean(axis=1, dtype=np.float32)
        rise = rise / max(float(np.quantile(rise[music], _LOUD)), 1e-6)
        frames = HOP * np.arange(len(rise))
        rise = np.minimum(rise, 1.5)
        found.append(partial(np.interp, xp=frames, fp=rise, left=0.0, right=0.0))
    return found


def _at_turned(heard: _Heard, at: np.ndarray) -> Any:
    return heard(-at)


def _turned(span: Span) -> Span:
    return Span(-span.score[::-1], -span.audio[::-1])


def _continued(span: Span, hits: np.ndarray, heard: Sequence[_Heard], low: float) -> Span:
    """A span with anchors at the hits before it that the recording plays after `low`."""
    score, audio = span.score, span.audio
    while len(hits):
        tempo = first_tempo(score, audio, _TEMPO_SECONDS)
        count = int(np.sum(hits >= min(hits[-1], score[0] - _BLOCK)))
        block, hits = hits[-count:], hits[:-count]
        expected = audio[0] - (score[0] - block) / tempo
        if expected[-1] <= low:
            break
        at = np.append(expected, audio[0])  # the last one is where it is
        for one, rise in zip(PASSES, heard):
            offsets = np.arange(-one.reach, one.reach + one.step / 2, one.step)
            found = rise(at[:, None] + offsets)
            found[-1] = -100 * np.abs(offsets) / one.step
            at = at + posterior(found, at, offsets, one)[0]
        if float(np.mean(heard[-1](at[:-1]))) < _AUDIBLE:
            break
        for hit, place in zip(block[::-1], at[-2::-1]):
            if low <= place <= audio[0] - _CLOSEST and hit <= score[0] - _CLOSEST:
                score, audio = np.insert(score, 0, hit), np.insert(audio, 0, place)
    return Span(score, audio)
