"""Performance: from notes in beats to humanized notes in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pretty_midi
from numpy.random import Generator

from .drums import drum_notes
from .harmony import MODES
from .melody import add_fill, draw_line
from .palette import PITCH_RANGES
from .rhythm import draw_rhythm
from .section import Part, Section

if TYPE_CHECKING:
    from .band import Player
    from .plan import Arrangement, SongPlan


def _swing(beat: float, fraction: float) -> float:
    """Moves the offbeat of every quarter note from its middle to `fraction` of the beat."""
    whole = np.floor(beat)
    part = beat - whole
    if part < 0.5:
        return whole + part * 2 * fraction
    return whole + (fraction + (part - 0.5) * 2 * (1 - fraction))


class Clock:
    """Converts quarter notes to seconds, with a tempo that drifts from bar to bar.

    Args:
        rng (numpy.random.Generator): Random generator of the drift.
        plan (SongPlan): Meter, tempo and drift.
    """

    def __init__(self, rng: Generator, plan: SongPlan) -> None:
        self.rng, self.plan = rng, plan
        self.beats, self.times, self.speed = [0.0], [float(rng.uniform(0, 0.3))], 1.0

    def __call__(self, beat: float) -> float:
        """Time in seconds of a time in quarter notes."""
        while self.beats[-1] <= beat:
            self.speed += self.plan.drift * self.rng.normal(0, 0.25) - 0.1 * (self.speed - 1)
            self.beats.append(self.beats[-1] + self.plan.meter.beats)
            length = self.plan.meter.beats * 60 / (self.plan.tempo * self.speed)
            self.times.append(self.times[-1] + length)
        return float(np.interp(beat, self.beats, self.times))


def play_section(
    rng: Generator,
    plan: SongPlan,
    band: Sequence[Player],
    kind: Arrangement,
    start: float,
    clock: Clock,
    seconds: float,
    key_change: int,
    again: bool,
) -> None:
    """Adds the notes of one section to the instruments of the band.

    Args:
        rng (numpy.random.Generator): Random generator.
        plan (SongPlan): The song's plan.
        band (list of Player): The players, in the order of the arrangement.
        kind (Arrangement): Chords and patterns of the section.
        start (float): Start of the section in the song, in quarter notes.
        clock (Clock): Quarter notes to seconds.
        seconds (float): Length of the song; later notes are left out.
        key_change (int): Transposition in semitones.
        again (bool): Whether this kind of section has been played before.
    """
    chords = [(beat, chord.transposed(key_change)) for beat, chord in kind.chords]
    scale = tuple((plan.tonic + key_change + step) % 12 for step in MODES[plan.mode])
    section = Section(start, kind.bars, plan.meter, scale, chords, plan.tempo)
    shared = None
    if kind.shared_seed is not None:
        shared = draw_rhythm(np.random.default_rng(kind.shared_seed), section, kind.density)
    tune = None
    if kind.tune_seed is not None:
        voice = Part(section, 67.0, kind.density, None, None, 52, 84)
        tune = draw_line(np.random.default_rng(kind.tune_seed), voice)
    for player, choice in zip(band, kind.patterns):
        if choice is None:
            continue
        if again and rng.random() < 0.3:  # the same pattern with new random numbers
            choice[1] = int(rng.integers(2**62))
        own = np.random.default_rng(choice[1])
        if player.kind == "drums":
            notes, low, high = drum_notes(own, section), 0, 127
        else:
            low, high = PITCH_RANGES[player.kind]
            density = float(np.clip(kind.density + own.normal(0, 0.15), 0.05, 1))
            part = Part(section, player.center, density, shared, tune, low, high)
            notes = choice[0](own, part)
            fills = {"bass": 0.45, "guitar": 0.15, "piano": 0.12, "other": 0.1}[player.kind]
            if rng.random() < fills and section.length >= 6:
                notes = add_fill(own, part, sorted(notes))
        loudness = player.velocity * kind.energy
        for played in notes:
            if not low <= played.pitch <= high or played.beat < 0 or played.beat >= section.length:
                continue
            jitter = rng.normal(0, plan.timing_std) + player.delay + played.delay
            begin = clock(start + _swing(played.beat, plan.swing)) + jitter
            end = clock(start + _swing(played.beat + played.length, plan.swing))
            if begin >= seconds - 0.05:
                continue
            velocity = loudness * (0.65 + 0.5 * played.accent) + rng.normal(0, player.velocity_std)
            velocity = int(np.clip(round(velocity), 20, 127))
            begin = max(0.0, begin)
            end = min(seconds, max(end, begin + 0.06))
            note = pretty_midi.Note(velocity, int(played.pitch), begin, end)
            player.instrument.notes.append(note)


def tidy(
    notes: Iterable[pretty_midi.Note], seconds: float, closest: float = 0.05
) -> list[pretty_midi.Note]:
    """Sorts notes, and ends each before the next note of its pitch.

    Overlapping notes of one pitch have no defined end in MIDI.

    Args:
        notes (list of pretty_midi.Note): Notes of one instrument, in any order.
        seconds (float): Time, in seconds, by which all notes end.
        closest (float): Shortest interval, in seconds, between onsets of one pitch; a note that
            starts sooner is left out. At least 0.01.

    Returns:
        list of pretty_midi.Note: Sorted by onset.
    """
    last: dict[int, pretty_midi.Note] = {}
    result = []
    for note in sorted(notes, key=lambda note: (note.start, note.pitch, -note.velocity)):
        before = last.get(note.pitch)
        if before is not None and note.start - before.start < closest:
            continue
        if before is not None and before.end > note.start - 0.005:
            before.end = note.start - 0.005
        note.end = min(note.end, seconds)
        last[note.pitch] = note
        result.append(note)
    return result
