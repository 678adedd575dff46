"""The networks: separator, transcriptor and activity classifier, and the STFT they share."""

from .activity_classifier import ActivityClassifier
from .checkpoint import pack, unpack
from .fingerprint import model_hash
from .loading import load_package
from .open_unmix import OpenUnmixNet
from .score_transcriptor import ScoreTranscriptor
from .source_model import SourceModel
from .spectrogram_model import SpectrogramModel
from .tcn_separator import TCNSeparator
from .waveform_separator import WaveformSeparator

__all__ = [
    "ActivityClassifier",
    "OpenUnmixNet",
    "ScoreTranscriptor",
    "SourceModel",
    "SpectrogramModel",
    "TCNSeparator",
    "WaveformSeparator",
    "load_package",
    "model_hash",
    "pack",
    "unpack",
]
