"""Signal processing that networks, losses and data share: STFT, levels, downmixes."""

from .stft import NOMINAL_RMS, STFT, Spectrograms

__all__ = [
    "NOMINAL_RMS",
    "STFT",
    "Spectrograms",
]
