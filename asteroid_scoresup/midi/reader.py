"""MIDI files into note tables: the one reader of the package.

A MIDI file is read once, in preparation and before it is rendered. ``midi_events`` reads its
bytes, ``midi_channels`` plays them as a synthesizer would, and here the notes of each instrument
become a table. Conventions:

- All tracks are one performance: events are merged by time, and a channel has one program, whoever
  sets it. A note belongs to the program of its start. A note-off ends all notes of its pitch.
- Onset and offset are those of the keys. The sustain and sostenuto pedals move the release.
- Pitch bends and tunings become bends of notes, in semitones beside the key.
- Drums are read from whatever channel is a drum kit, and only if they are asked for.

(pretty_midi reads tempo from the first track only and programs from the notes' own track only,
knows neither pedals nor banks, and stops at odd bytes; its piano-rolls merge overlapping notes.)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pretty_midi

from ..score import Notes
from .channels import DRUMS, play_events
from .events import TRACK_NAME, read_events
from .tuning import Bends

__all__ = ["DRUMS", "Instrument", "Reading", "join_instruments", "read_midi"]

#: Steps of bends that are followed in one file; ten minutes of constant vibrato have some 100,000.
MAX_STEPS = 2_000_000
TOO_MANY_BENDS = "more pitch bends than can be followed were passed over"


@dataclass(frozen=True)
class Instrument:
    """One instrument of a MIDI file: what one channel plays with one program.

    Args:
        program (int): General MIDI program, 0 to 127; 128 for drums.
        name (str): Name of the track in the file; empty if its notes come from several.
        notes (Notes): Its notes, sorted by onset; `source` is 0.
        controls (list): Control changes of its channel, as (seconds, number, value).
        wheel (list): Pitch wheel of its channel, as (seconds, -8192 to 8191).
    """

    program: int
    name: str
    notes: Notes
    controls: list
    wheel: list

    def to_pretty_midi(self):
        """The instrument as a renderer wants it.

        Returns:
            pretty_midi.Instrument: Notes from key down to key up, and all that shapes them.
        """
        part = pretty_midi.Instrument(
            0 if self.program == DRUMS else self.program, self.program == DRUMS, self.name
        )
        notes = self.notes
        columns = (notes.velocity, notes.pitch, notes.onset, notes.offset)
        part.notes = [
            pretty_midi.Note(int(v), int(p), float(a), float(b)) for v, p, a, b in zip(*columns)
        ]
        part.control_changes = [
            pretty_midi.ControlChange(number, value, time) for time, number, value in self.controls
        ]
        part.pitch_bends = [pretty_midi.PitchBend(value, time) for time, value in self.wheel]
        return part


class Reading(NamedTuple):
    """What was read from a MIDI file.

    Args:
        instruments (list of Instrument): In the order of the tracks.
        dropped (dict): How many notes were left out for which reason.
        remarks (dict): What else was passed over or mended, and how often.
        tempo (float): Beats per minute at the beginning.
    """

    instruments: list
    dropped: dict
    remarks: dict
    tempo: float


def read_midi(path, drums=False):
    r"""Reads the instruments of a MIDI file.

    Overlapping notes of one pitch are kept as they are. Notes that end where they begin, or never,
    are dropped and counted.

    Args:
        path (str or Path): A standard MIDI file.
        drums (bool): Whether drums are read too; else they are dropped and counted.

    Returns:
        Reading: Instruments, dropped notes, remarks, and tempo.

    Raises:
        ValueError: if the file is missing or is no MIDI file.
    """
    file = read_events(path)
    names = [
        next((e.data.decode("latin1").strip(" \0") for e in t if e.kind == TRACK_NAME), "")
        for t in file.tracks
    ]
    found, dropped, remarks = [], Counter(), Counter(file.remarks)
    budget = [MAX_STEPS]
    for channel in play_events(file.tracks):
        dropped.update(channel.dropped)
        parts = {}
        for note in channel.notes:
            parts.setdefault(note.program, []).append(note)
        bends = Bends(channel.tuning, file.seconds)
        controls = wheel = None
        for program, notes in parts.items():
            if program == DRUMS and not drums:
                dropped["drums"] += len(notes)
                continue
            if controls is None:
                controls = _timed(channel.controls, file.seconds)
                wheel = _timed(channel.wheel, file.seconds)
            table = _table(notes, file.seconds)
            # Faster than any clock: the file's tempo is too high for these notes to have a length.
            usable = np.isfinite(table).all(axis=1) & (table[:, 1] > table[:, 0])
            dropped["no length"] += int((~usable).sum())
            kept = [note for note, good in zip(notes, usable) if good]
            if not kept:
                continue
            onset, offset, release, pitch, velocity = table[usable].T
            bend = None
            if program != DRUMS and not bends.silent:
                bend = _bends(kept, onset, bends, budget)
                if bend is None:
                    remarks[TOO_MANY_BENDS] = 1
            columns = Notes(onset, offset, pitch, 0 * pitch, velocity, release, bend)
            tracks = {note.track for note in kept}
            name = names[tracks.pop()] if len(tracks) == 1 else ""
            first = min((note.track, note.onset) for note in kept)
            instrument = Instrument(program, name, Notes.concatenate([columns]), controls, wheel)
            found.append((first, instrument))
    instruments = [instrument for _, instrument in sorted(found, key=lambda item: item[0])]
    return Reading(instruments, dict(+dropped), dict(+remarks), file.seconds.tempo)


def _timed(changes, seconds):
    """Rows (tick, …) with seconds in place of ticks."""
    times = seconds([change[0] for change in changes]) if changes else []
    return [(float(time), *change[1:]) for time, change in zip(times, changes)]


def _table(notes, seconds):
    rows = [(n.onset, n.offset, n.release, n.pitch, n.velocity) for n in notes]
    table = np.array(rows, dtype=np.float64)
    for column in range(3):
        table[:, column] = seconds(table[:, column])
    return table


def _bends(notes, onsets, bends, budget):
    """Bends of notes, or None where their steps would exceed what is left of the budget."""
    spans = [bends.span(note.onset, note.release) for note in notes]
    budget[0] -= sum(last - first for first, last in spans)
    if budget[0] < 0:
        return None
    return [bends.steps(*row) for row in zip([note.pitch for note in notes], spans, onsets)]


def join_instruments(instruments, class_index=0):
    """All notes of several instruments as one table of one class."""
    notes = Notes.concatenate(instrument.notes for instrument in instruments)
    return notes.replace(class_index=np.full(len(notes), class_index))
