"""What a guitarist can play. A pattern is a function `(rng, part)` that returns tones."""

from __future__ import annotations

from .chance import choose
from .chords import near
from .fretboard import Grips
from .melody import draw_line, draw_melody
from .rhythm import draw_hits, draw_rhythm
from .section import Part, Tone
from .voicings import draw_voicings


def guitar_strum(rng, part):
    """Strummed grips; down on the beat, up (fewer, softer, higher strings) off it."""
    grips, tones = Grips(rng, part), []
    hits = draw_hits(rng, part, density=min(1, part.density + 0.15))
    spread = rng.uniform(0.004, 0.022)
    for hit in hits:
        pitches = grips.at(hit.beat + (0.25 if hit.length >= 0.5 else 0))
        up = hit.beat % 1.0 > 0.2 and rng.random() < 0.7
        pitches = pitches[-int(rng.integers(2, 5)) :][::-1] if up else pitches
        for k, pitch in enumerate(pitches):
            soft = hit.accent * (0.8 if up else 1.0) * (1 - 0.03 * k)
            tones.append(Tone(hit.beat, hit.length, pitch, soft, k * spread))
    return tones


def guitar_arpeggio(rng, part):
    """A grip plucked string by string, let ring or not."""
    grips = Grips(rng, part)
    hits = draw_hits(
        rng,
        part,
        density=max(0.4, part.density),
        kind=choose(rng, ["grid", "grid", "triplet", "euclid"]),
    )
    count = int(rng.integers(3, 9))
    order = [int(rng.integers(0, 6)) for _ in range(count)]
    if rng.random() < 0.5:
        order = choose(
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
    tones = []
    for k, hit in enumerate(hits):
        pitches = grips.at(hit.beat)
        place = 0 if abs(hit.beat % part.section.meter.beats) < 1e-6 else order[k % len(order)]
        length = part.section.ring(hit.beat, hit.length, ring)
        tones.append(Tone(hit.beat, length, pitches[place % len(pitches)], hit.accent))
    return tones


def guitar_travis(rng, part):
    """Fingerpicking: the thumb alternates on low strings while the fingers play between."""
    grips, tones = Grips(rng, part), []
    meter = part.section.meter
    half = meter.pulse / 2 if meter.pulse == 1.0 else 0.5
    fingers = [rng.random() < 0.65 for _ in range(8)]
    for k in range(int(round(part.section.length / half))):
        beat = k * half
        pitches = grips.at(beat)
        if k % 2 == 0:
            thumb = pitches[0] if (k // 2) % 2 == 0 else pitches[min(1, len(pitches) - 1)]
            tones.append(Tone(beat, half * 2, thumb, 0.75))
        if fingers[k % 8]:
            tones.append(
                Tone(beat, half * 3, pitches[-1 - int(rng.integers(0, min(3, len(pitches))))], 0.6)
            )
    return tones


def guitar_power(rng, part):
    """Power chords: root, fifth, octave; short when muted by the palm."""
    hits = draw_hits(rng, part, density=min(1, part.density + 0.2))
    palm = rng.random() < 0.4
    tones = []
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
            tones.append(
                Tone(
                    hit.beat, hit.length * (1 if loud else 0.5), root + step, hit.accent, 0.004 * k
                )
            )
    return tones


def guitar_riff(rng, part):
    """A low figure of one or two bars on the pentatonic scale, moved with the chords or not."""
    figure = Part(part.section, rng.uniform(47, 57), part.density, part.shared, None, 40, 69)
    tones = draw_line(rng, figure, gap=0.05, leap=0.35, pentatonic=True)
    double = int(choose(rng, [0, 0, 7, 12]))
    return tones + [
        t._replace(pitch=t.pitch + double) for t in tones if double and rng.random() < 0.8
    ]


def guitar_lead(rng, part):
    """A lead line, high up, over nothing else: solo, fills between phrases."""
    high = Part(part.section, rng.uniform(62, 74), part.density, part.shared, part.tune, 50, 86)
    return draw_melody(rng, high, density=min(1, part.density + 0.1), pentatonic=rng.random() < 0.6)


def guitar_chops(rng, part):
    """Short muted stabs of three or four strings (funk, reggae, ska)."""
    kind = choose(rng, ["offbeat", "cell", "euclid", "weighted"])
    hits = draw_rhythm(rng, part.section, max(0.5, part.density), kind)
    low, tones = int(rng.integers(52, 60)), []
    narrow = Part(part.section, low + 7, part.density, None, None, low - 5, 80)
    short = rng.uniform(0.18, 0.4)
    voicings = draw_voicings(rng, narrow, hits, "close", int(rng.integers(3, 5)))
    for hit, pitches in zip(hits, voicings):
        for k, pitch in enumerate(pitches):
            tones.append(Tone(hit.beat, min(hit.length, short), pitch, hit.accent, 0.006 * k))
    return tones


def guitar_doublestops(rng, part):
    """A line in parallel thirds, sixths or fourths of the scale."""
    lead = Part(part.section, rng.uniform(55, 68), part.density, part.shared, part.tune, 45, 80)
    line = draw_melody(rng, lead, density=part.density)
    gap, tones = int(choose(rng, [2, 5, 3])), []
    for tone in line:
        allowed = part.section.scale_at(tone.beat)
        below = [p for p in range(tone.pitch - 12, tone.pitch) if p % 12 in allowed]
        tones.append(tone)
        if len(below) >= gap and below[-gap] >= 40:
            tones.append(tone._replace(pitch=below[-gap], accent=tone.accent * 0.9))
    return tones


def guitar_held(rng, part):
    """Chords struck once and held, in any piano-like voicing: ballads, jazz comping."""
    hits = draw_hits(rng, part, density=min(part.density, 0.3))
    narrow = Part(part.section, part.centre, part.density, None, None, 43, 79)
    spread = float(choose(rng, [0.0, 0.01, 0.03]))
    return [
        Tone(hit.beat, hit.length, pitch, hit.accent, k * spread)
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
