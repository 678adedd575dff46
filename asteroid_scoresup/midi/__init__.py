"""Reading MIDI files: which instrument plays which notes, when, and at which pitch."""

from .reader import DRUMS, Instrument, MidiSong, join_instruments, read_midi

__all__ = [
    "DRUMS",
    "Instrument",
    "MidiSong",
    "join_instruments",
    "read_midi",
]
