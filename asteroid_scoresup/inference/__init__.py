"""A trained model and a song in; stems and notes out."""

from .separator import Separator
from .songs import OutputOptions, SongResult, process_song, process_songs

__all__ = [
    "OutputOptions",
    "Separator",
    "SongResult",
    "process_song",
    "process_songs",
]
