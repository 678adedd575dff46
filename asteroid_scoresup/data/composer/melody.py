"""Single-note lines: melodies made of motifs, and the runs that end a section."""

from __future__ import annotations

import numpy as np

from .chance import choose
from .rhythm import draw_hits
from .section import Tone


def draw_line(rng, part, density=None, gap=0.15, leap=0.25, pentatonic=False):
    """A single-note line: motifs that come again on other chords, chord tones on strong beats.

    Args:
        rng (numpy.random.Generator): Source of chance.
        part (Part): Section and register.
        density (float, optional): How busy, 0 to 1.
        gap (float): Probability that a bar ends in a rest.
        leap (float): Probability of a leap instead of a step.
        pentatonic (bool): Leave the half steps out.

    Returns:
        list of Tone: The line.
    """
    section = part.section
    hits = draw_hits(rng, part, density, kind=choose(rng, ["weighted", "euclid", "cell", "grid"]))
    motif = [
        int(rng.choice([-1, 1, 0, 2, -2])) if rng.random() > leap else int(rng.integers(-5, 6))
        for _ in range(int(rng.integers(3, 9)))
    ]
    pitch, tones = part.centre + rng.uniform(-4, 4), []
    for index, hit in enumerate(hits):
        position = hit.beat % section.meter.beats
        if position > section.meter.beats / 2 and rng.random() < gap:
            continue
        allowed = section.scale_at(hit.beat)
        if pentatonic and len(allowed) > 5:
            chord = section.chord_at(hit.beat).tones
            allowed = [p for p in allowed if p in chord or (p + 1) % 12 not in allowed]
        if section.meter.weight(position) > 0.5:
            allowed = section.chord_at(hit.beat).tones
        ladder = [p for p in range(part.low, part.high + 1) if p % 12 in allowed]
        if not ladder:
            continue
        here = int(np.argmin([abs(p - pitch) for p in ladder]))
        here = int(np.clip(here + motif[index % len(motif)], 0, len(ladder) - 1))
        # The line is drawn back to its register before it runs out of it.
        if abs(ladder[here] - part.centre) > 14:
            here = int(np.argmin([abs(p - part.centre) for p in ladder]))
        pitch = ladder[here]
        tones.append(Tone(hit.beat, hit.length, int(pitch), hit.accent))
        pitch += 0.15 * (part.centre - pitch)
    return tones


def draw_melody(rng, part, **options):
    """The section's tune, doubled as it is or in thirds or octaves, or a line of one's own."""
    if part.tune and rng.random() < 0.4:
        shift = int(choose(rng, [0, -12, 12], [0.5, 0.25, 0.25]))
        moved = [tone._replace(pitch=tone.pitch + shift) for tone in part.tune]
        return [tone for tone in moved if part.low <= tone.pitch <= part.high]
    return draw_line(rng, part, **options)


def add_fill(rng, part, tones):
    """Replaces the end of a section by a run; a bass run rises into the guitar's register."""
    section = part.section
    length = float(choose(rng, [1.0, 1.5, 2.0]))
    begin = section.length - length
    step = 0.25 if section.tempo < 110 else 0.5
    allowed = section.scale_at(begin)
    ladder = [p for p in range(part.low, part.high + 1) if p % 12 in allowed]
    kept = [t for t in tones if t.beat < begin - 1e-6]
    kept = [t._replace(length=min(t.length, begin - t.beat)) for t in kept]
    count = max(2, int(round(length / step)))
    last = kept[-1].pitch if kept else part.centre
    place = int(np.argmin([abs(p - last) for p in ladder]))
    way = 1 if rng.random() < 0.75 else -1
    for k in range(count):
        tone = Tone(begin + k * step, step * 0.95, ladder[place], 0.6 + 0.03 * k)
        kept.append(tone)
        place = int(np.clip(place + way * int(rng.choice([1, 1, 2, 3, -1])), 0, len(ladder) - 1))
    return kept
