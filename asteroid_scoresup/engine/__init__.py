"""What one training step does, and how a training runs."""

from .callbacks import LogLossTerms, LogValidationSISDR
from .finetune_system import FineTuneSystem
from .fronts import SeparatorFront, TranscriptorFront
from .imitation import TranscriptorSystem, imitate_separation
from .training import Clock, claim_folder, fit, save_model, warmup_cosine

__all__ = [
    "Clock",
    "FineTuneSystem",
    "LogLossTerms",
    "LogValidationSISDR",
    "SeparatorFront",
    "TranscriptorFront",
    "TranscriptorSystem",
    "claim_folder",
    "fit",
    "imitate_separation",
    "save_model",
    "warmup_cosine",
]
