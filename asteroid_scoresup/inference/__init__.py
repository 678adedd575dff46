"""A trained model and a song: stems and notes."""

from .separator import Separator
from .songs import Request, process_song, process_songs

__all__ = [
    "Request",
    "Separator",
    "process_song",
    "process_songs",
]
