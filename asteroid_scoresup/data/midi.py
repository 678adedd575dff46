"""Reading MIDI files into note tables.

A MIDI file is read once, in preparation. Times come from the file's own tempo map (pretty_midi);
rolls are never taken from pretty_midi, which merges overlapping notes of one pitch and sustains
too long. Notes are what the file says: note-on to note-off, without the sustain pedal.

pretty_midi reads tempo from the first track only, fails on a track without events, and drops notes
without length silently: files are mended and counted before it sees them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import mido
import numpy as np
import pretty_midi

from ..score import Notes

#: Program number that stands for drums, as in Slakh's metadata.
DRUMS = 128


@dataclass(frozen=True)
class Instrument:
    """One instrument of a MIDI file.

    Args:
        program (int): General MIDI program, 0 to 127; 128 for drums.
        name (str): Name of the track in the file.
        notes (Notes): Its notes, sorted by onset; `source` is 0.
    """

    program: int
    name: str
    notes: Notes


def read_midi(path, drums=False):
    r"""Reads the instruments of a MIDI file.

    Overlapping notes of one pitch are kept as they are. Notes that end where they begin, or never,
    are dropped and counted.

    Args:
        path (str or Path): A standard MIDI file.
        drums (bool): Whether drums (channel 10) are read too; else they are dropped and counted.

    Returns:
        tuple: list of :class:`Instrument`, in the file's order, and a dict that says how many
        notes were dropped for which reason.

    Raises:
        ValueError: if the file is missing or is no MIDI file.
    """
    try:
        file = mido.MidiFile(str(path), charset="latin1")
        events = [event for track in file.tracks for event in track]
        channels = [e.channel for e in events if e.type == "note_on" and e.velocity > 0]
        _mend(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tempo changes outside of the first track
            midi = pretty_midi.PrettyMIDI(mido_object=file)
    except Exception as error:  # mido and pretty_midi raise whatever the broken byte leads to
        detail = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as MIDI: {detail}") from None
    instruments, n_kept = [], 0
    for instrument in midi.instruments:
        if instrument.is_drum and not drums:
            continue
        rows = [(n.start, n.end, n.pitch, 0, n.velocity) for n in instrument.notes]
        table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        # A tempo of 0 or of infinity leaves notes without length too.
        usable = np.isfinite(table).all(axis=1) & (table[:, 1] > table[:, 0])
        notes = Notes.concatenate([Notes(*table[usable].T)])
        program = DRUMS if instrument.is_drum else int(instrument.program)
        instruments.append(Instrument(program, instrument.name.strip(), notes))
        n_kept += len(notes)
    n_drums = 0 if drums else channels.count(9)
    dropped = {"drums": n_drums, "no length": len(channels) - n_drums - n_kept}
    return instruments, {reason: count for reason, count in dropped.items() if count > 0}


def _mend(file):
    """Removes empty tracks, and lets the first track know all changes of tempo."""
    file.tracks[:] = [track for track in file.tracks if len(track)]
    if not file.tracks:
        raise ValueError("it has no tracks")
    timed = []
    for number, track in enumerate(file.tracks):
        tick = 0
        for event in track:
            tick += event.time
            if number == 0 or event.type == "set_tempo":
                # The end of the first track goes last.
                timed.append((tick, event.type == "end_of_track", len(timed), event.copy()))
    if len(timed) == len(file.tracks[0]) or file.type == 2:
        return
    first, before = mido.MidiTrack(), 0
    for tick, last, _, event in sorted(timed, key=lambda entry: (entry[1], entry[0], entry[2])):
        first.append(event.copy(time=0 if last else tick - before))
        before = before if last else tick
    file.tracks[0] = first


def join_instruments(instruments, source=0):
    """All notes of several instruments as one table of one source."""
    notes = Notes.concatenate(instrument.notes for instrument in instruments)
    return notes.replace(source=np.full(len(notes), source))
