"""Why a score cannot be aligned, or does not belong to a recording, in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..dsp.level import SILENCE
from ..utils.stream import Recording
from .certainty import MATCH

#: Shorter recordings, in seconds, rarely reach the confidence of a match with a score of minutes.
SHORT = 10.0


class WrongScoreError(ValueError):
    """The score does not belong to the recording."""


class UnalignableScoreError(ValueError):
    """The score cannot be aligned with any recording.

    Args:
        name (str): Name of the score.
        why (str): What is wrong with it, as the rest of a sentence that begins with the name.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.why = why

    def __str__(self) -> str:
        return f"{self.args[0]} {self.why}."


class Mismatch(NamedTuple):
    """Why a score and a recording do not match.

    Args:
        reason (str): The same words for all songs with this problem.
        what (str): The same with the names and the confidence, a sentence without its period.
        advice (str): What to do, a clause.
    """

    reason: str
    what: str
    advice: str


def explain_mismatch(recording: Recording, name: str, confidence: float) -> Mismatch:
    """Tells a score of another song from recordings that match no score.

    Args:
        recording (Recording): The recording, whose alignment is not a match.
        name (str): Name of the score.
        confidence (float): Confidence of the alignment.

    Examples
        >>> found = explain_mismatch(Recording(np.ones(8000), 8000), "song.mid", 0.04)
        >>> found.what
        'The recording lasts 1.0 s, too short to tell whether song.mid is its score (confidence
        0.04, expected at least 0.5)'
    """
    if all(np.abs(block).max(initial=0) <= SILENCE for block in recording.blocks()):
        what = f"{recording.name} is silent, so {name} cannot be aligned with it"
        return Mismatch("the recording is silent", what, "check the file")
    numbers = f" (confidence {confidence:.2f}, expected at least {MATCH})"
    if recording.seconds < SHORT:
        what = (
            f"{recording.name} lasts {recording.seconds:.1f} s, too short to tell whether {name} "
            "is its score"
        )
        advice = "use more of the recording"
        return Mismatch("the recording is too short to be aligned", what + numbers, advice)
    what = f"{name} does not seem to belong to {recording.name}"
    advice = "check that both are the same song"
    return Mismatch("the score does not belong to the recording", what + numbers, advice)
