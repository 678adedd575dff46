r"""Where exactly a recording jumps from one section of its score to the next.

The coarse path finds that a recording jumps, but not exactly where: its frames are long, and it may
linger or hurry before a jump. Here, both sections are continued beyond their boundary, each at its
own tempo, and are compared with the recording in short frames. The boundary is where the evidence
for the section before it, up to there, and for the section after it, from there on, is largest in
sum. All choices are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..score import Notes
from .features import HOP, audio_vectors, score_vectors
from .jumps import Section
from .path import Evidence

_EVERY = 2  # frames of the levels per frame here
_REACH = 3.0  # seconds by which a boundary may move
_BEFORE = 4.0  # seconds before the earliest place whose notes may still sound
_LEAST = 1.0  # seconds of a section that remain
_NEXT = 0.5  # seconds between sections, at most: longer ones are interruptions
_REST = 0.25  # evidence where a section has a rest


def move_boundaries(
    sections: Sequence[Section], levels: np.ndarray, loud: float, notes: Notes
) -> list[Section]:
    r"""Moves the boundaries between adjacent sections to where the recording jumps.

    Args:
        sections (sequence of Section): In the order of the recording.
        levels (array): From :func:`~asteroid_scoresup.alignment.features.band_levels`.
        loud (float): From :func:`~asteroid_scoresup.alignment.features.loudness`.
        notes (Notes): The score, on the clock of the sections.

    Returns:
        list of Section: The same number of sections.
    """
    moved = list(sections)
    for number, (before, after) in enumerate(pairwise(sections)):
        if after.audio[0] - before.audio[-1] > _NEXT:
            continue
        first, second = moved[number], after
        place = _find(first, second, levels, loud, notes)
        if place is not None:
            moved[number] = _between(first, first.audio[0], place)
            moved[number + 1] = _between(second, place, second.audio[-1])
    return moved


def _find(
    before: Section, after: Section, levels: np.ndarray, loud: float, notes: Notes
) -> float | None:
    """The time of the jump between two sections in seconds, None where they are too short."""
    middle = (before.audio[-1] + after.audio[0]) / 2
    low = max(middle - _REACH, before.audio[0] + _LEAST)
    high = min(middle + _REACH, after.audio[-1] - _LEAST)
    if high - low < 2 * _LEAST:
        return None
    first = max(0, int((low - _BEFORE) / HOP))
    audio = audio_vectors(levels[first : int(high / HOP)], loud, _EVERY)
    hop, n = _EVERY * HOP, len(audio)
    vectors = []
    for section in (before, after):
        start = first * HOP
        times = {
            name: section.to_audio(getattr(notes, name)) - start
            for name in ("onset", "offset", "release")
        }
        near = (times["onset"] >= 0) & (times["onset"] < n * hop)
        vectors.append(score_vectors(notes.replace(**times).select(np.flatnonzero(near)), hop, n))
    fit = Evidence(audio, np.concatenate(vectors), rest=_REST)
    gain = np.diff([fit.along(side * n + np.arange(n)) for side in (1, 0)], axis=0)[0]
    skipped = int((low - first * HOP) / hop)
    total = np.concatenate([[0.0], np.cumsum(gain[skipped:])])
    return first * HOP + (skipped + int(total.argmax())) * hop


def _between(section: Section, start: float, stop: float) -> Section:
    """A section from one time of the recording to another, continued where it is shorter."""
    inside = section.audio[(section.audio > start) & (section.audio < stop)]
    audio = np.concatenate([[start], inside, [stop]])
    return Section(audio, section.to_score(audio))
