"""Reading MIDI files: what sounds, when, at which pitch, and on which instrument."""

from .reader import DRUMS, Instrument, join_instruments, read_midi

__all__ = [
    "DRUMS",
    "Instrument",
    "join_instruments",
    "read_midi",
]
