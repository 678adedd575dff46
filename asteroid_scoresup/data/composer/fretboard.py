"""Guitar voicings: what one hand can grip on six strings."""

from __future__ import annotations

from .chance import choose
from .chords import near

TUNING = (40, 45, 50, 55, 59, 64)
"""Open strings of a guitar in MIDI note numbers."""


def fretted(rng, chord, position, capo=0):
    """A guitar voicing that one hand can grip.

    Args:
        rng (numpy.random.Generator): Source of chance.
        chord (Chord): The chord.
        position (int): Lowest fret of the hand; up to 2, open strings may sound.
        capo (int): Fret of the capo, in semitones.

    Returns:
        list of int: Two to six MIDI note numbers, ascending, one a string.
    """
    voicing = []
    for string in TUNING:
        frets = list(range(max(1, position), max(1, position) + 4))
        frets += [0] if position <= 2 else []
        fitting = [f for f in frets if (string + capo + f) % 12 in chord.tones]
        voicing.append(string + capo + choose(rng, fitting) if fitting else None)
    # Strings below the bass note stay silent where the bass note lies on a low string.
    first = next(
        (k for k in range(3) if voicing[k] is not None and voicing[k] % 12 == chord.bass),
        int(rng.integers(0, 3)),
    )
    pitches = sorted({pitch for pitch in voicing[first:] if pitch is not None})
    if len(pitches) < 2:
        root = near(chord.root, 48, 40, 64)
        pitches = [root, root + 7, root + 12]
    return pitches


class Grips:
    """Fretted voicings of a section: the same chord gets the same grip."""

    def __init__(self, rng, part):
        self.rng = rng
        self.position = int(choose(rng, [1, 2, 3, 5, 7, 9], [3, 2, 2, 2, 1.5, 0.7]))
        self.capo = int(choose(rng, [0, 2, 3, 5], [5, 1, 1, 0.6])) if self.position <= 2 else 0
        # Real parts are thinner than six strings: the hand often strikes only some of them.
        self.strings = int(choose(rng, [2, 3, 4, 6], [0.4, 0.35, 0.15, 0.1]))
        self.part, self.known = part, {}

    def at(self, beat):
        """The grip of the chord that sounds at a time, lowest string first."""
        chord = self.part.section.chord_at(min(beat, self.part.section.length - 0.01))
        if chord not in self.known:
            grip = fretted(self.rng, chord, self.position, self.capo)
            self.known[chord] = grip[: self.strings]
        return self.known[chord]
