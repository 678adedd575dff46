"""The networks (separator, transcriptor, activity classifier) and their files."""

from .activity_classifier import ActivityClassifier
from .checkpoint import pack, save_model, unpack
from .fingerprint import model_hash
from .guided_separator import ScoreGuidedSeparator
from .hub import read_package, save_folder
from .loading import load_package
from .mask_refiner import MaskRefiner, refine_masks
from .open_unmix import OpenUnmixNet
from .pitch_separator import PitchSeparator
from .pitch_transcriptor import PitchTranscriptor
from .score_transcriptor import ScoreTranscriptor
from .source_model import SourceModel
from .spectrogram_model import SpectrogramModel
from .tcn_separator import TCNSeparator
from .waveform_separator import WaveformSeparator

__all__ = [
    "ActivityClassifier",
    "MaskRefiner",
    "OpenUnmixNet",
    "PitchSeparator",
    "PitchTranscriptor",
    "ScoreGuidedSeparator",
    "ScoreTranscriptor",
    "SourceModel",
    "SpectrogramModel",
    "TCNSeparator",
    "WaveformSeparator",
    "load_package",
    "model_hash",
    "pack",
    "read_package",
    "refine_masks",
    "save_folder",
    "save_model",
    "unpack",
]
