"""Songs in Slakh's format without Slakh: composed, or rendered from MIDI files."""

from .synthesize import synthesize

__all__ = [
    "synthesize",
]
