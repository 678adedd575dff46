"""Single-note lines: melodies made of motifs, and fills at the end of a section."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator

from .rhythm import draw_hits
from .sampling import random_choice
from .section import BeatNote, Part


def draw_line(
    rng: Generator,
    part: Part,
    density: float | None = None,
    gap: float = 0.15,
    leap: float = 0.25,
    pentatonic: bool = False,
) -> list[BeatNote]:
    """Draws a line: motifs repeated over changing chords, with chord tones on strong beats.

    Args:
        rng (numpy.random.Generator): Random generator.
        part (Part): Section and register.
        density (float, optional): Density of notes, 0 to 1. Default: that of the part.
        gap (float): Probability that a note in the second half of a bar is a rest.
        leap (float): Probability of a leap instead of a step in the motif.
        pentatonic (bool): Whether to avoid half steps.

    Returns:
        list of BeatNote
    """
    section = part.section
    hits = draw_hits(
        rng, part, density, kind=random_choice(rng, ["weighted", "euclid", "cell", "grid"])
    )
    motif = [
        int(rng.choice([-1, 1, 0, 2, -2])) if rng.random() > leap else int(rng.integers(-5, 6))
        for _ in range(int(rng.integers(3, 9)))
    ]
    pitch, notes = part.center + rng.uniform(-4, 4), []
    for index, hit in enumerate(hits):
        position = hit.beat % section.meter.beats
        if position > section.meter.beats / 2 and rng.random() < gap:
            continue
        allowed = section.scale_at(hit.beat)
        if pentatonic and len(allowed) > 5:
            chord = section.chord_at(hit.beat).tones
            allowed = [p for p in allowed if p in chord or (p + 1) % 12 not in allowed]
        if section.meter.weight(position) > 0.5:
            allowed = list(section.chord_at(hit.beat).tones)
        ladder = [p for p in range(part.low, part.high + 1) if p % 12 in allowed]
        if not ladder:
            continue
        here = int(np.argmin([abs(p - pitch) for p in ladder]))
        here = int(np.clip(here + motif[index % len(motif)], 0, len(ladder) - 1))
        # A line that strays too far returns to its register.
        if abs(ladder[here] - part.center) > 14:
            here = int(np.argmin([abs(p - part.center) for p in ladder]))
        pitch = ladder[here]
        notes.append(BeatNote(hit.beat, hit.length, int(pitch), hit.accent))
        pitch += 0.15 * (part.center - pitch)
    return notes


def draw_melody(rng: Generator, part: Part, **options: Any) -> list[BeatNote]:
    """The tune of the section, in unison or octaves, or a line of its own.

    Args:
        rng (numpy.random.Generator): Random generator.
        part (Part): Section and register.
        **options: See :func:`draw_line`.

    Returns:
        list of BeatNote
    """
    if part.tune and rng.random() < 0.4:
        shift = int(random_choice(rng, [0, -12, 12], [0.5, 0.25, 0.25]))
        moved = [tone._replace(pitch=tone.pitch + shift) for tone in part.tune]
        return [tone for tone in moved if part.low <= tone.pitch <= part.high]
    return draw_line(rng, part, **options)


def add_fill(rng: Generator, part: Part, notes: list[BeatNote]) -> list[BeatNote]:
    """Replaces the end of a section by a run, which may rise into a higher register.

    Args:
        rng (numpy.random.Generator): Random generator.
        part (Part): Section and register.
        notes (list of BeatNote): Notes of the section, sorted.

    Returns:
        list of BeatNote
    """
    section = part.section
    length = float(random_choice(rng, [1.0, 1.5, 2.0]))
    begin = section.length - length
    step = 0.25 if section.tempo < 110 else 0.5
    allowed = section.scale_at(begin)
    ladder = [p for p in range(part.low, part.high + 1) if p % 12 in allowed]
    kept = [t for t in notes if t.beat < begin - 1e-6]
    kept = [t._replace(length=min(t.length, begin - t.beat)) for t in kept]
    count = max(2, int(round(length / step)))
    last = kept[-1].pitch if kept else part.center
    place = int(np.argmin([abs(p - last) for p in ladder]))
    direction = 1 if rng.random() < 0.75 else -1
    for k in range(count):
        kept.append(BeatNote(begin + k * step, step * 0.95, ladder[place], 0.6 + 0.03 * k))
        place = int(
            np.clip(place + direction * int(rng.choice([1, 1, 2, 3, -1])), 0, len(ladder) - 1)
        )
    return kept
