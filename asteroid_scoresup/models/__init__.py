"""The networks: separator, transcriptor and activity classifier, and the STFT they share."""

from .activity_classifier import ActivityClassifier
from .package import pack, unpack
from .score_transcriptor import ScoreTranscriptor
from .spectrogram_model import SpectrogramModel, load_package
from .stft import NOMINAL_RMS, STFT, Spectrograms
from .tcn_separator import TCNSeparator

__all__ = [
    "NOMINAL_RMS",
    "STFT",
    "ActivityClassifier",
    "ScoreTranscriptor",
    "SpectrogramModel",
    "Spectrograms",
    "TCNSeparator",
    "load_package",
    "pack",
    "unpack",
]
