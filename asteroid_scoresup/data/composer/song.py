"""A song from beginning to end: plan, band, sections, notes."""

from __future__ import annotations

import numpy as np
import pretty_midi

from .band import draw_band
from .chance import choose
from .chords import near
from .palette import PITCH_RANGES
from .performance import Clock, play_section, tidy
from .plan import FORMS, draw_arrangement, draw_plan


def compose_song(rng, palette, seconds, *, drums=False, others=0):
    """Composes a song for bass, guitar and piano.

    Args:
        rng (numpy.random.Generator): Source of all chance; the same state gives the same song.
        palette (Palette): The programs to choose from.
        seconds (float): Length of the song; no note starts or sounds later.
        drums (bool): Whether a drummer plays too.
        others (int): At most so many instruments play that belong to no class (voices, strings,
            winds, leads…).

    Returns:
        pretty_midi.PrettyMIDI: One instrument named ``bass``, one or two named ``guitar``,
        ``guitar 2``, one or two named ``piano``, ``piano 2``, and perhaps ``drums`` and
        ``other 1``, ``other 2``…. Every
        instrument has notes; equal pitches of one instrument never overlap.

    Raises:
        ValueError: If `seconds` is less than one.

    Examples
        >>> from asteroid_scoresup.data.composer import PATTERNS, TRAIN_PALETTE
        >>> song = compose_song(np.random.default_rng(0), TRAIN_PALETTE, seconds=10)
        >>> {name.split()[0] for name in (part.name for part in song.instruments)} == set(PATTERNS)
        True
    """
    if not seconds >= 1:
        raise ValueError(f"a song of {seconds} s is too short: expected at least 1 s.")
    plan = draw_plan(rng)
    band = draw_band(rng, palette, drums, others)
    clock = Clock(np.random.default_rng(rng.integers(2**62)), plan)
    # In most songs everybody plays all the time; in the others players rest for a section.
    may_rest = rng.random() < 0.35
    form, kinds = choose(rng, FORMS), {}
    start, index, lift = 0.0, 0, 0
    while clock(start) < seconds:
        letter = form[index % len(form)]
        if index and letter == "I":  # the intro comes once
            letter = "A"
        first_time = letter not in kinds
        if first_time:
            # Somebody who rested in the intro, or in one kind of section, plays in the others.
            kinds[letter] = draw_arrangement(rng, plan, band, letter, may_rest)
        if index and index % len(form) == 0 and rng.random() < 0.2:
            lift += int(rng.choice([1, 2]))  # the last chorus goes up
        play_section(rng, plan, band, kinds[letter], start, clock, seconds, lift, not first_time)
        start += kinds[letter].bars * plan.meter.beats
        index += 1
    # Fine ticks: the notes that are saved are those that are rendered, to a millisecond.
    song = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=plan.tempo)
    signature = pretty_midi.TimeSignature(plan.meter.upper, plan.meter.lower, 0.0)
    song.time_signature_changes.append(signature)
    for player in band:
        instrument = player.instrument
        if not instrument.notes and player.kind != "drums":  # rested throughout a very short song
            low, high = PITCH_RANGES[player.kind]
            pitch = near(plan.tonic, player.centre, low, high)
            instrument.notes = [pretty_midi.Note(80, pitch, 0.0, min(seconds, 2.0))]
        instrument.notes = tidy(instrument.notes, seconds)
        song.instruments.append(instrument)
    return song
