"""Harmony: random chords of a section, from a loop, a grammar, a random walk and other methods.

A method is a function `(rng, scale, tonic, count)` that returns `count` chords.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from numpy.random import Generator

from .chords import QUALITIES, Chord, parse_numeral
from .progressions import BLUES, JAZZ, LOOPS
from .sampling import random_choice

if TYPE_CHECKING:
    from .plan import SongPlan

Scale: TypeAlias = tuple[int, ...]
Method: TypeAlias = Callable[[Generator, Scale, int, int], list[Chord]]

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
MODE_WEIGHTS = (0.34, 0.26, 0.07, 0.12, 0.12, 0.05, 0.04)

# Chords with added notes that can replace a plain chord.
_RICHER = {
    "": ("6", "maj7", "add9", "sus2", "maj9", "sus4"),
    "m": ("m7", "m9", "madd9", "m6", "m11"),
    "7": ("9", "13", "7sus4", "7"),
    "maj7": ("maj9", "6"),
    "m7": ("m9", "m11"),
}


def _diatonic(scale: Scale, tonic: int, degree: int, size: int) -> Chord:
    """The chord of `size` stacked thirds on a degree (0 to 6) of a seven-note scale."""
    steps = [scale[(degree + 2 * k) % 7] for k in range(size)]
    root = steps[0]
    intervals = tuple((step - root) % 12 for step in steps)
    root = (tonic + root) % 12
    return Chord(root, intervals, root)


def _functional(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """Tonic, subdominant and dominant chords in turn, ending on a cadence."""
    groups = {"T": (0, 5, 2), "S": (3, 1, 5), "D": (4, 6, 4)}
    following = {"T": "TSSD", "S": "SDDT", "D": "TTTS"}
    state, degrees = "T", [0]
    while len(degrees) < count:
        state = random_choice(rng, following[state])
        degrees.append(random_choice(rng, groups[state]))
    if count >= 4 and rng.random() < 0.7:
        degrees[-1] = 4
    return [_diatonic(scale, tonic, degree, 3) for degree in degrees]


def _walk(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """A random walk over the scale degrees, mostly by fourths, thirds and steps."""
    degree, chords = int(rng.choice([0, 0, 3, 5])), []
    for _ in range(count):
        chords.append(_diatonic(scale, tonic, degree % 7, 3))
        degree += random_choice(rng, [3, 4, 5, 2, 1, 6], [6, 3, 4, 2, 3, 2])
    return chords


def _circle(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """Falling fifths within the scale, or perfect fifths with dominant chords."""
    start = int(rng.integers(7))
    if rng.random() < 0.3:
        root = (tonic + scale[start]) % 12
        first = Chord(root, QUALITIES["7"], root)
        return [first.transposed(5 * k) for k in range(count)]
    return [_diatonic(scale, tonic, (start + 3 * k) % 7, 4) for k in range(count)]


def _vamp(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """One or two chords of the mode, repeated."""
    pair = [0, int(rng.choice([0, 1, 3, 4, 6]))]
    size = int(rng.choice([3, 4]))
    return [_diatonic(scale, tonic, pair[k % 2], size) for k in range(count)]


def _chromatic(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """Chords of one quality in parallel motion, or with common tones (mediants)."""
    quality = QUALITIES[random_choice(rng, ["", "m", "m7", "maj7", "sus2", "7", "5"])]
    root, chords = tonic, []
    moves = random_choice(rng, [(3, -3, 4, -4), (2, -2, 5), (1, -1, 3), (-2, 5, -4)])
    for _ in range(count):
        chords.append(Chord(root, quality, root))
        root = (root + int(rng.choice(moves))) % 12
        if rng.random() < 0.3:
            quality = QUALITIES[random_choice(rng, ["", "m", "m7", "maj7"])]
    return chords


def _descending(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
    """A bass line that falls (or rises) through the scale below chords that fit it."""
    step = -1 if rng.random() < 0.75 else 1
    chords = []
    for k in range(count):
        bass = (tonic + scale[(step * k) % 7]) % 12
        above = [_diatonic(scale, tonic, degree, 3) for degree in range(7)]
        fitting = [chord for chord in above if bass in chord.tones]
        chord = random_choice(rng, fitting)
        chords.append(Chord(chord.root, chord.intervals, bass))
    return chords


def _from_text(texts: Sequence[str]) -> Method:
    def draw(rng: Generator, scale: Scale, tonic: int, count: int) -> list[Chord]:
        loop = [parse_numeral(text, tonic) for text in random_choice(rng, texts).split()]
        return [loop[k % len(loop)] for k in range(count)]

    return draw


HARMONIES: dict[str, Method] = {
    "functional": _functional,
    "walk": _walk,
    "circle": _circle,
    "vamp": _vamp,
    "chromatic": _chromatic,
    "descending": _descending,
    "blues": _from_text(BLUES),
    "jazz": _from_text(JAZZ),
}


def draw_chords(rng: Generator, plan: SongPlan, bars: int) -> list[tuple[float, Chord]]:
    """Draws the chords of one section.

    Args:
        rng (numpy.random.Generator): Random generator.
        plan (SongPlan): The song's meter, key and style.
        bars (int): Length of the section, in bars.

    Returns:
        list of tuple: (start in quarter notes from the start of the section, chord), sorted.
    """
    meter, scale = plan.meter, MODES[plan.mode]
    minor = 3 in scale
    kind = plan.harmony if rng.random() < 0.7 else random_choice(rng, ["loop", *HARMONIES])
    # Chords per bar; always one in the blues.
    pace = 1.0 if kind == "blues" else float(random_choice(rng, [0.5, 1.0, 2.0], [0.2, 0.6, 0.2]))
    if pace == 2.0 and plan.tempo > 130:
        pace = 1.0
    count = max(1, int(bars * pace))
    if kind == "loop":
        chords = _from_text(LOOPS["minor" if minor else "major"])(rng, scale, plan.tonic, count)
    else:
        # Repeated patterns of 4 or 8 chords make phrases; a random walk of 16 would not.
        period = min(count, int(rng.choice([4, 4, 8]))) if kind not in ("blues", "jazz") else count
        cell = HARMONIES[kind](rng, scale, plan.tonic, period)
        chords = [cell[k % period] for k in range(count)]
    names = {intervals: name for name, intervals in QUALITIES.items()}
    for index, chord in enumerate(chords):
        richer = _RICHER.get(names.get(chord.intervals, "none"))
        if richer and rng.random() < plan.richness:
            chord = chord._replace(intervals=QUALITIES[random_choice(rng, richer)])
        if rng.random() < plan.slash:
            chord = chord._replace(bass=random_choice(rng, chord.tones[:3]))
        chords[index] = chord
        # A secondary dominant leads into the next chord.
        if index and rng.random() < 0.04:
            root = (chord.root + 7) % 12
            chords[index - 1] = Chord(root, QUALITIES["7"], root)
    step = bars * meter.beats / count
    if step % meter.pulse > 1e-6 and step > meter.pulse:  # two chords in a bar of 3 or 5
        starts = [k * step - (k * step) % meter.pulse for k in range(count)]
    else:
        starts = [k * step for k in range(count)]
    placed = [(starts[0], chords[0])]
    for start, chord in zip(starts[1:], chords[1:]):
        placed.append((start, chord))
    return placed
