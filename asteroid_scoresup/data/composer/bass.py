"""What a bassist can play. A pattern is a function `(rng, part)` that returns tones."""

from __future__ import annotations

import numpy as np

from .chance import choose
from .chords import near
from .melody import draw_line
from .rhythm import draw_hits
from .section import Part, Tone


def _bass_note(part, beat, around=None, ahead=0.0):
    """The chord's bass note near `around` (by default the part's centre)."""
    section = part.section
    chord = section.chord_at(min(beat + ahead, section.length - 0.01))
    around = part.centre if around is None else around
    return near(chord.bass, around, part.low, min(part.high, 52))


def bass_roots(rng, part):
    """Roots in any rhythm, with now and then another chord tone or octave."""
    hits = draw_hits(rng, part)
    spice, tones = float(choose(rng, [0.0, 0.1, 0.3])), []
    for hit in hits:
        pitch = _bass_note(part, hit.beat, ahead=0.25 if hit.length >= 0.5 else 0)
        if rng.random() < spice and hit.beat % part.section.meter.beats > 1e-6:
            tone = choose(rng, part.section.chord_at(hit.beat).tones)
            pitch = near(tone, pitch + rng.integers(-5, 9), part.low, part.high)
        tones.append(Tone(hit.beat, hit.length, pitch, hit.accent))
    return tones


def bass_octaves(rng, part):
    """Root and octave in turn (disco), or root-root-octave."""
    cycle = choose(rng, [(0, 12), (0, 0, 12), (0, 12, 0, 7), (0, 0, 12, 10)])
    hits = draw_hits(rng, part, kind=choose(rng, ["grid", "cell", "pulse"]))
    roots = [_bass_note(part, hit.beat, 33) for hit in hits]
    return [
        Tone(hit.beat, hit.length * 0.85, root + cycle[k % len(cycle)], hit.accent)
        for k, (hit, root) in enumerate(zip(hits, roots))
    ]


def bass_walking(rng, part):
    """A note a beat: chord tone on the change, scale between, a neighbour into the next chord."""
    section, tones, pitch = part.section, [], part.centre
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
                aim = pitch + rng.choice([-2, 2, 3, -3, 4, 5]) + 0.2 * (part.centre - pitch)
                pitch = near(choose(rng, allowed), aim, part.low, part.high)
            pitch = int(np.clip(pitch, part.low, part.high))
            beat = start + k * pulse
            if pulse >= 1 and rng.random() < 0.08:  # a skipped note
                tones.append(Tone(beat + pulse / 2, pulse / 2, pitch, 0.5))
            tones.append(Tone(beat, pulse * 0.95, pitch, 0.7))
    return tones


def bass_fifths(rng, part):
    """Root and fifth (country, bossa, waltz)."""
    hits = draw_hits(rng, part, density=min(part.density, 0.4), kind=choose(rng, ["pulse", "cell"]))
    low, tones = rng.random() < 0.5, []
    for k, hit in enumerate(hits):
        root = _bass_note(part, hit.beat)
        fifth = root - 5 if low and root - 5 >= part.low else root + 7
        chord = part.section.chord_at(hit.beat)
        # In a diminished or inverted chord the fifth above the bass may be no chord tone.
        fifth = fifth if fifth % 12 in chord.tones else root
        tones.append(Tone(hit.beat, hit.length, root if k % 2 == 0 else fifth, hit.accent))
    return tones


def bass_arpeggio(rng, part):
    """Chord tones up and down."""
    hits = draw_hits(rng, part, density=min(1, part.density + 0.2))
    shape = choose(
        rng, [(0, 1, 2, 1), (0, 2, 3, 2), (0, 1, 2, 3), (0, 2, 1, 2), (0, 2, 3, 4, 3, 2)]
    )
    tones = []
    for k, hit in enumerate(hits):
        root = _bass_note(part, hit.beat, 34)
        chord = part.section.chord_at(hit.beat)
        ladder = [p for p in range(root, part.high + 1) if p % 12 in chord.tones] or [root]
        pitch = ladder[min(shape[k % len(shape)], len(ladder) - 1)]
        tones.append(Tone(hit.beat, hit.length, pitch, hit.accent))
    return tones


def bass_pedal(rng, part):
    """One note under changing chords."""
    tonic = near(part.section.scale[0], part.centre, part.low, 48)
    octave = rng.random() < 0.3
    hits = draw_hits(rng, part)
    return [
        Tone(h.beat, h.length, tonic + (12 if octave and k % 4 == 3 else 0), h.accent)
        for k, h in enumerate(hits)
    ]


def bass_riff(rng, part):
    """A figure of intervals above the root that follows the chords, as in rock, funk or boogie."""
    count = int(rng.integers(3, 8))
    steps = choose(
        rng, [(0, 3, 5, 7, 10, 12), (0, 4, 7, 9, 10, 12), (0, 2, 7, 12, -5), (0, -2, -5, 3, 7)]
    )
    figure = [0] + [int(rng.choice(steps)) for _ in range(count - 1)]
    hits = draw_hits(rng, part, kind=choose(rng, ["cell", "weighted", "euclid", "grid"]))
    tones, index = [], 0
    for hit in hits:
        index = 0 if hit.beat % part.section.meter.beats < 1e-6 else index + 1
        step = figure[index % count]
        if step in (3, 4):  # the figure's third is that of the chord
            chord = part.section.chord_at(hit.beat)
            step = 4 if (chord.root + 4) % 12 in chord.tones else 3
        pitch = int(np.clip(_bass_note(part, hit.beat, 36) + step, part.low, part.high))
        tones.append(Tone(hit.beat, hit.length, pitch, hit.accent))
    return tones


def bass_line(rng, part):
    """A melodic line low down, that lands on roots."""
    lower = Part(part.section, 42, part.density, part.shared, None, part.low, part.high)
    tones = draw_line(rng, lower, gap=0.05, leap=0.15)
    starts = {round(start, 3) for start, _ in part.section.chords}
    return [
        t._replace(pitch=_bass_note(part, t.beat)) if round(t.beat, 3) in starts else t
        for t in tones
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
