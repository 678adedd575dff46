"""A trained model and a song in; stems and notes out."""

from .score_informed import ScoreInformedSeparator
from .separator import Separator
from .songs import OutputOptions, SongResult, process_song, process_songs

__all__ = [
    "OutputOptions",
    "ScoreInformedSeparator",
    "Separator",
    "SongResult",
    "process_song",
    "process_songs",
]
