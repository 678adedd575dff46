"""Harmony: the chords of a section, from a loop, a grammar, a walk or another way to draw them.

A way to draw is a function `(rng, scale, tonic, count)` that returns `count` chords.
"""

from __future__ import annotations

from collections.abc import Callable

from .chance import choose
from .chords import QUALITIES, Chord, parse_numeral
from .progressions import BLUES, JAZZ, LOOPS

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
MODE_ODDS = (0.34, 0.26, 0.07, 0.12, 0.12, 0.05, 0.04)

# What a player who likes rich chords makes of a plain one.
_RICHER = {
    "": ("6", "maj7", "add9", "sus2", "maj9", "sus4"),
    "m": ("m7", "m9", "madd9", "m6", "m11"),
    "7": ("9", "13", "7sus4", "7"),
    "maj7": ("maj9", "6"),
    "m7": ("m9", "m11"),
}


def _diatonic(scale, tonic, degree, size):
    """The chord of `size` stacked thirds on a degree (0 to 6) of a seven-note scale."""
    steps = [scale[(degree + 2 * k) % 7] for k in range(size)]
    root = steps[0]
    intervals = tuple((step - root) % 12 for step in steps)
    root = (tonic + root) % 12
    return Chord(root, intervals, root)


def _functional(rng, scale, tonic, count):
    """Tonic, subdominant and dominant chords in turn, ending on a cadence."""
    groups = {"T": (0, 5, 2), "S": (3, 1, 5), "D": (4, 6, 4)}
    following = {"T": "TSSD", "S": "SDDT", "D": "TTTS"}
    state, degrees = "T", [0]
    while len(degrees) < count:
        state = choose(rng, following[state])
        degrees.append(choose(rng, groups[state]))
    if count >= 4 and rng.random() < 0.7:
        degrees[-1] = 4
    return [_diatonic(scale, tonic, degree, 3) for degree in degrees]


def _walk(rng, scale, tonic, count):
    """A random walk over the degrees, mostly by fourths, thirds and steps."""
    degree, chords = int(rng.choice([0, 0, 3, 5])), []
    for _ in range(count):
        chords.append(_diatonic(scale, tonic, degree % 7, 3))
        degree += choose(rng, [3, 4, 5, 2, 1, 6], [6, 3, 4, 2, 3, 2])
    return chords


def _circle(rng, scale, tonic, count):
    """Falling fifths through the scale, or exact ones with dominant chords."""
    start = int(rng.integers(7))
    if rng.random() < 0.3:
        root = (tonic + scale[start]) % 12
        first = Chord(root, QUALITIES["7"], root)
        return [first.moved(5 * k) for k in range(count)]
    return [_diatonic(scale, tonic, (start + 3 * k) % 7, 4) for k in range(count)]


def _vamp(rng, scale, tonic, count):
    """One or two chords of the mode, over and over."""
    pair = [0, int(rng.choice([0, 1, 3, 4, 6]))]
    size = int(rng.choice([3, 4]))
    return [_diatonic(scale, tonic, pair[k % 2], size) for k in range(count)]


def _chromatic(rng, scale, tonic, count):
    """Chords of one quality that move in parallel, or that share a tone (mediants)."""
    quality = QUALITIES[choose(rng, ["", "m", "m7", "maj7", "sus2", "7", "5"])]
    root, chords = tonic, []
    moves = choose(rng, [(3, -3, 4, -4), (2, -2, 5), (1, -1, 3), (-2, 5, -4)])
    for _ in range(count):
        chords.append(Chord(root, quality, root))
        root = (root + int(rng.choice(moves))) % 12
        if rng.random() < 0.3:
            quality = QUALITIES[choose(rng, ["", "m", "m7", "maj7"])]
    return chords


def _descending(rng, scale, tonic, count):
    """A bass line that falls (or rises) through the scale below chords that fit it."""
    step = -1 if rng.random() < 0.75 else 1
    chords = []
    for k in range(count):
        bass = (tonic + scale[(step * k) % 7]) % 12
        above = [_diatonic(scale, tonic, degree, 3) for degree in range(7)]
        fitting = [chord for chord in above if bass in chord.tones]
        chord = choose(rng, fitting)
        chords.append(Chord(chord.root, chord.intervals, bass))
    return chords


def _from_text(texts):
    def draw(rng, scale, tonic, count):
        loop = [parse_numeral(text, tonic) for text in choose(rng, texts).split()]
        return [loop[k % len(loop)] for k in range(count)]

    return draw


HARMONIES: dict[str, Callable] = {
    "functional": _functional,
    "walk": _walk,
    "circle": _circle,
    "vamp": _vamp,
    "chromatic": _chromatic,
    "descending": _descending,
    "blues": _from_text(BLUES),
    "jazz": _from_text(JAZZ),
}


def draw_chords(rng, plan, bars):
    """Chords of one section.

    Args:
        rng (numpy.random.Generator): Source of chance.
        plan (SongPlan): The song's metre, key and taste.
        bars (int): Length of the section.

    Returns:
        list: (start in quarter notes, :class:`Chord`), sorted.
    """
    meter, scale = plan.meter, MODES[plan.mode]
    minor = 3 in scale
    kind = plan.harmony if rng.random() < 0.7 else choose(rng, ["loop", *HARMONIES])
    # Chords per bar; the blues has its own pace of one.
    pace = 1.0 if kind == "blues" else float(choose(rng, [0.5, 1.0, 2.0], [0.2, 0.6, 0.2]))
    if pace == 2.0 and plan.tempo > 130:
        pace = 1.0
    count = max(1, int(bars * pace))
    if kind == "loop":
        chords = _from_text(LOOPS["minor" if minor else "major"])(rng, scale, plan.tonic, count)
    else:
        # Patterns of 4 or 8 chords that come again make phrases; a walk of 16 would make none.
        period = min(count, int(rng.choice([4, 4, 8]))) if kind not in ("blues", "jazz") else count
        cell = HARMONIES[kind](rng, scale, plan.tonic, period)
        chords = [cell[k % period] for k in range(count)]
    names = {intervals: name for name, intervals in QUALITIES.items()}
    for index, chord in enumerate(chords):
        richer = _RICHER.get(names.get(chord.intervals, "none"))
        if richer and rng.random() < plan.colour:
            chord = chord._replace(intervals=QUALITIES[choose(rng, richer)])
        if rng.random() < plan.slash:
            chord = chord._replace(bass=choose(rng, chord.tones[:3]))
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
