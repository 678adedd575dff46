"""Synthetic training data: songs in Slakh's format, composed or rendered from MIDI files."""

from .synthesize import synthesize

__all__ = [
    "synthesize",
]
