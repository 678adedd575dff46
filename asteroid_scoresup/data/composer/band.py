"""The band: who plays, on which program, with which habits."""

from __future__ import annotations

from dataclasses import dataclass, field

import pretty_midi

from .bass import BASS
from .guitar import GUITAR
from .melody import draw_melody
from .palette import OTHER_PROGRAMS
from .piano import PIANO, piano_hymn

PATTERNS = {"bass": BASS, "guitar": GUITAR, "piano": PIANO}
"""What each class can play: functions `(rng, part)` that return tones, with their weights."""

OTHER = {draw_melody: 2.0, piano_hymn: 1.0}
"""The same for players that belong to no class: they sing a tune, or hold chords."""


@dataclass
class Player:
    """One instrument of the band and the habits of its player."""

    kind: str
    instrument: pretty_midi.Instrument
    centre: float
    velocity: float
    spread: float  # of the velocities
    lag: float  # seconds behind the beat, or ahead of it
    taste: dict = field(default_factory=dict)  # weights of the patterns


def draw_band(rng, palette, drums, others=0):
    """The players, bass first; in a good part of the songs there are two of a kind.

    Args:
        rng (numpy.random.Generator): Source of chance.
        palette (Palette): Programs of the classes.
        drums (bool): Whether there is a drummer.
        others (int): How many players that belong to no class there are at most.

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
            # A player likes few patterns and knows them all.
            liking = rng.gamma(0.7, size=len(PATTERNS[kind])) + 0.08
            taste = {p: w * k for (p, w), k in zip(PATTERNS[kind].items(), liking)}
            band.append(
                Player(
                    kind=kind,
                    instrument=instrument,
                    centre=float(rng.uniform(low, high)),
                    velocity=float(rng.uniform(60, 105)),
                    spread=float(rng.uniform(2, 14)),
                    lag=float(rng.normal(0, 0.006)),
                    taste=taste,
                )
            )
    if drums:
        kit = pretty_midi.Instrument(program=0, is_drum=True, name="drums")
        band.append(Player("drums", kit, 0.0, float(rng.uniform(70, 100)), 8.0, 0.0))
    for index in range(int(rng.integers(others + 1)) if others else 0):
        instrument = pretty_midi.Instrument(
            int(rng.choice(OTHER_PROGRAMS)), name=f"other {index + 1}"
        )
        velocity, spread = float(rng.uniform(60, 105)), float(rng.uniform(2, 14))
        centre, lag = float(rng.uniform(58, 76)), float(rng.normal(0, 0.006))
        band.append(Player("other", instrument, centre, velocity, spread, lag, dict(OTHER)))
    return band
