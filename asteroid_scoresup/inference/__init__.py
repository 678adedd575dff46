"""A trained model and a song in; stems and notes out."""

from .outputs import OutputOptions, SongResult
from .processing import process_song, process_songs
from .score_informed import ScoreInformedSeparator
from .separator import Separator

__all__ = [
    "OutputOptions",
    "ScoreInformedSeparator",
    "Separator",
    "SongResult",
    "process_song",
    "process_songs",
]
