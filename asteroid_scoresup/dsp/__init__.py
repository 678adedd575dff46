"""Signal processing shared by networks, losses and data: STFT, level, equalizer."""

from .equalizer import equalize
from .grid import FrameGrid
from .level import LevelMeter, gated_rms
from .stft import NOMINAL_RMS, STFT, Spectrograms, SpectrogramsAndNotes

__all__ = [
    "FrameGrid",
    "NOMINAL_RMS",
    "STFT",
    "LevelMeter",
    "Spectrograms",
    "SpectrogramsAndNotes",
    "equalize",
    "gated_rms",
]
