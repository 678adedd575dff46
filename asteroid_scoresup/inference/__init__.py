"""A song in, stems, MIDI and pictures out."""

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
from .plots import (
    class_colours,
    plot_box,
    plot_masks,
    plot_piano_roll,
    plot_separation,
    plot_training_curves,
)
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
    "class_colours",
    "fit_decoding",
    "oracle_masks",
    "plot_box",
    "plot_masks",
    "plot_piano_roll",
    "plot_separation",
    "plot_training_curves",
    "process_song",
    "process_songs",
    "score_separation",
    "score_transcription",
    "to_midi",
    "write_page",
]
