"""The band: its players, with their programs and playing styles."""

from __future__ import annotations

from dataclasses import dataclass, field

import pretty_midi
from numpy.random import Generator

from .bass import BASS
from .guitar import GUITAR
from .melody import draw_melody
from .palette import OTHER_PROGRAMS, Palette
from .piano import PIANO, piano_hymn

PATTERNS = {"bass": BASS, "guitar": GUITAR, "piano": PIANO}
"""Patterns of each class, functions `(rng, part)` that return notes, with their weights."""

OTHER = {draw_melody: 2.0, piano_hymn: 1.0}
"""Patterns of players outside the classes: a melody, or sustained chords."""


@dataclass
class Player:
    """One instrument of the band, and the style of its player."""

    kind: str
    instrument: pretty_midi.Instrument
    center: float  # MIDI note number around which to play
    velocity: float
    velocity_std: float
    delay: float  # seconds behind the beat; negative: ahead of it
    preferences: dict = field(default_factory=dict)  # weights of the patterns


def draw_band(rng: Generator, palette: Palette, drums: bool, others: int = 0) -> list[Player]:
    """Draws the players, bass first; some songs have two guitars or two pianos.

    Args:
        rng (numpy.random.Generator): Random generator.
        palette (Palette): Available programs of the classes, and drum kits.
        drums (bool): Whether to add a drummer.
        others (int): Largest number of players outside the classes.

    Returns:
        list of Player
    """
    counts = {
        "bass": 1,
        "guitar": 2 if rng.random() < 0.2 else 1,
        "piano": 2 if rng.random() < 0.12 else 1,
    }
    band = []
    for kind, count in counts.items():
        programs = list(getattr(palette, kind))
        chosen = rng.permutation(programs)[:count].tolist()
        chosen += [int(rng.choice(programs)) for _ in range(count - len(chosen))]
        for index, program in enumerate(chosen):
            name = kind if index == 0 else f"{kind} {index + 1}"
            instrument = pretty_midi.Instrument(program=int(program), name=name)
            low, high = {"bass": (34, 41), "guitar": (48, 64), "piano": (55, 72)}[kind]
            # A player prefers a few patterns, but knows all of them.
            preference = rng.gamma(0.7, size=len(PATTERNS[kind])) + 0.08
            preferences = {p: w * k for (p, w), k in zip(PATTERNS[kind].items(), preference)}
            band.append(
                Player(
                    kind=kind,
                    instrument=instrument,
                    center=float(rng.uniform(low, high)),
                    velocity=float(rng.uniform(60, 105)),
                    velocity_std=float(rng.uniform(2, 14)),
                    delay=float(rng.normal(0, 0.006)),
                    preferences=preferences,
                )
            )
    if drums:
        program = int(rng.choice(palette.kits))
        kit = pretty_midi.Instrument(program, is_drum=True, name="drums")
        band.append(Player("drums", kit, 0.0, float(rng.uniform(70, 100)), 8.0, 0.0))
    for index in range(int(rng.integers(others + 1)) if others else 0):
        instrument = pretty_midi.Instrument(
            int(rng.choice(OTHER_PROGRAMS)), name=f"other {index + 1}"
        )
        velocity, velocity_std = float(rng.uniform(60, 105)), float(rng.uniform(2, 14))
        center, delay = float(rng.uniform(58, 76)), float(rng.normal(0, 0.006))
        band.append(Player("other", instrument, center, velocity, velocity_std, delay, dict(OTHER)))
    return band
