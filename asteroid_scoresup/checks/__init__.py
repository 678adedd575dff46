"""Comparing notes with audio: pitch, tuning, time, pitch bends, and stems that are noise."""

from .label_check import check_song

__all__ = [
    "check_song",
]
