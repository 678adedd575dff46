"""Pattern of the drums: kick, snare and cymbal."""

from __future__ import annotations

from numpy.random import Generator

from .rhythm import draw_rhythm
from .section import BeatNote, Section


def drum_notes(rng: Generator, section: Section) -> list[BeatNote]:
    """Kick and cymbal in random rhythms, and the snare on the backbeat."""
    meter, notes = section.meter, []
    cymbal = int(rng.choice([42, 51, 46]))
    for hit in draw_rhythm(rng, section, 0.6, "grid"):
        notes.append(BeatNote(hit.beat, 0.2, cymbal, 0.4 + 0.3 * hit.accent))
    for hit in draw_rhythm(rng, section, 0.4):
        notes.append(BeatNote(hit.beat, 0.2, 36, hit.accent))
    for k in range(int(round(section.length / meter.pulse))):
        if k % 2 == 1 or (meter.beats == 3.0 and meter.pulse == 1.0 and k % 3 == 2):
            notes.append(BeatNote(k * meter.pulse, 0.2, 38, 0.85))
    return notes
