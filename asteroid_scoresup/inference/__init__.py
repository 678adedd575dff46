"""A song in, stems, MIDI and pictures out."""

from .charts import plot_box, plot_training_curves, read_training_log
from .decoding import Decoding, choose_decoding, to_midi
from .evaluate import (
    INFORMED_ORACLE,
    RATIO_ORACLE,
    SOFT_ORACLE,
    TestTrack,
    fit_decoding,
    oracle_masks,
    score_separation,
    score_transcription,
)
from .page import write_page
from .plots import class_colors, plot_separation
from .separator import Separator
from .songs import Request, process_song, process_songs

__all__ = [
    "Decoding",
    "INFORMED_ORACLE",
    "RATIO_ORACLE",
    "Request",
    "SOFT_ORACLE",
    "Separator",
    "TestTrack",
    "choose_decoding",
    "class_colors",
    "fit_decoding",
    "oracle_masks",
    "plot_box",
    "plot_separation",
    "plot_training_curves",
    "process_song",
    "process_songs",
    "read_training_log",
    "score_separation",
    "score_transcription",
    "to_midi",
    "write_page",
]
