"""Guitar voicings that are playable on six strings."""

from __future__ import annotations

from numpy.random import Generator

from .chords import Chord, near
from .sampling import random_choice
from .section import Part

TUNING = (40, 45, 50, 55, 59, 64)
"""Open strings of a guitar, as MIDI note numbers."""


def fretted(rng: Generator, chord: Chord, position: int, capo: int = 0) -> list[int]:
    """Draws a playable guitar voicing of a chord.

    Args:
        rng (numpy.random.Generator): Random generator.
        chord (Chord): The chord.
        position (int): Lowest fret of the hand; up to 2, open strings are allowed.
        capo (int): Fret of the capo, in semitones.

    Returns:
        list of int: Two to six MIDI note numbers, ascending, one per string.
    """
    voicing: list[int | None] = []
    for string in TUNING:
        frets = list(range(max(1, position), max(1, position) + 4))
        frets += [0] if position <= 2 else []
        fitting = [f for f in frets if (string + capo + f) % 12 in chord.tones]
        voicing.append(string + capo + random_choice(rng, fitting) if fitting else None)
    # Strings below the bass note are muted if it is on one of the three low strings.
    first = next(
        (
            k
            for k, pitch in enumerate(voicing[:3])
            if pitch is not None and pitch % 12 == chord.bass
        ),
        int(rng.integers(0, 3)),
    )
    pitches = sorted({pitch for pitch in voicing[first:] if pitch is not None})
    if len(pitches) < 2:
        root = near(chord.root, 48, 40, 64)
        pitches = [root, root + 7, root + 12]
    return pitches


class FrettedVoicings:
    """Fretted voicings of a section: a chord keeps its voicing."""

    def __init__(self, rng: Generator, part: Part) -> None:
        self.rng = rng
        self.position = int(random_choice(rng, [1, 2, 3, 5, 7, 9], [3, 2, 2, 2, 1.5, 0.7]))
        self.capo = (
            int(random_choice(rng, [0, 2, 3, 5], [5, 1, 1, 0.6])) if self.position <= 2 else 0
        )
        # In real parts often only some of the six strings are played.
        self.strings = int(random_choice(rng, [2, 3, 4, 6], [0.4, 0.35, 0.15, 0.1]))
        self.part = part
        self.known: dict[Chord, list[int]] = {}

    def at(self, beat: float) -> list[int]:
        """The voicing of the chord at a time in quarter notes, lowest string first."""
        chord = self.part.section.chord_at(min(beat, self.part.section.length - 0.01))
        if chord not in self.known:
            voicing = fretted(self.rng, chord, self.position, self.capo)
            self.known[chord] = voicing[: self.strings]
        return self.known[chord]
