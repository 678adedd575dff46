"""A trained model and a song: stems and notes."""

from .separator import Separator
from .songs import OutputOptions, process_song, process_songs

__all__ = [
    "OutputOptions",
    "Separator",
    "process_song",
    "process_songs",
]
