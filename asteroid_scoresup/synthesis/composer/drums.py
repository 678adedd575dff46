"""Pattern of the drums: kick, snare, cymbals, and fills."""

from __future__ import annotations

from numpy.random import Generator

from .rhythm import draw_rhythm
from .section import BeatNote, Section

#: Keys of General MIDI that a section can use. Closed hi-hat, ride and open hi-hat; bass drums;
#: snares, side stick and hand clap; toms from high to low; crashes.
CYMBALS, KICKS, SNARES = (42, 51, 46), (36, 35), (38, 40, 37, 39)
TOMS, CRASHES = (50, 48, 47, 45, 43, 41), (49, 57)


def drum_notes(rng: Generator, section: Section) -> list[BeatNote]:
    """Kick and cymbal in random rhythms, the snare on the backbeat, sometimes a crash at the start
    and a fill at the end."""
    meter, notes = section.meter, []
    cymbal, kick = int(rng.choice(CYMBALS)), int(rng.choice(KICKS))
    snare = int(rng.choice(SNARES, p=(0.6, 0.2, 0.1, 0.1)))
    beats = int(round(section.length / meter.pulse))
    fill = beats - 1 if rng.random() < 0.5 else beats
    for hit in draw_rhythm(rng, section, 0.6, "grid"):
        notes.append(BeatNote(hit.beat, 0.2, cymbal, 0.4 + 0.3 * hit.accent))
    for hit in draw_rhythm(rng, section, 0.4):
        notes.append(BeatNote(hit.beat, 0.2, kick, hit.accent))
    for k in range(fill):
        if k % 2 == 1 or (meter.beats == 3.0 and meter.pulse == 1.0 and k % 3 == 2):
            notes.append(BeatNote(k * meter.pulse, 0.2, snare, 0.85))
    if fill < beats:
        # Down the toms in quarters of the last beat.
        for k, tom in enumerate(sorted(rng.choice(TOMS, 4, replace=False), reverse=True)):
            notes.append(BeatNote((fill + k / 4) * meter.pulse, 0.2, int(tom), 0.7 + 0.05 * k))
    if rng.random() < 0.4:
        notes.append(BeatNote(0.0, 0.2, int(rng.choice(CRASHES)), 0.9))
    return notes
