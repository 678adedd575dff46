"""Patterns of the bass: functions `(rng, part)` that return notes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .chords import near
from .melody import draw_line
from .rhythm import draw_hits
from .sampling import random_choice
from .section import BeatNote, Part


def _bass_note(part: Part, beat: float, around: float | None = None, ahead: float = 0.0) -> int:
    """The bass note of the chord, near `around` (default: the center of the part)."""
    section = part.section
    chord = section.chord_at(min(beat + ahead, section.length - 0.01))
    around = part.center if around is None else around
    return near(chord.bass, around, part.low, min(part.high, 52))


def bass_roots(rng: Generator, part: Part) -> list[BeatNote]:
    """Roots in any rhythm, with an occasional other chord tone or octave."""
    hits = draw_hits(rng, part)
    spice, notes = float(random_choice(rng, [0.0, 0.1, 0.3])), []
    for hit in hits:
        pitch = _bass_note(part, hit.beat, ahead=0.25 if hit.length >= 0.5 else 0)
        if rng.random() < spice and hit.beat % part.section.meter.beats > 1e-6:
            tone = random_choice(rng, part.section.chord_at(hit.beat).tones)
            pitch = near(tone, pitch + int(rng.integers(-5, 9)), part.low, part.high)
        notes.append(BeatNote(hit.beat, hit.length, pitch, hit.accent))
    return notes


def bass_octaves(rng: Generator, part: Part) -> list[BeatNote]:
    """Alternating root and octave (disco), or root-root-octave."""
    cycle = random_choice(rng, [(0, 12), (0, 0, 12), (0, 12, 0, 7), (0, 0, 12, 10)])
    hits = draw_hits(rng, part, kind=random_choice(rng, ["grid", "cell", "pulse"]))
    roots = [_bass_note(part, hit.beat, 33) for hit in hits]
    return [
        BeatNote(hit.beat, hit.length * 0.85, root + cycle[k % len(cycle)], hit.accent)
        for k, (hit, root) in enumerate(zip(hits, roots))
    ]


def bass_walking(rng: Generator, part: Part) -> list[BeatNote]:
    """One note per beat: a chord tone on the change, then scale tones up to the next chord."""
    section, notes, pitch = part.section, [], part.center
    pulse = section.meter.pulse if section.meter.pulse == 1.0 else 0.5 * int(rng.choice([1, 3]))
    for start, length, chord, following in section.spans():
        count = max(1, int(round(length / pulse)))
        goal = near(following.bass, pitch, part.low, part.high)
        pitch = near(chord.bass, pitch, part.low, part.high)
        for k in range(count):
            if k == count - 1 and count > 1:
                pitch = goal + int(rng.choice([-1, 1, 2, -2, 7, -5]))
            elif k:
                allowed = section.scale_at(start) if k % 2 else chord.tones
                aim = pitch + rng.choice([-2, 2, 3, -3, 4, 5]) + 0.2 * (part.center - pitch)
                pitch = near(random_choice(rng, allowed), aim, part.low, part.high)
            pitch = int(np.clip(pitch, part.low, part.high))
            beat = start + k * pulse
            if pulse >= 1 and rng.random() < 0.08:  # a skipped note
                notes.append(BeatNote(beat + pulse / 2, pulse / 2, pitch, 0.5))
            notes.append(BeatNote(beat, pulse * 0.95, pitch, 0.7))
    return notes


def bass_fifths(rng: Generator, part: Part) -> list[BeatNote]:
    """Root and fifth (country, bossa, waltz)."""
    hits = draw_hits(
        rng, part, density=min(part.density, 0.4), kind=random_choice(rng, ["pulse", "cell"])
    )
    low, notes = rng.random() < 0.5, []
    for k, hit in enumerate(hits):
        root = _bass_note(part, hit.beat)
        fifth = root - 5 if low and root - 5 >= part.low else root + 7
        chord = part.section.chord_at(hit.beat)
        # In a diminished or inverted chord the fifth above the bass may not be a chord tone.
        fifth = fifth if fifth % 12 in chord.tones else root
        notes.append(BeatNote(hit.beat, hit.length, root if k % 2 == 0 else fifth, hit.accent))
    return notes


def bass_arpeggio(rng: Generator, part: Part) -> list[BeatNote]:
    """Chord notes up and down."""
    hits = draw_hits(rng, part, density=min(1, part.density + 0.2))
    shape = random_choice(
        rng, [(0, 1, 2, 1), (0, 2, 3, 2), (0, 1, 2, 3), (0, 2, 1, 2), (0, 2, 3, 4, 3, 2)]
    )
    notes = []
    for k, hit in enumerate(hits):
        root = _bass_note(part, hit.beat, 34)
        chord = part.section.chord_at(hit.beat)
        ladder = [p for p in range(root, part.high + 1) if p % 12 in chord.tones] or [root]
        pitch = ladder[min(shape[k % len(shape)], len(ladder) - 1)]
        notes.append(BeatNote(hit.beat, hit.length, pitch, hit.accent))
    return notes


def bass_pedal(rng: Generator, part: Part) -> list[BeatNote]:
    """Pedal point: one note under changing chords."""
    tonic = near(part.section.scale[0], part.center, part.low, 48)
    octave = rng.random() < 0.3
    hits = draw_hits(rng, part)
    return [
        BeatNote(h.beat, h.length, tonic + (12 if octave and k % 4 == 3 else 0), h.accent)
        for k, h in enumerate(hits)
    ]


def bass_riff(rng: Generator, part: Part) -> list[BeatNote]:
    """A figure of intervals above the root that follows the chords, as in rock, funk or boogie."""
    count = int(rng.integers(3, 8))
    steps = random_choice(
        rng, [(0, 3, 5, 7, 10, 12), (0, 4, 7, 9, 10, 12), (0, 2, 7, 12, -5), (0, -2, -5, 3, 7)]
    )
    figure = [0] + [int(rng.choice(steps)) for _ in range(count - 1)]
    hits = draw_hits(rng, part, kind=random_choice(rng, ["cell", "weighted", "euclid", "grid"]))
    notes, index = [], 0
    for hit in hits:
        index = 0 if hit.beat % part.section.meter.beats < 1e-6 else index + 1
        step = figure[index % count]
        if step in (3, 4):  # use the third of the chord
            chord = part.section.chord_at(hit.beat)
            step = 4 if (chord.root + 4) % 12 in chord.tones else 3
        pitch = int(np.clip(_bass_note(part, hit.beat, 36) + step, part.low, part.high))
        notes.append(BeatNote(hit.beat, hit.length, pitch, hit.accent))
    return notes


def bass_line(rng: Generator, part: Part) -> list[BeatNote]:
    """A low melodic line that lands on roots."""
    lower = Part(part.section, 42, part.density, part.shared, None, part.low, part.high)
    notes = draw_line(rng, lower, gap=0.05, leap=0.15)
    starts = {round(start, 3) for start, _ in part.section.chords}
    return [
        t._replace(pitch=_bass_note(part, t.beat)) if round(t.beat, 3) in starts else t
        for t in notes
    ]


BASS = {
    bass_roots: 2.0,
    bass_octaves: 0.8,
    bass_walking: 1.0,
    bass_fifths: 0.9,
    bass_arpeggio: 1.0,
    bass_pedal: 0.4,
    bass_riff: 1.3,
    bass_line: 0.8,
}
