"""Patterns of the guitar: functions `(rng, part)` that return notes."""

from __future__ import annotations

from numpy.random import Generator

from .chords import near
from .fretboard import FrettedVoicings
from .melody import draw_line, draw_melody
from .rhythm import draw_hits, draw_rhythm
from .sampling import random_choice
from .section import BeatNote, Part
from .voicings import draw_voicings


def guitar_strum(rng: Generator, part: Part) -> list[BeatNote]:
    """Strummed chords: down on the beat, up (fewer, softer, higher strings) off the beat."""
    fretted, notes = FrettedVoicings(rng, part), []
    hits = draw_hits(rng, part, density=min(1, part.density + 0.15))
    spread = rng.uniform(0.004, 0.022)
    for hit in hits:
        pitches = fretted.at(hit.beat + (0.25 if hit.length >= 0.5 else 0))
        up = hit.beat % 1.0 > 0.2 and rng.random() < 0.7
        pitches = pitches[-int(rng.integers(2, 5)) :][::-1] if up else pitches
        for k, pitch in enumerate(pitches):
            soft = hit.accent * (0.8 if up else 1.0) * (1 - 0.03 * k)
            notes.append(BeatNote(hit.beat, hit.length, pitch, soft, k * spread))
    return notes


def guitar_arpeggio(rng: Generator, part: Part) -> list[BeatNote]:
    """A chord plucked string by string, ringing or not."""
    fretted = FrettedVoicings(rng, part)
    hits = draw_hits(
        rng,
        part,
        density=max(0.4, part.density),
        kind=random_choice(rng, ["grid", "grid", "triplet", "euclid"]),
    )
    count = int(rng.integers(3, 9))
    order = [int(rng.integers(0, 6)) for _ in range(count)]
    if rng.random() < 0.5:
        order = random_choice(
            rng,
            [
                [0, 1, 2, 3],
                [0, 2, 1, 3],
                [0, 3, 2, 1],
                [0, 1, 2, 3, 4, 3, 2, 1],
                [0, 2, 3, 4, 3, 2],
            ],
        )
    ring = rng.uniform(1.0, 4.0)
    notes = []
    for k, hit in enumerate(hits):
        pitches = fretted.at(hit.beat)
        place = 0 if abs(hit.beat % part.section.meter.beats) < 1e-6 else order[k % len(order)]
        length = part.section.ring(hit.beat, hit.length, ring)
        notes.append(BeatNote(hit.beat, length, pitches[place % len(pitches)], hit.accent))
    return notes


def guitar_travis(rng: Generator, part: Part) -> list[BeatNote]:
    """Fingerpicking: the thumb alternates on low strings, the fingers play in between."""
    fretted, notes = FrettedVoicings(rng, part), []
    meter = part.section.meter
    half = meter.pulse / 2 if meter.pulse == 1.0 else 0.5
    fingers = [rng.random() < 0.65 for _ in range(8)]
    for k in range(int(round(part.section.length / half))):
        beat = k * half
        pitches = fretted.at(beat)
        if k % 2 == 0:
            thumb = pitches[0] if (k // 2) % 2 == 0 else pitches[min(1, len(pitches) - 1)]
            notes.append(BeatNote(beat, half * 2, thumb, 0.75))
        if fingers[k % 8]:
            notes.append(
                BeatNote(
                    beat, half * 3, pitches[-1 - int(rng.integers(0, min(3, len(pitches))))], 0.6
                )
            )
    return notes


def guitar_power(rng: Generator, part: Part) -> list[BeatNote]:
    """Power chords: root, fifth, octave; short when palm-muted."""
    hits = draw_hits(rng, part, density=min(1, part.density + 0.2))
    palm = rng.random() < 0.4
    notes = []
    for hit in hits:
        chord = part.section.chord_at(min(hit.beat + 0.25, part.section.length - 0.01))
        root = near(chord.root, 45, 40, 55)
        loud = hit.accent > 0.75 or not palm
        fifth = (
            6
            if (chord.root + 6) % 12 in chord.tones and (chord.root + 7) % 12 not in chord.tones
            else 7
        )
        for k, step in enumerate((0, fifth, 12)[: 3 if loud else 2]):
            notes.append(
                BeatNote(
                    hit.beat, hit.length * (1 if loud else 0.5), root + step, hit.accent, 0.004 * k
                )
            )
    return notes


def guitar_riff(rng: Generator, part: Part) -> list[BeatNote]:
    """A low pentatonic figure, perhaps doubled in fifths or octaves."""
    figure = Part(part.section, rng.uniform(47, 57), part.density, part.shared, None, 40, 69)
    notes = draw_line(rng, figure, gap=0.05, leap=0.35, pentatonic=True)
    double = int(random_choice(rng, [0, 0, 7, 12]))
    return notes + [
        t._replace(pitch=t.pitch + double) for t in notes if double and rng.random() < 0.8
    ]


def guitar_lead(rng: Generator, part: Part) -> list[BeatNote]:
    """A high lead line: a solo, or fills between phrases."""
    high = Part(part.section, rng.uniform(62, 74), part.density, part.shared, part.tune, 50, 86)
    return draw_melody(rng, high, density=min(1, part.density + 0.1), pentatonic=rng.random() < 0.6)


def guitar_chops(rng: Generator, part: Part) -> list[BeatNote]:
    """Short muted stabs of three or four strings (funk, reggae, ska)."""
    kind = random_choice(rng, ["offbeat", "cell", "euclid", "weighted"])
    hits = draw_rhythm(rng, part.section, max(0.5, part.density), kind)
    low, notes = int(rng.integers(52, 60)), []
    narrow = Part(part.section, low + 7, part.density, None, None, low - 5, 80)
    short = rng.uniform(0.18, 0.4)
    voicings = draw_voicings(rng, narrow, hits, "close", int(rng.integers(3, 5)))
    for hit, pitches in zip(hits, voicings):
        for k, pitch in enumerate(pitches):
            notes.append(BeatNote(hit.beat, min(hit.length, short), pitch, hit.accent, 0.006 * k))
    return notes


def guitar_doublestops(rng: Generator, part: Part) -> list[BeatNote]:
    """A melody in parallel thirds, fourths or sixths of the scale."""
    lead = Part(part.section, rng.uniform(55, 68), part.density, part.shared, part.tune, 45, 80)
    line = draw_melody(rng, lead, density=part.density)
    gap, notes = int(random_choice(rng, [2, 5, 3])), []
    for note in line:
        allowed = part.section.scale_at(note.beat)
        below = [p for p in range(note.pitch - 12, note.pitch) if p % 12 in allowed]
        notes.append(note)
        if len(below) >= gap and below[-gap] >= 40:
            notes.append(note._replace(pitch=below[-gap], accent=note.accent * 0.9))
    return notes


def guitar_held(rng: Generator, part: Part) -> list[BeatNote]:
    """Sustained chords in keyboard-like voicings: ballads, jazz comping."""
    hits = draw_hits(rng, part, density=min(part.density, 0.3))
    narrow = Part(part.section, part.center, part.density, None, None, 43, 79)
    spread = float(random_choice(rng, [0.0, 0.01, 0.03]))
    return [
        BeatNote(hit.beat, hit.length, pitch, hit.accent, k * spread)
        for hit, pitches in zip(hits, draw_voicings(rng, narrow, hits))
        for k, pitch in enumerate(pitches)
    ]


GUITAR = {
    guitar_strum: 1.2,
    guitar_arpeggio: 1.5,
    guitar_travis: 0.8,
    guitar_power: 1.0,
    guitar_riff: 1.6,
    guitar_lead: 1.8,
    guitar_chops: 0.7,
    guitar_doublestops: 0.7,
    guitar_held: 0.7,
}
