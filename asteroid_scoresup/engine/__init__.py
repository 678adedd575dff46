"""What one training step does, and how a training runs."""

from .build import build_loss, build_separator, read_separator, require_match
from .callbacks import BatchSeed, LogLossTerms, LogValidationSISDR
from .compilation import compile_if_it_pays, compile_networks
from .finetune_system import FineTuneSystem
from .finite import StopOnNonFinite
from .folder import lock_experiment
from .loaders import training_loaders
from .optim import adam, warmup_cosine
from .simulation import TranscriptorSystem, simulate_separation
from .trackers import LogExamples, tracker_callbacks
from .training import Clock, computes_bfloat16, fit, save_model
from .wrappers import SeparatorTrainingWrapper, TranscriptorTrainingWrapper

__all__ = [
    "BatchSeed",
    "Clock",
    "FineTuneSystem",
    "LogExamples",
    "LogLossTerms",
    "LogValidationSISDR",
    "SeparatorTrainingWrapper",
    "StopOnNonFinite",
    "TranscriptorSystem",
    "TranscriptorTrainingWrapper",
    "adam",
    "build_loss",
    "build_separator",
    "compile_if_it_pays",
    "compile_networks",
    "computes_bfloat16",
    "fit",
    "lock_experiment",
    "read_separator",
    "require_match",
    "save_model",
    "simulate_separation",
    "tracker_callbacks",
    "training_loaders",
    "warmup_cosine",
]
