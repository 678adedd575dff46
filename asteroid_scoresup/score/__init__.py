"""Scores: notes, piano-rolls, activities and harmonic masks. Arrays in, arrays out."""

from .harmonic import HarmonicTemplates, partial_frequencies
from .hits import N_KEYS, hit_roll
from .informed import (
    Factors,
    onset_roll,
    score_informed_nmf,
    soft_masks,
    soft_masks_of_batch,
)
from .notes import LOWEST_PITCH, N_PITCHES, Notes
from .rolls import (
    clip_activity,
    frame_activity,
    frame_times,
    onset_targets,
    piano_roll,
    sounding_roll,
    steps_of,
)
from .song_factors import factorize_song, song_templates
from .sounding import SoundingOptions

__all__ = [
    "LOWEST_PITCH",
    "N_KEYS",
    "N_PITCHES",
    "Factors",
    "HarmonicTemplates",
    "Notes",
    "SoundingOptions",
    "clip_activity",
    "factorize_song",
    "frame_activity",
    "frame_times",
    "hit_roll",
    "onset_roll",
    "onset_targets",
    "partial_frequencies",
    "piano_roll",
    "score_informed_nmf",
    "soft_masks",
    "soft_masks_of_batch",
    "song_templates",
    "sounding_roll",
    "steps_of",
]
