"""What one training step does, and how a training runs."""

from .callbacks import BatchSeed, LogLossTerms, LogValidationSISDR
from .finetune_system import FineTuneSystem
from .finite import StopOnNonFinite
from .folder import claim_folder
from .simulation import TranscriptorSystem, imitate_separation
from .training import Clock, fit, save_model, warmup_cosine
from .wrappers import SeparatorFront, TranscriptorFront

__all__ = [
    "BatchSeed",
    "Clock",
    "FineTuneSystem",
    "LogLossTerms",
    "LogValidationSISDR",
    "SeparatorFront",
    "StopOnNonFinite",
    "TranscriptorFront",
    "TranscriptorSystem",
    "claim_folder",
    "fit",
    "imitate_separation",
    "save_model",
    "warmup_cosine",
]
