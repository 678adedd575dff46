"""Performance: from tones in quarter notes to humanised notes in seconds."""

from __future__ import annotations

import numpy as np
import pretty_midi

from .drums import drum_tones
from .harmony import MODES
from .melody import add_fill, draw_line
from .palette import PITCH_RANGES
from .rhythm import draw_rhythm
from .section import Part, Section


def _swing(beat, share):
    """Moves the offbeat of every quarter note from its middle to `share`."""
    whole = np.floor(beat)
    part = beat - whole
    return whole + (part * 2 * share if part < 0.5 else share + (part - 0.5) * 2 * (1 - share))


class Clock:
    """Quarter notes to seconds, with a tempo that wanders from bar to bar."""

    def __init__(self, rng, plan):
        self.rng, self.plan = rng, plan
        self.beats, self.times, self.speed = [0.0], [float(rng.uniform(0, 0.3))], 1.0

    def __call__(self, beat):
        """Time in seconds of a quarter note of the song."""
        while self.beats[-1] <= beat:
            self.speed += self.plan.drift * self.rng.normal(0, 0.25) - 0.1 * (self.speed - 1)
            self.beats.append(self.beats[-1] + self.plan.meter.beats)
            length = self.plan.meter.beats * 60 / (self.plan.tempo * self.speed)
            self.times.append(self.times[-1] + length)
        return float(np.interp(beat, self.beats, self.times))


def play_section(rng, plan, band, kind, start, clock, seconds, lift, again):
    """Writes one section into the players' notes, from quarter note `start` of the song."""
    chords = [(beat, chord.moved(lift)) for beat, chord in kind.chords]
    scale = tuple((plan.tonic + lift + step) % 12 for step in MODES[plan.mode])
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
        if again and rng.random() < 0.3:  # the same pattern, played anew
            choice[1] = int(rng.integers(2**62))
        own = np.random.default_rng(choice[1])
        if player.kind == "drums":
            tones, low, high = drum_tones(own, section), 0, 127
        else:
            low, high = PITCH_RANGES[player.kind]
            density = float(np.clip(kind.density + own.normal(0, 0.15), 0.05, 1))
            part = Part(section, player.centre, density, shared, tune, low, high)
            tones = choice[0](own, part)
            fills = {"bass": 0.45, "guitar": 0.15, "piano": 0.12, "other": 0.1}[player.kind]
            if rng.random() < fills and section.length >= 6:
                tones = add_fill(own, part, sorted(tones))
        loudness = player.velocity * kind.energy
        for tone in tones:
            if not low <= tone.pitch <= high or tone.beat < 0 or tone.beat >= section.length:
                continue
            jitter = rng.normal(0, plan.tightness) + player.lag + tone.delay
            begin = clock(start + _swing(tone.beat, plan.swing)) + jitter
            end = clock(start + _swing(tone.beat + tone.length, plan.swing))
            if begin >= seconds - 0.05:
                continue
            velocity = loudness * (0.65 + 0.5 * tone.accent) + rng.normal(0, player.spread)
            velocity = int(np.clip(round(velocity), 20, 127))
            begin = max(0.0, begin)
            end = min(seconds, max(end, begin + 0.06))
            note = pretty_midi.Note(velocity, int(tone.pitch), begin, end)
            player.instrument.notes.append(note)


def tidy(notes, seconds, closest=0.05):
    """Sorts notes and ends each before its own pitch is struck again.

    A key cannot be pressed twice: overlapping equal pitches have no defined end in MIDI.

    Args:
        notes (list of pretty_midi.Note): Notes of one instrument, in any order.
        seconds (float): Time at which all notes have ended.
        closest (float): A note that begins less than this after the one before of its pitch, in
            seconds, is left out. At least 0.01.

    Returns:
        list of pretty_midi.Note: Sorted by onset.
    """
    last, result = {}, []
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
