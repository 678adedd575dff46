"""The networks: separator, transcriptor and activity classifier, and the STFT they share."""

from .activity_classifier import ActivityClassifier
from .fingerprint import model_hash
from .loading import load_package
from .open_unmix import OpenUnmixNet
from .package import pack, unpack
from .score_transcriptor import ScoreTranscriptor
from .source_model import SourceModel
from .spectrogram_model import SpectrogramModel
from .stft import NOMINAL_RMS, STFT, Spectrograms
from .tcn_separator import TCNSeparator
from .waveform_separator import WaveformSeparator

__all__ = [
    "NOMINAL_RMS",
    "STFT",
    "ActivityClassifier",
    "OpenUnmixNet",
    "ScoreTranscriptor",
    "SourceModel",
    "SpectrogramModel",
    "Spectrograms",
    "TCNSeparator",
    "WaveformSeparator",
    "load_package",
    "model_hash",
    "pack",
    "unpack",
]
