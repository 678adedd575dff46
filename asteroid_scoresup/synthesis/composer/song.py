"""A whole song: plan, band, sections, notes."""

from __future__ import annotations

import numpy as np
import pretty_midi
from numpy.random import Generator

from .band import draw_band
from .chords import near
from .palette import PITCH_RANGES, Palette
from .performance import Clock, play_section, tidy
from .plan import FORMS, draw_arrangement, draw_plan
from .sampling import random_choice


def compose_song(
    rng: Generator, palette: Palette, seconds: float, *, drums: bool = False, others: int = 0
) -> pretty_midi.PrettyMIDI:
    """Composes a song for bass, guitar and piano.

    Args:
        rng (numpy.random.Generator): Random generator; the same state gives the same song.
        palette (Palette): Available programs.
        seconds (float): Length of the song; all notes end by then.
        drums (bool): Whether to add drums.
        others (int): Largest number of instruments outside the classes (voices, strings, winds,
            leads…).

    Returns:
        pretty_midi.PrettyMIDI: Instruments named ``bass``, ``guitar`` and perhaps ``guitar 2``,
        ``piano`` and perhaps ``piano 2``, and, if wanted, ``drums`` and ``other 1``, ``other 2``….
        Every instrument but the drums has notes; notes of one pitch of an instrument never overlap.

    Raises:
        ValueError: if `seconds` is less than 1.

    Examples
        >>> from asteroid_scoresup.synthesis.composer import PATTERNS, TRAIN_PALETTE
        >>> song = compose_song(np.random.default_rng(0), TRAIN_PALETTE, seconds=10)
        >>> {name.split()[0] for name in (part.name for part in song.instruments)} == set(PATTERNS)
        True
    """
    if not seconds >= 1:
        raise ValueError(f"A song of {seconds} s is too short: expected at least 1 s.")
    plan = draw_plan(rng)
    band = draw_band(rng, palette, drums, others)
    clock = Clock(np.random.default_rng(rng.integers(2**62)), plan)
    # In most songs all players play all the time; in the others some rest for a section.
    may_rest = rng.random() < 0.35
    form, kinds = random_choice(rng, FORMS), {}
    start, index, key_change = 0.0, 0, 0
    while clock(start) < seconds:
        letter = form[index % len(form)]
        if index and letter == "I":  # the intro is played once
            letter = "A"
        first_time = letter not in kinds
        if first_time:
            # A player who rests in one kind of section plays in the others.
            kinds[letter] = draw_arrangement(rng, plan, band, letter, may_rest)
        if index and index % len(form) == 0 and rng.random() < 0.2:
            key_change += int(rng.choice([1, 2]))  # a final key change
        play_section(
            rng, plan, band, kinds[letter], start, clock, seconds, key_change, not first_time
        )
        start += kinds[letter].bars * plan.meter.beats
        index += 1
    # Fine ticks, so that the saved notes match the rendered ones to a millisecond.
    song = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=plan.tempo)
    signature = pretty_midi.TimeSignature(plan.meter.upper, plan.meter.lower, 0.0)
    song.time_signature_changes.append(signature)
    for player in band:
        instrument = player.instrument
        if not instrument.notes and player.kind != "drums":  # rested throughout a very short song
            low, high = PITCH_RANGES[player.kind]
            pitch = near(plan.tonic, player.center, low, high)
            instrument.notes = [pretty_midi.Note(80, pitch, 0.0, min(seconds, 2.0))]
        instrument.notes = tidy(instrument.notes, seconds)
        song.instruments.append(instrument)
    return song
