"""Comparing notes with audio: pitch, tuning, time, pitch bends, and stems that are noise."""

from .song import check_song

__all__ = [
    "check_song",
]
