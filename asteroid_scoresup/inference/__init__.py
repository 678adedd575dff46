"""A song in, stems, MIDI and pictures out."""

from .evaluate import (
    INFORMED_ORACLE,
    RATIO_ORACLE,
    SOFT_ORACLE,
    TestTrack,
    oracle_masks,
    score_separation,
    score_transcription,
)
from .plots import (
    class_colours,
    plot_box,
    plot_masks,
    plot_piano_roll,
    plot_separation,
    plot_training_curves,
)
from .separator import Separator

__all__ = [
    "INFORMED_ORACLE",
    "RATIO_ORACLE",
    "SOFT_ORACLE",
    "Separator",
    "TestTrack",
    "class_colours",
    "oracle_masks",
    "plot_box",
    "plot_masks",
    "plot_piano_roll",
    "plot_separation",
    "plot_training_curves",
    "score_separation",
    "score_transcription",
]
