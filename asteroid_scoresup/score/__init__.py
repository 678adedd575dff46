"""What a score says: notes, piano-rolls, activities and harmonic masks. Arrays in, arrays out."""

from .harmonic import HarmonicTemplates, partial_frequencies
from .notes import LOWEST_PITCH, N_PITCHES, Notes
from .rolls import clip_activity, frame_activity, frame_times, piano_roll, sounding_roll

__all__ = [
    "LOWEST_PITCH",
    "N_PITCHES",
    "HarmonicTemplates",
    "Notes",
    "clip_activity",
    "frame_activity",
    "frame_times",
    "partial_frequencies",
    "piano_roll",
    "sounding_roll",
]
