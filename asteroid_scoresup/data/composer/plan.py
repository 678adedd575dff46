"""Plans: what holds for a whole song, and for every section of one letter of its form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .chance import choose
from .harmony import HARMONIES, MODE_ODDS, MODES, draw_chords
from .meter import METER_ODDS, METERS, Meter

FORMS = ("AABA", "ABAB", "ABACA", "IABABCB", "IAABAAB", "ABCABC", "AAB", "ABCB", "IABCD", "AABB")


@dataclass
class SongPlan:
    """What holds for a whole song."""

    meter: Meter
    tempo: float  # quarter notes a minute
    tonic: int
    mode: str
    harmony: str
    colour: float  # how often a plain chord is made a rich one
    slash: float  # how often another tone lies in the bass
    swing: float  # share of the beat before its offbeat; 0.5 is straight
    density: float
    tightness: float  # standard deviation of onsets in seconds
    drift: float  # how far the tempo wanders, relative


def draw_plan(rng):
    """A song's plan.

    Args:
        rng (numpy.random.Generator): Source of chance.

    Returns:
        SongPlan: The plan.
    """
    meter = choose(rng, METERS, METER_ODDS)
    low, high = (60, 180) if meter.pulse == 1.0 else (90, 180)
    tempo = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    swings = rng.random() < 0.28 and meter.pulse == 1.0
    return SongPlan(
        meter=meter,
        tempo=tempo,
        tonic=int(rng.integers(12)),
        mode=choose(rng, MODES, MODE_ODDS),
        harmony=choose(rng, ["loop", *HARMONIES], [4, 2, 1.2, 0.7, 0.9, 0.6, 0.8, 1.1, 1.5]),
        colour=float(choose(rng, [0.0, 0.1, 0.35, 0.8], [0.35, 0.25, 0.25, 0.15])),
        slash=float(choose(rng, [0.0, 0.08, 0.25], [0.5, 0.35, 0.15])),
        swing=float(rng.uniform(0.55, 0.68)) if swings else 0.5,
        density=float(rng.beta(1.5, 3.5)),
        tightness=float(choose(rng, [0.0, 0.003, 0.007, 0.012], [0.15, 0.3, 0.4, 0.15])),
        drift=float(choose(rng, [0.0, 0.01, 0.03])),
    )


@dataclass
class Arrangement:
    """A kind of section (A, B, the bridge...): what comes again when its letter comes again."""

    bars: int
    chords: list
    density: float
    energy: float
    shared_seed: int | None
    tune_seed: int | None
    patterns: list  # one (pattern, seed) a player; None where the player rests


def draw_arrangement(rng, plan, band, letter, may_rest):
    """Chords, and a pattern for every player, of one letter of the form.

    Args:
        rng (numpy.random.Generator): Source of chance.
        plan (SongPlan): The song's plan.
        band (list of Player): Who plays.
        letter (str): Which kind of section: ``I`` is the intro, ``C`` and ``D`` may change key.
        may_rest (bool): Whether a player may rest.

    Returns:
        Arrangement: The arrangement.
    """
    bars = choose(rng, [4, 8], [0.55, 0.45])
    if letter == "I":
        bars = choose(rng, [2, 4, 8], [0.2, 0.6, 0.2])
    if plan.harmony == "blues" and letter != "I" and plan.tempo > 100:
        bars = 12
    chords = draw_chords(rng, plan, bars)
    if letter in "CD" and rng.random() < 0.3:  # the bridge goes to another key
        shift = int(rng.choice([2, 3, 5, 7, 9]))
        chords = [(start, chord.moved(shift)) for start, chord in chords]
    patterns = []
    for player in band:
        pattern = choose(rng, player.taste, player.taste.values()) if player.taste else None
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
