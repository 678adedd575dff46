"""What one training step does, and how a training runs."""

from .callbacks import BatchSeed, LogLossTerms, LogValidationSISDR
from .finetune_system import FineTuneSystem
from .finite import StopOnNonFinite
from .folder import lock_experiment
from .simulation import TranscriptorSystem, simulate_separation
from .training import Clock, fit, save_model, warmup_cosine
from .wrappers import SeparatorTrainingWrapper, TranscriptorTrainingWrapper

__all__ = [
    "BatchSeed",
    "Clock",
    "FineTuneSystem",
    "LogLossTerms",
    "LogValidationSISDR",
    "SeparatorTrainingWrapper",
    "StopOnNonFinite",
    "TranscriptorTrainingWrapper",
    "TranscriptorSystem",
    "lock_experiment",
    "fit",
    "simulate_separation",
    "save_model",
    "warmup_cosine",
]
