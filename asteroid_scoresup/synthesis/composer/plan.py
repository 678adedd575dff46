"""Plans: the properties of a whole song, and of all sections of one letter of its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from .chords import Chord
from .harmony import HARMONIES, MODE_WEIGHTS, MODES, draw_chords
from .meter import METER_WEIGHTS, METERS, Meter
from .sampling import random_choice

if TYPE_CHECKING:
    from .band import Player

FORMS = ("AABA", "ABAB", "ABACA", "IABABCB", "IAABAAB", "ABCABC", "AAB", "ABCB", "IABCD", "AABB")


@dataclass
class SongPlan:
    """The properties of a whole song."""

    meter: Meter
    tempo: float  # quarter notes a minute
    tonic: int  # pitch class
    mode: str
    harmony: str
    richness: float  # probability that notes are added to a plain chord
    slash: float  # probability of a bass note other than the root
    swing: float  # position of the offbeat in the beat, as a fraction; 0.5 is straight
    density: float
    timing_std: float  # standard deviation of onsets, in seconds
    drift: float  # relative drift of the tempo


def draw_plan(rng: Generator) -> SongPlan:
    """Draws the plan of a song.

    Args:
        rng (numpy.random.Generator): Random generator.

    Returns:
        SongPlan
    """
    meter = random_choice(rng, METERS, METER_WEIGHTS)
    low, high = (60, 180) if meter.pulse == 1.0 else (90, 180)
    tempo = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    swings = rng.random() < 0.28 and meter.pulse == 1.0
    return SongPlan(
        meter=meter,
        tempo=tempo,
        tonic=int(rng.integers(12)),
        mode=random_choice(rng, MODES, MODE_WEIGHTS),
        harmony=random_choice(rng, ["loop", *HARMONIES], [4, 2, 1.2, 0.7, 0.9, 0.6, 0.8, 1.1, 1.5]),
        richness=float(random_choice(rng, [0.0, 0.1, 0.35, 0.8], [0.35, 0.25, 0.25, 0.15])),
        slash=float(random_choice(rng, [0.0, 0.08, 0.25], [0.5, 0.35, 0.15])),
        swing=float(rng.uniform(0.55, 0.68)) if swings else 0.5,
        density=float(rng.beta(1.5, 3.5)),
        timing_std=float(random_choice(rng, [0.0, 0.003, 0.007, 0.012], [0.15, 0.3, 0.4, 0.15])),
        drift=float(random_choice(rng, [0.0, 0.01, 0.03])),
    )


@dataclass
class Arrangement:
    """The content that all sections of one letter of the form share (A, B, the bridge...)."""

    bars: int
    chords: list[tuple[float, Chord]]
    density: float
    energy: float
    shared_seed: int | None
    tune_seed: int | None
    patterns: list[list | None]  # one [pattern, seed] per player; None for a player who rests


def draw_arrangement(
    rng: Generator, plan: SongPlan, band: Sequence[Player], letter: str, may_rest: bool
) -> Arrangement:
    """Draws the chords and the patterns of all players for one letter of the form.

    Args:
        rng (numpy.random.Generator): Random generator.
        plan (SongPlan): The song's plan.
        band (list of Player): The players.
        letter (str): Letter of the form: ``I`` is the intro; ``C`` and ``D`` may change key.
        may_rest (bool): Whether a player may rest.

    Returns:
        Arrangement
    """
    bars = random_choice(rng, [4, 8], [0.55, 0.45])
    if letter == "I":
        bars = random_choice(rng, [2, 4, 8], [0.2, 0.6, 0.2])
    if plan.harmony == "blues" and letter != "I" and plan.tempo > 100:
        bars = 12
    chords = draw_chords(rng, plan, bars)
    if letter in "CD" and rng.random() < 0.3:  # the bridge is in another key
        shift = int(rng.choice([2, 3, 5, 7, 9]))
        chords = [(start, chord.transposed(shift)) for start, chord in chords]
    patterns: list[list | None] = []
    for player in band:
        pattern = (
            random_choice(rng, player.preferences, player.preferences.values())
            if player.preferences
            else None
        )
        patterns.append([pattern, int(rng.integers(2**62))])
    if may_rest and rng.random() < (0.5 if letter == "I" else 0.12):
        resting = int(rng.integers(len(band)))
        patterns[resting] = None
    return Arrangement(
        bars=bars,
        chords=chords,
        density=float(np.clip(plan.density + rng.normal(0, 0.18), 0.05, 1)),
        energy=float(rng.uniform(0.82, 1.12)),
        shared_seed=int(rng.integers(2**62)) if rng.random() < 0.6 else None,
        tune_seed=int(rng.integers(2**62)) if rng.random() < 0.5 else None,
        patterns=patterns,
    )
