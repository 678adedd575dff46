"""Chords: their qualities, and a parser of Roman numerals."""

from __future__ import annotations

import re
from typing import NamedTuple


class Chord(NamedTuple):
    """A chord: pitch class of the root, semitones above the root, pitch class of the bass note."""

    root: int
    intervals: tuple[int, ...]
    bass: int

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes, in the order of the intervals."""
        return tuple((self.root + step) % 12 for step in self.intervals)

    def transposed(self, semitones: int) -> Chord:
        """The same chord, transposed."""
        return Chord((self.root + semitones) % 12, self.intervals, (self.bass + semitones) % 12)


QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "5": (0, 7),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "7sus4": (0, 5, 7, 10),
    "add9": (0, 4, 7, 14),
    "madd9": (0, 3, 7, 14),
    "9": (0, 4, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "m9": (0, 3, 7, 10, 14),
    "13": (0, 4, 7, 10, 21),
    "7#9": (0, 4, 7, 10, 15),
    "7b9": (0, 4, 7, 10, 13),
    "m11": (0, 3, 7, 10, 17),
}


_NUMERALS = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}


def parse_numeral(text: str, tonic: int) -> Chord:
    """Parses a Roman numeral such as ``bVII``, ``iim7b5``, ``V7#9`` or ``V/3``.

    Args:
        text (str): Accidental, numeral (lower case: minor), quality, and after ``/`` the bass: the
            third (3) or fifth (5) of the chord, or ``b7`` (a minor seventh above the root).
        tonic (int): Pitch class of the tonic.

    Returns:
        Chord: The chord.

    Raises:
        ValueError: if `text` is not such a numeral.

    Examples
        >>> parse_numeral("V/3", tonic=0)
        Chord(root=7, intervals=(0, 4, 7), bass=11)
    """
    found = re.fullmatch(r"([b#]?)([iv]+|[IV]+)([^/]*)(?:/(3|5|b7))?", text)
    if not found or found[2].lower() not in _NUMERALS:
        raise ValueError(
            f"{text!r} is not a Roman numeral, expected one such as bVII, iim7b5 or V/3."
        )
    accidental, numeral, quality, slash = found.groups()
    if numeral.islower() and quality in ("", "6", "7", "9", "add9"):
        quality = "m" + quality
    if quality not in QUALITIES:
        raise ValueError(
            f"{text!r} has an unknown quality {quality!r}, expected one of {list(QUALITIES)}."
        )
    shift = {"": 0, "b": -1, "#": 1}[accidental]
    root = (tonic + _NUMERALS[numeral.lower()] + shift) % 12
    intervals = QUALITIES[quality]
    above = {None: 0, "3": intervals[1], "5": 7, "b7": 10}[slash]
    return Chord(root, intervals, (root + above) % 12)


def near(pitch_class: int, around: float, low: int, high: int) -> int:
    """The MIDI note number of a pitch class nearest to `around`, if possible in `low` to `high`."""
    pitch = int(round(around))
    pitch += (int(pitch_class) - pitch + 6) % 12 - 6
    while pitch > high:
        pitch -= 12
    while pitch < low:
        pitch += 12
    return pitch
