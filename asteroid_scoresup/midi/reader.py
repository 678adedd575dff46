"""MIDI files into note tables: the one reader of the package.

:mod:`~asteroid_scoresup.midi.events` parses the bytes of a file,
:mod:`~asteroid_scoresup.midi.channels` interprets them as a synthesizer would, and here the notes
of each instrument become a table. Conventions:

- All tracks are one performance: events are merged by time, and a channel has one program,
  whichever track sets it. A note belongs to the program of its start. A note-off ends all notes of
  its pitch.
- Onset and offset are those of the keys. The sustain and sostenuto pedals move the release.
- Pitch bends and tunings become bends of notes, in semitones relative to the key.
- Drums are read from any channel that is a drum kit, and only on request.

pretty_midi differs: it reads tempo changes from the first track only and programs from the notes'
own track only, ignores pedals and banks, and refuses files with invalid bytes; its piano-rolls
merge overlapping notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pretty_midi

from ..score import Notes
from .channels import DRUMS, Channel, ChannelNote, interpret_events
from .events import TRACK_NAME, Event, TempoMap, read_events
from .tuning import Bends

__all__ = ["DRUMS", "Instrument", "MidiSong", "join_instruments", "read_midi"]

#: Steps of bends that are followed in one file; ten minutes of constant vibrato have about 100,000.
MAX_STEPS = 2_000_000
TOO_MANY_BENDS = "more pitch bends than can be followed were ignored"


@dataclass(frozen=True)
class Instrument:
    """One instrument of a MIDI file: what one channel plays with one program.

    Args:
        program (int): General MIDI program, 0 to 127; 128 for drums.
        name (str): Name of the track in the file; empty if the notes come from several tracks.
        notes (Notes): Its notes, sorted by onset; `class_index` is 0.
        controls (list of tuple): Control changes of its channel, as (seconds, number, value).
        pitch_wheel (list of tuple): Pitch wheel of its channel, as (seconds, -8192 to 8191).
    """

    program: int
    name: str
    notes: Notes
    controls: list[tuple[float, int, int]]
    pitch_wheel: list[tuple[float, int]]

    def to_pretty_midi(self) -> pretty_midi.Instrument:
        """Converts the instrument for a renderer.

        Returns:
            pretty_midi.Instrument: Notes from key down to key up, control changes and pitch wheel.
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
        part.pitch_bends = [pretty_midi.PitchBend(value, time) for time, value in self.pitch_wheel]
        return part


class MidiSong(NamedTuple):
    """The content of a MIDI file.

    Args:
        instruments (list of Instrument): In the order of the tracks.
        dropped (dict): How many notes were left out, by reason.
        remarks (dict): What else was skipped or repaired, and how often.
        tempo (float): Beats per minute at the beginning.
    """

    instruments: list[Instrument]
    dropped: dict[str, int]
    remarks: dict[str, int]
    tempo: float


def read_midi(path: str | Path, drums: bool = False) -> MidiSong:
    """Reads the instruments of a MIDI file.

    Overlapping notes of one pitch are kept as they are. Notes that end where they begin, or never,
    are dropped and counted.

    Args:
        path (str or Path): A standard MIDI file.
        drums (bool): Whether drums are read too; otherwise they are dropped and counted.

    Returns:
        MidiSong: Instruments, dropped notes, remarks, and tempo.

    Raises:
        ValueError: if the file is missing or not a MIDI file.
    """
    file = read_events(path)
    names = [_track_name(events) for events in file.tracks]
    found: list[tuple[tuple[int, int], Instrument]] = []
    dropped: Counter[str] = Counter()
    remarks = Counter(file.remarks)
    steps_left = MAX_STEPS
    for channel in interpret_events(file.tracks):
        dropped.update(channel.dropped)
        bends = Bends(channel.tuning, file.seconds)
        controls: list | None = None
        pitch_wheel: list | None = None
        for program, notes in _by_program(channel).items():
            if program == DRUMS and not drums:
                dropped["drums"] += len(notes)
                continue
            if controls is None or pitch_wheel is None:
                controls = _to_seconds(channel.controls, file.seconds)
                pitch_wheel = _to_seconds(channel.pitch_wheel, file.seconds)
            table = _note_table(notes, file.seconds)
            # A note has no length where the tempo is too fast for floating-point times.
            usable = np.isfinite(table).all(axis=1) & (table[:, 1] > table[:, 0])
            dropped["no length"] += int((~usable).sum())
            kept = [note for note, is_usable in zip(notes, usable) if is_usable]
            if not kept:
                continue
            onset, offset, release, pitch, velocity = table[usable].T
            bend = None
            if program != DRUMS and not bends.all_zero:
                spans = [bends.span(note.onset, note.release) for note in kept]
                steps_left -= sum(last - first for first, last in spans)
                if steps_left < 0:
                    remarks[TOO_MANY_BENDS] = 1
                else:
                    each = zip([note.pitch for note in kept], spans, onset)
                    bend = [bends.steps(*one) for one in each]
            rows = Notes(onset, offset, pitch, np.zeros(len(kept)), velocity, release)
            by_onset = Notes.concatenate([rows.replace(bend=bend)])
            tracks = {note.track for note in kept}
            name = names[tracks.pop()] if len(tracks) == 1 else ""
            first = min((note.track, note.onset) for note in kept)
            found.append((first, Instrument(program, name, by_onset, controls, pitch_wheel)))
    instruments = [instrument for _, instrument in sorted(found, key=lambda item: item[0])]
    return MidiSong(instruments, dict(+dropped), dict(+remarks), file.seconds.tempo)


def _track_name(events: Iterable[Event]) -> str:
    # Latin-1, as writers of MIDI files expect it: any bytes can be read and written again.
    return next((e.data.decode("latin1").strip(" \0") for e in events if e.kind == TRACK_NAME), "")


def _by_program(channel: Channel) -> dict[int, list[ChannelNote]]:
    """Notes of a channel by program, in order of their offsets."""
    parts: dict[int, list[ChannelNote]] = {}
    for note in channel.notes:
        parts.setdefault(note.program, []).append(note)
    return parts


def _to_seconds(changes: Sequence[tuple], seconds: TempoMap) -> list[tuple]:
    """Rows (tick, …) with seconds in place of ticks."""
    times = seconds([change[0] for change in changes])
    return [(float(time), *change[1:]) for time, change in zip(times, changes)]


def _note_table(notes: Iterable[ChannelNote], seconds: TempoMap) -> np.ndarray:
    """Rows (onset, offset, release, pitch, velocity), times in seconds."""
    rows = [(n.onset, n.offset, n.release, n.pitch, n.velocity) for n in notes]
    table = np.array(rows, dtype=np.float64)
    table[:, :3] = seconds(table[:, :3])
    return table


def join_instruments(instruments: Iterable[Instrument], class_index: int = 0) -> Notes:
    """Joins the notes of several instruments into one table of one class.

    Args:
        instruments (iterable of Instrument): They may be of several files.
        class_index (int): The class.

    Returns:
        Notes: Sorted by onset.
    """
    notes = Notes.concatenate(instrument.notes for instrument in instruments)
    return notes.replace(class_index=np.full(len(notes), class_index))
