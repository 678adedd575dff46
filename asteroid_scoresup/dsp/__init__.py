"""Signal processing that networks, losses and data share: STFT, levels, downmixes."""

from .grid import FrameGrid
from .stft import NOMINAL_RMS, STFT, Spectrograms

__all__ = [
    "FrameGrid",
    "NOMINAL_RMS",
    "STFT",
    "Spectrograms",
]
